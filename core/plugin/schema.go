package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// schema is a declared JSON Schema; nil declares nothing, so that only an empty object fits.
type schema struct {
	raw      json.RawMessage
	compiled *jsonschema.Schema
}

// compileSchema compiles raw, which may be empty. References to other documents are refused.
func compileSchema(name string, raw json.RawMessage) (*schema, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("the schema of %s is no JSON: %w", name, err)
	}
	if _, ok := doc.(map[string]any); !ok {
		return nil, fmt.Errorf("the schema of %s must be a JSON object", name)
	}
	const url = "chandler:schema"
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource(url, doc); err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", name, err)
	}
	compiled, err := c.Compile(url)
	if err != nil {
		return nil, fmt.Errorf("the schema of %s: %w", name, err)
	}
	return &schema{raw: raw, compiled: compiled}, nil
}

// noLoader refuses to load schemas from anywhere.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("reference to another document: %s", url)
}

// Violation is one thing wrong with a document.
type Violation struct {
	Pointer string // JSON pointer (RFC 6901) into the document; "" is the whole
	Message string // what is wrong there
}

// Violations lists everything that is wrong with a JSON document by a JSON Schema, sorted
// by pointer; nil if it is valid. An empty schema allows only an object without
// keys, as in [Description]. The error is that of a schema that cannot be used:
// no JSON, against the metaschema, or with references to other documents.
func Violations(schema, document json.RawMessage) ([]Violation, error) {
	s, err := compileSchema("the document", schema)
	if err != nil {
		return nil, err
	}
	return s.validate(document), nil
}

// validate lists everything that is wrong with an object, sorted by pointer.
func (s *schema) validate(object json.RawMessage) []Violation {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(object))
	if err != nil {
		return []Violation{{"", "no JSON"}}
	}
	if s == nil {
		return undeclared(doc)
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(s.compiled.Validate(doc), &invalid) {
		return nil
	}
	var found []Violation
	collect(invalid, message.NewPrinter(language.English), &found)
	slices.SortStableFunc(found, func(a, b Violation) int { return strings.Compare(a.Pointer, b.Pointer) })
	return slices.Compact(found)
}

func undeclared(doc any) []Violation {
	object, ok := doc.(map[string]any)
	if !ok {
		return []Violation{{"", "expected an object"}}
	}
	var found []Violation
	for key := range object {
		found = append(found, Violation{jsonPointer(key), "not known here"})
	}
	slices.SortFunc(found, func(a, b Violation) int { return strings.Compare(a.Pointer, b.Pointer) })
	return found
}

// collect takes the leaves of a validation error: its inner nodes only say that something below is wrong.
func collect(e *jsonschema.ValidationError, p *message.Printer, found *[]Violation) {
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			*found = append(*found, Violation{at(e, name), "missing"})
		}
		return
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			*found = append(*found, Violation{at(e, name), "not known here"})
		}
		return
	}
	if len(e.Causes) == 0 {
		*found = append(*found, Violation{at(e), e.ErrorKind.LocalizedString(p)})
		return
	}
	for _, cause := range e.Causes {
		collect(cause, p, found)
	}
}

func at(e *jsonschema.ValidationError, more ...string) string {
	return jsonPointer(append(slices.Clone(e.InstanceLocation), more...)...)
}

// describeViolations writes violations as one sentence.
func describeViolations(found []Violation) string {
	var parts []string
	for _, v := range found {
		if v.Pointer == "" {
			parts = append(parts, v.Message)
			continue
		}
		parts = append(parts, v.Pointer+": "+v.Message)
	}
	return strings.Join(parts, "; ")
}

// SecretValues gives the strings (and numbers, as text) of a JSON document that its
// JSON Schema marks with "writeOnly": true, also inside of lists, objects,
// alternatives and local references; nil if there are none or either is no JSON.
func SecretValues(schema, document json.RawMessage) []string {
	var s, d any
	if json.Unmarshal(schema, &s) != nil || decodeNumbers(document, &d) != nil {
		return nil
	}
	w := secretWalk{root: s}
	w.walk(s, d, 0)
	return w.found
}

func decodeNumbers(raw json.RawMessage, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return dec.Decode(v)
}

type secretWalk struct {
	root  any
	found []string
}

// maxSchemaDepth ends the walk of a schema that refers to itself.
const maxSchemaDepth = 64

func (w *secretWalk) walk(schema, value any, depth int) {
	s, ok := schema.(map[string]any)
	if !ok || depth > maxSchemaDepth {
		return
	}
	if secret, _ := s["writeOnly"].(bool); secret {
		w.take(value)
		return
	}
	if ref, ok := s["$ref"].(string); ok {
		w.walk(w.resolve(ref), value, depth+1)
	}
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := s[key].([]any)
		for _, sub := range list {
			w.walk(sub, value, depth+1)
		}
	}
	for _, key := range []string{"if", "then", "else"} {
		w.walk(s[key], value, depth+1)
	}
	switch v := value.(type) {
	case map[string]any:
		w.walkObject(s, v, depth)
	case []any:
		w.walkList(s, v, depth)
	}
}

func (w *secretWalk) walkObject(s, object map[string]any, depth int) {
	properties, _ := s["properties"].(map[string]any)
	for key, v := range object {
		if sub, ok := properties[key]; ok {
			w.walk(sub, v, depth+1)
			continue
		}
		w.walk(s["additionalProperties"], v, depth+1)
	}
}

func (w *secretWalk) walkList(s map[string]any, list []any, depth int) {
	prefix, _ := s["prefixItems"].([]any)
	if tuple, ok := s["items"].([]any); ok { // until draft 2019-09
		prefix = tuple
	}
	for i, v := range list {
		if i < len(prefix) {
			w.walk(prefix[i], v, depth+1)
			continue
		}
		w.walk(s["items"], v, depth+1)
	}
}

// take keeps every text below value.
func (w *secretWalk) take(value any) {
	switch v := value.(type) {
	case string:
		w.found = append(w.found, v)
	case json.Number:
		w.found = append(w.found, v.String())
	case map[string]any:
		for _, e := range v {
			w.take(e)
		}
	case []any:
		for _, e := range v {
			w.take(e)
		}
	}
}

// resolve follows a local reference such as "#/$defs/key"; nil if there is no such place.
func (w *secretWalk) resolve(ref string) any {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	at := w.root
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[token]
	}
	return at
}
