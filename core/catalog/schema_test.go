package catalog_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
)

// provisionSchema gives the compiled provision schema of a plan that has it, in JSON.
func provisionSchema(t testing.TB, doc string) core.Schema {
	t.Helper()
	return onePlan(t, service("schemas: {provision: "+doc+"}\n", "")).SchemaProvision
}

func object(t testing.TB, text string) map[string]any {
	t.Helper()
	m, err := core.JSONObject(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// What is published is what is enforced, and closed unless the author opened it.
func TestPublishedSchema(t *testing.T) {
	tests := []struct{ name, why, in, want string }{
		{"completed", "CAT-26: $schema is always there; draft 4 is what platforms must read", `{"properties":{"a":{"type":"string"}}}`,
			`{"$schema":"http://json-schema.org/draft-04/schema#","additionalProperties":false,"properties":{"a":{"type":"string"}},"type":"object"}`},
		{"kept", "what the author wrote stays", `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","additionalProperties":true,"x-vendor":1}`,
			`{"$schema":"https://json-schema.org/draft/2020-12/schema","additionalProperties":true,"type":"object","x-vendor":1}`},
		{"composed", "additionalProperties does not look into allOf: names declared there are named at the top",
			`{"properties":{"a":{"type":"string"}},"allOf":[{"properties":{"b":{"type":"integer"}}}],"oneOf":[{"required":["a"]},{"patternProperties":{"^x-":{}}}]}`,
			`{"$schema":"http://json-schema.org/draft-04/schema#","additionalProperties":false,"allOf":[{"properties":{"b":{"type":"integer"}}}],"oneOf":[{"required":["a"]},{"patternProperties":{"^x-":{}}}],"patternProperties":{"^x-":{}},"properties":{"a":{"type":"string"},"b":{}},"type":"object"}`},
		{"open below", "a subschema that says it is open is believed", `{"allOf":[{"additionalProperties":{"type":"string"}}]}`,
			`{"$schema":"http://json-schema.org/draft-04/schema#","allOf":[{"additionalProperties":{"type":"string"}}],"type":"object"}`},
		{"reference at the top", "what stands beside a $ref is ignored before 2019-09, so it moves into allOf", `{"$ref":"#/definitions/d","definitions":{"d":{"properties":{"a":{}}}}}`,
			`{"$schema":"http://json-schema.org/draft-04/schema#","additionalProperties":false,"allOf":[{"$ref":"#/definitions/d"}],"definitions":{"d":{"properties":{"a":{}}}},"properties":{"a":{}},"type":"object"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, string(provisionSchema(t, tt.in).JSON())); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.why, diff)
			}
		})
	}
}

// PRO-09: every violation at once, at its pointer, in words that help, and never a value.
func TestValidate(t *testing.T) {
	const rich = `{"properties":{
		"name":{"type":"string","minLength":3,"maxLength":5,"pattern":"^[a-z]+$"},
		"size":{"type":"integer","minimum":1,"maximum":10,"multipleOf":2},
		"kind":{"enum":["ssd","disk",3]},
		"password":{"type":"string","minLength":12,"writeOnly":true},
		"when":{"type":"string","format":"date-time"},
		"many":{"type":"array","items":{"type":"string"},"maxItems":2,"minItems":1,"uniqueItems":true},
		"opts":{"type":"object","properties":{"fast":{"type":"boolean"},"~x/y":{"type":"string"}},"additionalProperties":false,"required":["fast"]},
		"either":{"oneOf":[{"type":"integer"},{"type":"object","required":["a"]}]},
		"never":{"not":{}},
		"maybe":{"type":["string","null"]}
	},"required":["name"],"dependencies":{"size":["kind"]}}`
	tests := []struct {
		name, why, params string
		want              []string
	}{
		{"good", "", `{"name":"abc","size":4,"kind":3,"opts":{"fast":true},"either":{"a":1},"maybe":null}`, nil},
		{"whole number as float", "JSON has one number type", `{"name":"abc","size":4.0,"kind":"ssd"}`, nil},
		{"required", "", `{}`, []string{"/name is required"}},
		{"null is absent", "a PATCH takes a parameter away with null", `{"name":"abc","size":null,"opts":null}`, nil},
		{"null for a required one", "so it is missing", `{"name":null}`, []string{"/name is required"}},
		{"unknown", "with what was meant", `{"name":"abc","sise":4,"colour":"red"}`, []string{
			"/colour is not known; known are either, kind, many, maybe, name, never, opts, password, size, when", `/sise is not known; did you mean "size"?`}},
		{"unknown null", "null does not hide a typo", `{"name":"abc","sise":null}`, []string{`/sise is not known; did you mean "size"?`}},
		{"all at once", "", `{"name":"A","size":"x","kind":"tape","opts":{"fsat":1},"many":[1,"a","a"]}`, []string{
			`/kind must be one of "ssd", "disk", 3`, "/many must have at most 2 items", "/many must not have the same item twice", "/many/0 must be a string, found a number",
			"/name must have at least 3 characters", "/name must match the pattern ^[a-z]+$", "/opts/fast is required",
			`/opts/fsat is not known; did you mean "fast"?`, "/size must be an integer, found a string"}},
		{"numbers", "", `{"name":"abc","kind":3,"size":13}`, []string{"/size must be a multiple of 2", "/size must be at most 10"}},
		{"dependency", "", `{"name":"abc","size":2}`, []string{"/kind is required together with size"}},
		{"escaped pointer", "RFC 6901", `{"name":"abc","opts":{"fast":true,"~x/y":1}}`, []string{"/opts/~0x~1y must be a string, found a number"}},
		{"format", "", `{"name":"abc","when":"tomorrow"}`, []string{"/when must be a date and time such as 2030-01-31T12:00:00Z"}},
		{"alternatives", "each form says what it missed", `{"name":"abc","either":"x"}`, []string{"/either must have exactly one of these forms: (must be an integer, found a string), or (must be an object, found a string)"}},
		{"not", "", `{"name":"abc","never":1}`, []string{"/never has a form that is not allowed"}},
		{"secret", "its value is not repeated", `{"name":"abc","password":"swordfish"}`, []string{"/password must have at least 12 characters"}},
	}
	s := provisionSchema(t, rich)
	for _, tt := range tests {
		t.Run("PRO-09 "+tt.name, func(t *testing.T) {
			var got []string
			for _, v := range s.Validate(object(t, tt.params)) {
				got = append(got, v.Pointer+" "+v.Message)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.why, diff)
			}
		})
	}
	none := onePlan(t, service("", "")).SchemaProvision
	if v := none.Validate(map[string]any{}); v != nil {
		t.Errorf("no schema refuses no parameters: %v", v)
	}
	if v := none.Validate(map[string]any{"b": 1, "a": nil}); len(v) != 2 || v[0].Pointer != "/a" {
		t.Errorf("no schema takes parameters: %v", v)
	}
}

// Templates read effective parameters: defaults filled in, declared names there.
func TestEffective(t *testing.T) {
	const doc = `{"properties":{
		"a":{"type":"string","default":"x"},"b":{"type":"integer"},
		"c":{"type":"object","properties":{"d":{"default":[1]},"e":{}}},
		"f":{"type":"array","items":{"type":"object","properties":{"g":{"default":true}}}},
		"h":{"$ref":"#/definitions/h"},"k":{"type":"object","default":{},"properties":{"l":{"default":1}}}},
		"allOf":[{"properties":{"i":{"default":2}}}],"anyOf":[{"properties":{"j":{"default":3}}},{}],
		"definitions":{"h":{"type":"object","properties":{"self":{"$ref":"#/definitions/h"},"v":{"default":"deep"}}}}}`
	tests := []struct{ name, in, want string }{
		{"nothing given", `{}`, `{"a":"x","b":null,"c":null,"f":null,"h":null,"i":2,"j":null,"k":{"l":1}}`},
		{"given stays", `{"a":"y","b":5}`, `{"a":"y","b":5,"c":null,"f":null,"h":null,"i":2,"j":null,"k":{"l":1}}`},
		{"null takes the default", `{"a":null}`, `{"a":"x","b":null,"c":null,"f":null,"h":null,"i":2,"j":null,"k":{"l":1}}`},
		{"inner objects and items", `{"c":{},"f":[{},{"g":false},7],"h":{"self":{}}}`,
			`{"a":"x","b":null,"c":{"d":[1],"e":null},"f":[{"g":true},{"g":false},7],"h":{"self":{"self":null,"v":"deep"},"v":"deep"},"i":2,"j":null,"k":{"l":1}}`},
	}
	s := provisionSchema(t, doc)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := object(t, tt.in)
			if diff := cmp.Diff(object(t, tt.want), s.Effective(in)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(object(t, tt.in), in); diff != "" {
				t.Errorf("the argument changed:\n%s", diff)
			}
		})
	}
	first := s.Effective(map[string]any{"c": map[string]any{}})
	first["c"].(map[string]any)["d"].([]any)[0] = "spoiled"
	if again := s.Effective(map[string]any{"c": map[string]any{}}); again["c"].(map[string]any)["d"].([]any)[0] != int64(1) {
		t.Error("a default is shared between calls")
	}
}

// Defaults that lead in a circle end.
func TestEffectiveCircle(t *testing.T) {
	s := provisionSchema(t, `{"properties":{"a":{"$ref":"#/definitions/a"},"b":{"$ref":"#/definitions/a"}},"definitions":{"a":{"type":"object","default":{},"properties":{"a":{"$ref":"#/definitions/a"},"b":{"$ref":"#/definitions/a"}}}}}`)
	got := s.Effective(map[string]any{})
	if raw, err := json.Marshal(got); err != nil || len(raw) > 1<<20 || got["a"].(map[string]any)["b"] == nil {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
}

// writeOnly properties are known at every depth and in every construction.
func TestSchemaSecrets(t *testing.T) {
	const doc = `{"$schema":"http://json-schema.org/draft-07/schema#","properties":{
		"user":{"type":"string"},"password":{"type":"string","writeOnly":true},
		"list":{"type":"array","items":{"type":"object","properties":{"token":{"writeOnly":true},"name":{}}}},
		"whole":{"type":"object","writeOnly":true},"ref":{"$ref":"#/definitions/s"},
		"map":{"type":"object","additionalProperties":{"type":"string","writeOnly":true}}},
		"patternProperties":{"^secret-":{"writeOnly":true}},
		"if":{"required":["user"]},"then":{"properties":{"pin":{"writeOnly":true}}},
		"definitions":{"s":{"type":"string","writeOnly":true}}}`
	s := provisionSchema(t, doc)
	params := object(t, `{"user":"u","password":"s1","list":[{"token":"s2","name":"n"},3],"whole":{"a":["s3",1]},"ref":"s4","map":{"x":"s5"},"secret-a":"s6","pin":"s7"}`)
	want := object(t, `{"user":"u","list":[{"name":"n"},3],"map":{}}`)
	if diff := cmp.Diff(want, s.WithoutSecrets(params)); diff != "" {
		t.Errorf("without secrets (-want +got):\n%s", diff)
	}
	got := s.Secrets(params)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"s1", "s2", "s3", "s4", "s5", "s6", "s7"}, got); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func FuzzSchemaValidate(f *testing.F) {
	f.Add(`{"properties":{"a":{"type":"string","default":"x"}},"allOf":[{"$ref":"#"}]}`, `{"a":1,"b":[null]}`)
	f.Add(`{"$schema":"https://json-schema.org/draft/2020-12/schema","$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"writeOnly":true}]}}}`, `{"x":{"y":1}}`)
	f.Add(`{"patternProperties":{"(":{}},"oneOf":[{"required":["a"]},{"not":{}}],"dependencies":{"a":["b"]}}`, `{"a":{}}`)
	f.Add(`{"properties":{"a":{"items":[{"type":"integer"}],"additionalItems":{"writeOnly":true}}}}`, `{"a":[1,2,"s"]}`)
	f.Fuzz(func(t *testing.T, doc, params string) {
		if strings.ContainsAny(doc, "\n\r\t") {
			return // YAML reads JSON of one line
		}
		values, err := core.JSONObject(json.RawMessage(params))
		if err != nil {
			return
		}
		parsed, _ := parse(map[string]string{"catalog/a.yaml": service("schemas: {provision: "+doc+"}\n", "")}, catalog.Options{})
		if parsed == nil {
			return
		}
		s := parsed.Services[0].Plans[0].SchemaProvision
		for _, v := range s.Validate(values) {
			if v.Message == "" {
				t.Errorf("a violation without words at %q", v.Pointer)
			}
		}
		s.Effective(values)
		for _, secret := range s.Secrets(s.WithoutSecrets(values)) {
			t.Errorf("the secret %q is still there", secret)
		}
	})
}
