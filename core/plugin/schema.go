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
	compiled *jsonschema.Schema
	marks    SecretMarks
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
	return &schema{compiled: compiled, marks: MarksOf(raw)}, nil
}

// secrets gives the values of a document that are marked as secret.
func (s *schema) secrets(document json.RawMessage) []string {
	if s == nil {
		return nil
	}
	return s.marks.Values(document)
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
