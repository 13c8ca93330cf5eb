package plugin

import (
	"bytes"
	"encoding/json"
	"strings"
)

// SecretMarks are the places that a JSON Schema marks with "writeOnly": true. The zero value marks nothing.
type SecretMarks struct {
	root any // the decoded schema; nil if it marks nothing
}

// MarksOf reads a JSON Schema; one that is no JSON marks nothing.
func MarksOf(schema json.RawMessage) SecretMarks {
	var root any
	if json.Unmarshal(schema, &root) != nil || !marks(root) {
		return SecretMarks{}
	}
	return SecretMarks{root: root}
}

// marks tells whether there is a mark anywhere.
func marks(schema any) bool {
	switch v := schema.(type) {
	case map[string]any:
		if secret, _ := v["writeOnly"].(bool); secret {
			return true
		}
		for _, sub := range v {
			if marks(sub) {
				return true
			}
		}
	case []any:
		for _, sub := range v {
			if marks(sub) {
				return true
			}
		}
	}
	return false
}

// Values gives the strings (and numbers, as text) of a JSON document that are marked, also
// inside of lists, objects, alternatives and local references; nil if there are none or it is no JSON.
func (m SecretMarks) Values(document json.RawMessage) []string {
	if m.root == nil || len(document) == 0 {
		return nil
	}
	var d any
	if decodeNumbers(document, &d) != nil {
		return nil
	}
	w := secretWalk{root: m.root}
	w.walk(m.root, d, 0)
	return w.found
}

// SecretValues is Values of a schema's marks, for a schema that is used once.
func SecretValues(schema, document json.RawMessage) []string { return MarksOf(schema).Values(document) }

func decodeNumbers(raw json.RawMessage, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return dec.Decode(v)
}

// secretWalk goes through a document and its schema side by side.
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
