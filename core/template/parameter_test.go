package template_test

import (
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// TestParameter: which parameter an input is made of, so that a plugin's complaint can name it.
func TestParameter(t *testing.T) {
	src := core.Node{Kind: core.NodeMapping}
	for _, f := range []struct{ key, text string }{
		{"bucket", `{{ .parameters.bucketName | default (printf "b-%s" .instance.id) }}`},
		{"padded", `b-{{ .parameters.bucketName }}`},
		{"deep", `{{ .parameters.labels.team }}`},
		{"root", `{{ $.parameters.quota }}`},
		{"a/b", `{{ .parameters.quota }}`},
		{"two", `{{ .parameters.name }}-{{ .parameters.quota }}`},
		{"instance", `{{ .instance.parameters.name }}`},
		{"all", `{{ .parameters }}`},
		{"condition", `{{ if .parameters.on }}a{{ end }}`},
		{"text", `fixed`},
	} {
		src.Fields = append(src.Fields, core.Field{Key: f.key, Value: scalarNode(f.text)})
	}
	src.Fields = append(src.Fields, core.Field{Key: "list", Value: core.Node{Kind: core.NodeList, Items: []core.Node{scalarNode(`{{ .parameters.name }}`)}}})
	tmpl := compile(t, src, everything()).(core.ParameterTemplate)
	cases := []struct{ pointer, want, why string }{
		{"/bucket", "/bucketName", "a default does not hide it"},
		{"/padded", "/bucketName", "a text around it does not hide it"},
		{"/padded/x", "/bucketName", "a text has no parts"},
		{"/deep", "/labels/team", "the part that is read"},
		{"/deep/x", "/labels/team/x", "below a value that is passed on as it is"},
		{"/root", "/quota", "the same by another way"},
		{"/a~1b", "/quota", "escaped names"},
		{"/list/0", "/name", "an element of a list"},
		{"/list/1", "", "there is none"},
		{"/list", "", "more than one value"},
		{"/two", "", "nobody knows which of them"},
		{"/instance", "", "not of this request"},
		{"/all", "", "not one parameter"},
		{"/condition", "", "not made of it"},
		{"/text", "", "the catalog's own"},
		{"/none", "", "no such input"},
		{"", "", "all inputs"},
		{"bucket", "", "no pointer"},
	}
	for _, c := range cases {
		if got, ok := tmpl.Parameter(c.pointer); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q is made of %q (%v), want %q", c.why, c.pointer, got, ok, c.want)
		}
	}
}
