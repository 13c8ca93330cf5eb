package template_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/template"
)

// source reads YAML into a Node with its places, as core/catalog does.
func source(t testing.TB, file, text string) core.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return node(t, file, doc.Content[0])
}

func sourceFile(t testing.TB, path string) core.Node {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return source(t, path, string(raw))
}

func node(t testing.TB, file string, y *yaml.Node) core.Node {
	t.Helper()
	n := core.Node{File: file, Line: y.Line, Column: y.Column}
	switch y.Kind {
	case yaml.MappingNode:
		n.Kind = core.NodeMapping
		for i := 0; i < len(y.Content); i += 2 {
			k := y.Content[i]
			n.Fields = append(n.Fields, core.Field{Key: k.Value, Line: k.Line, Column: k.Column, Value: node(t, file, y.Content[i+1])})
		}
	case yaml.SequenceNode:
		n.Kind = core.NodeList
		for _, e := range y.Content {
			n.Items = append(n.Items, node(t, file, e))
		}
	case yaml.ScalarNode:
		n.Kind = core.NodeScalar
		var v any
		if err := y.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if i, ok := v.(int); ok {
			whole := int64(i)
			n.Int = &whole
		} else {
			n.Value = v
		}
	default:
		t.Fatalf("%s:%d: a YAML node of kind %d", file, y.Line, y.Kind)
	}
	return n
}

// scalarNode is a source of one string.
func scalarNode(text string) core.Node {
	return core.Node{File: "t.yaml", Line: 1, Column: 1, Kind: core.NodeScalar, Value: text}
}

// everything is a scope in which all data is there and all names are open.
func everything() core.TemplateScope {
	return core.TemplateScope{Name: "credentials", OpenParameters: true, OpenInstanceParameters: true, Binding: true,
		InstanceOutputs: map[string]string{}, BindingOutputs: map[string]string{}, AnyOutputs: true}
}

// data is what most tests render over; each call gives new maps.
func data() core.TemplateData {
	return core.TemplateData{
		Parameters: map[string]any{"name": "photos", "quota": int64(5), "ratio": 2.5, "on": false, "none": nil,
			"tags": []any{"a", "b"}, "labels": map[string]any{"team": "red", "none": nil, "deep": map[string]any{"x": int64(1)}}},
		Instance: core.InstanceData{ID: "i-1", ShortID: "xabc", Parameters: map[string]any{"name": "photos"},
			Outputs: map[string]any{"bucket": "b-1"}, Context: map[string]any{}},
		Binding: &core.BindingData{ID: "b-1", Parameters: map[string]any{}, Outputs: map[string]any{"port": int64(8080), "ca": nil}},
		Service: core.NameData{ID: "s-1", Name: "bucket"},
		Plan:    core.NameData{ID: "p-1", Name: "default"},
		Context: map[string]any{"platform": "kubernetes"},
		User:    map[string]any{"platform": "kubernetes", "username": "ann"},
		Secrets: template.MaskedSecrets{},
	}
}

func compile(t testing.TB, src core.Node, scope core.TemplateScope) core.Template {
	t.Helper()
	tmpl, problems := template.New().Compile(src, scope)
	for _, p := range problems {
		if !p.Warning {
			t.Errorf("%s:%d:%d: %s: %s (%s)", p.File, p.Line, p.Column, p.Path, p.Message, p.Hint)
		}
	}
	if tmpl == nil {
		t.FailNow()
	}
	return tmpl
}

// asJSON shows a result for comparison.
func asJSON(t testing.TB, v any) string {
	t.Helper()
	raw, err := core.CanonicalJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func fromJSON(t testing.TB, text string) any {
	t.Helper()
	v, err := core.JSONValue(json.RawMessage(text))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mentions(text string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(text, p) {
			return false
		}
	}
	return true
}
