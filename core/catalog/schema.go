package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/chandler-broker/chandler/core"
)

// maxSchemaSize is the largest schema that OSB lets a broker publish ("64 kB").
const maxSchemaSize = 64 * 1024

// defaultDraft is what a schema without "$schema" is: the one draft that OSB obliges platforms to read.
const defaultDraft = "http://json-schema.org/draft-04/schema#"

// drafts gives the number of each draft by its URL without scheme and fragment.
var drafts = map[string]int{
	"json-schema.org/draft-04/schema":      4,
	"json-schema.org/draft-06/schema":      6,
	"json-schema.org/draft-07/schema":      7,
	"json-schema.org/draft/2019-09/schema": 2019,
	"json-schema.org/draft/2020-12/schema": 2020,
}

// schema implements core.Schema. The zero value is the schema of a plan that has none.
type schema struct {
	doc      json.RawMessage
	root     map[string]any // doc, decoded
	draft    int
	compiled *jsonschema.Schema
	patterns map[string]*regexp.Regexp // of patternProperties
}

// JSON implements core.Schema.
func (s *schema) JSON() json.RawMessage { return s.doc }

// noLoader refuses every document that is not inside of the library: neither files nor the network are read.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other documents are not followed")
}

// schemaURL is where a document under compilation stands; its fragments name places in it.
const schemaURL = "chandler:///schema"

// compileSchema reads a document as publishSchema made it.
func compileSchema(doc json.RawMessage) (*schema, error) {
	value, err := core.JSONObject(doc)
	if err != nil {
		return nil, err
	}
	s := &schema{doc: doc, root: value, patterns: map[string]*regexp.Regexp{}}
	declared, _ := value["$schema"].(string)
	if s.draft = draftOf(declared); s.draft == 0 {
		return nil, fmt.Errorf("unknown JSON Schema draft %q", declared)
	}
	numbers, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.AssertFormat()
	if err := c.AddResource(schemaURL, numbers); err != nil {
		return nil, err
	}
	if s.compiled, err = c.Compile(schemaURL); err != nil {
		return nil, err
	}
	for _, sub := range s.everySubschema() {
		patterns, _ := sub["patternProperties"].(map[string]any)
		for p := range patterns {
			if s.patterns[p], err = regexp.Compile(p); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

// draftOf gives 4, 6, 7, 2019 or 2020; 0 for a URL that names none of them.
func draftOf(declared string) int {
	_, rest, _ := strings.Cut(declared, "://")
	return drafts[strings.TrimSuffix(rest, "#")]
}

// Where subschemas are: in a mapping by name, in a list, or as they are.
var (
	subschemaMaps  = []string{"properties", "patternProperties", "definitions", "$defs", "dependentSchemas", "dependencies"}
	subschemaLists = []string{"allOf", "anyOf", "oneOf", "prefixItems", "items"}
	subschemaOnes  = []string{"additionalProperties", "additionalItems", "items", "not", "contains", "propertyNames",
		"if", "then", "else", "unevaluatedItems", "unevaluatedProperties", "contentSchema"}
)

// walkSchema visits a schema and all subschemas with their JSON pointers.
func walkSchema(s map[string]any, pointer string, visit func(s map[string]any, pointer string)) {
	visit(s, pointer)
	for _, key := range subschemaMaps {
		named, _ := s[key].(map[string]any)
		for name, sub := range named {
			if m, ok := sub.(map[string]any); ok {
				walkSchema(m, pointer+"/"+key+"/"+escapePointer(name), visit)
			}
		}
	}
	for _, key := range subschemaLists {
		list, _ := s[key].([]any)
		for i, sub := range list {
			if m, ok := sub.(map[string]any); ok {
				walkSchema(m, fmt.Sprintf("%s/%s/%d", pointer, key, i), visit)
			}
		}
	}
	for _, key := range subschemaOnes {
		if m, ok := s[key].(map[string]any); ok {
			walkSchema(m, pointer+"/"+key, visit)
		}
	}
}

func (s *schema) everySubschema() []map[string]any {
	var all []map[string]any
	walkSchema(s.root, "", func(sub map[string]any, _ string) { all = append(all, sub) })
	return all
}

// resolve follows a reference within the document; nil if it leads nowhere.
func (s *schema) resolve(ref string) map[string]any {
	v, _ := lookup(s.root, fragment(ref)).(map[string]any)
	return v
}

// fragment gives the JSON pointer of a reference or schema URL, "" for the whole document.
func fragment(ref string) string {
	_, f, _ := strings.Cut(ref, "#")
	if u, err := url.PathUnescape(f); err == nil {
		return u
	}
	return f
}

// lookup finds the value under a JSON pointer; nil if there is none.
func lookup(v any, pointer string) any {
	if pointer == "" {
		return v
	}
	for _, token := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch t := v.(type) {
		case map[string]any:
			v = t[token]
		case []any:
			var i int
			if _, err := fmt.Sscanf(token, "%d", &i); err != nil || i < 0 || i >= len(t) {
				return nil
			}
			v = t[i]
		default:
			return nil
		}
	}
	return v
}

func escapePointer(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}

// pointerTo builds a JSON pointer of unescaped tokens.
func pointerTo(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteString("/" + escapePointer(t))
	}
	return b.String()
}
