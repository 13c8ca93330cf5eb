package plugintest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core/plugin"
)

// badInput is a document that a schema refuses.
type badInput struct {
	what     string
	document json.RawMessage
	pointer  string // where it is wrong, or below
}

// unknownKey is a key that no schema declares.
const unknownKey = "plugintest-unknown-key"

// badInputs makes documents that the schema refuses from one that it takes: one for
// each property, one for each required key, and one with an unknown key, as far as
// the schema cares.
func badInputs(schema, valid json.RawMessage) []badInput {
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
	}
	if json.Unmarshal(schema, &s) != nil && len(schema) > 0 {
		return nil
	}
	var bad []badInput
	try := func(what, key string, value any) bool {
		document := changed(valid, key, value)
		if !refusedAt(schema, document, pointerTo(key)) {
			return false
		}
		bad = append(bad, badInput{what, document, pointerTo(key)})
		return true
	}
	try("an unknown key", unknownKey, "x")
	for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
		for _, value := range []any{map[string]any{"plugintest": "x"}, "plugintest \x01", -12345.5, []any{map[string]any{}}, true} {
			if try("a wrong value of "+key, key, value) {
				break
			}
		}
	}
	for _, key := range s.Required {
		try("no "+key, key, nil)
	}
	return bad
}

// changed sets a key of an object, or removes it if value is nil.
func changed(object json.RawMessage, key string, value any) json.RawMessage {
	m := map[string]any{}
	_ = json.Unmarshal(object, &m) // checked by Config.complete
	m[key] = value
	if value == nil {
		delete(m, key)
	}
	raw, _ := json.Marshal(m) // made of JSON
	return raw
}

// refusedAt tells whether the schema refuses the document, and that only at pointer or below.
func refusedAt(schema, document json.RawMessage, pointer string) bool {
	found, err := plugin.Violations(schema, document)
	if err != nil || len(found) == 0 {
		return false
	}
	for _, v := range found {
		if !within(v.Pointer, pointer) {
			return false
		}
	}
	return true
}

func within(pointer, of string) bool {
	return pointer == of || strings.HasPrefix(pointer, of+"/")
}

func pointerTo(key string) string {
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
