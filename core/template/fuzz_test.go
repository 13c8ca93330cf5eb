package template_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/template"
)

// checkResult says what is wrong with the result of a rendering: it must be JSON-like,
// without null entries, within the bounds and survive the way through JSON.
func checkResult(t *testing.T, v any) {
	t.Helper()
	var walk func(v any, depth int)
	walk = func(v any, depth int) {
		if depth > 100 {
			t.Fatal("the result is nested too deeply")
		}
		switch x := v.(type) {
		case nil, bool, int64, float64:
		case string:
			if !utf8.ValidString(x) {
				t.Fatalf("not UTF-8: %q", x)
			}
		case []any:
			for _, e := range x {
				walk(e, depth+1)
			}
		case map[string]any:
			for k, e := range x {
				if e == nil {
					t.Fatalf("the entry %q is null", k)
				}
				walk(e, depth+1)
			}
		default:
			t.Fatalf("a %T is not JSON-like", v)
		}
	}
	walk(v, 0)
	raw, err := core.CanonicalJSON(v)
	if err != nil {
		t.Fatalf("not JSON: %v", err)
	}
	if len(raw) > 8<<20 { // escapes make texts longer than the 1 MiB that is counted
		t.Fatalf("the result has %d bytes", len(raw))
	}
	back, err := core.JSONValue(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v, back); diff != "" {
		t.Fatalf("the result changes on its way through JSON:\n%s", diff)
	}
}

// Any text compiles or is refused with a problem that has words, and what compiles
// renders to a valid result or an error, within the bounds.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		`{{ .parameters.name }}`, `a{{ .parameters.quota }}b`, `{{ range $k, $v := .parameters.labels }}{{ $k }}={{ $v }}{{ else }}-{{ end }}`,
		`{{ if eq .parameters.quota 5 }}x{{ else if .parameters.on }}y{{ else with .plan }}{{ .id }}{{ end }}`, `{{- printf "%-5s|%03d" .parameters.name 7 -}}`,
		`{{ $x := dict "a" (list 1 2) }}{{ (index $x "a") | join "," }}`, `{{ instanceSecret "a" 8 }}`, `{{ define "x" }}{{ end }}{{ template "x" }}`,
		`{{ block "x" . }}{{ end }}`, `{{/* c */}}`, "{{`raw`}}", `{{ 'c' }} {{ 1e400 }} {{ 0x1p-2 }} {{ 1_000 }}`, `{{ break }}`, `{{ nil }}`, `{{ . }}`, `{{ $ }}`,
		`{{ and 1 nil }}`, `{{ or nil nil }}`, `{{ not nil }}`, `{{ (or nil .parameters).name }}`, `{{ regexReplaceAll "(a)(b)?" "ab" "$2${1}" }}`,
		`{{ until 5 | chunk 2 | toJSON }}`, `{{ slice (list 1 2 3) 1 2 }}`, `{{ round 1.55 1 }}{{ div 1 0 }}`, `{{ urlJoin (urlParse "http://u:p@h:1/p?q#f") }}`,
		`{{ merge .parameters.labels (dict "team" 1) }}`, `{{ pointer "/a~1b/0" (dict "a/b" (list 1)) }}`, `{{ substr 1 -1 "äöü" }}{{ trunc -1 "äöü" }}`,
		`{{ range until 3 }}{{ if eq . 1 }}{{ continue }}{{ end }}{{ . }}{{ end }}`, `{{ $s := "" }}{{ range .parameters.tags }}{{ $s = print $s . }}{{ end }}{{ $s }}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, scope := range []core.TemplateScope{everything(), declared()} {
			tmpl, problems := template.New().Compile(scalarNode(text), scope)
			for _, p := range problems {
				if p.Message == "" || len(p.Message) > 4000 {
					t.Fatalf("a problem of %d bytes: %.100s", len(p.Message), p.Message)
				}
			}
			if tmpl == nil {
				if len(problems) == 0 {
					t.Fatal("refused without a problem")
				}
				continue
			}
			v, err := tmpl.Render(data())
			if err != nil {
				if e := core.AsError(err); e.Message == "" || strings.Contains(e.Message, "__") {
					t.Fatalf("the error is %v", err)
				}
				continue
			}
			checkResult(t, v)
			again, err := tmpl.Render(data())
			if err != nil {
				t.Fatalf("the second rendering failed: %v", err)
			}
			if diff := cmp.Diff(v, again); diff != "" {
				t.Fatalf("two renderings differ:\n%s", diff)
			}
		}
	})
}

// renderSource uses a user's text and value in every kind of place.
const renderSource = `
text: "{{ .parameters.text }}"
inside: "a{{ .parameters.text }}z"
value: "{{ .parameters.value }}"
json: "{{ toJSON .parameters.value }}"
round: "{{ .parameters.value | toJSON | fromJSON }}"
kind: "{{ jsonType .parameters.value }}"
printf: '{{ printf "%s" .parameters.text }}'
list: ["{{ .parameters.text }}", "{{ .parameters.value }}"]
b64: "{{ .parameters.text | b64enc | b64dec }}"
`

// careless are templates that may fail on a value, but must do it in an orderly way.
var careless = []string{
	`{{ .parameters.value.a.b }}`, `{{ index .parameters.value 0 }}`, `{{ index .parameters.value .parameters.text }}`, `{{ range $k, $v := .parameters.value }}{{ $k }}{{ $v }}{{ end }}`,
	`{{ upper .parameters.value }}`, `{{ int .parameters.value }}`, `{{ int .parameters.text }}`, `{{ add .parameters.value 1 }}`, `{{ mul .parameters.value .parameters.value }}`,
	`{{ repeat .parameters.value .parameters.text }}`, `{{ until .parameters.value }}`, `{{ join .parameters.text .parameters.value }}`, `{{ urlParse .parameters.text | urlJoin }}`,
	`{{ hostPort .parameters.text .parameters.value }}`, `{{ splitHostPort .parameters.text }}`, `{{ trunc .parameters.value .parameters.text }}`, `{{ substr 1 .parameters.value .parameters.text }}`,
	`{{ fromJSON .parameters.text }}`, `{{ b64dec .parameters.text }}`, `{{ merge .parameters.value (dict "a" 1) }}`, `{{ pointer .parameters.text .parameters.value }}`, `{{ dig .parameters.text 1 .parameters.value }}`,
	`{{ uniq .parameters.value }}`, `{{ sortAlpha .parameters.value }}`, `{{ slice .parameters.value 1 }}`, `{{ first .parameters.value }}`, `{{ replace .parameters.text "x" .parameters.text }}`,
	`{{ round .parameters.value 2 }}`, `{{ divf .parameters.value 3 }}`, `{{ printf "%d %x" .parameters.value .parameters.text }}`, `{{ eq .parameters.value .parameters.text }}`, `{{ lt .parameters.value 1 }}`,
	`{{ camelcase .parameters.text }}`, `{{ snakecase .parameters.text }}`, `{{ kebabcase .parameters.text }}`, `{{ title .parameters.text }}`, `{{ initials .parameters.text }}`, `{{ swapcase .parameters.text }}`, `{{ untitle .parameters.text }}`, `{{ nospace .parameters.text }}`,
	`{{ semverCompare ">1" .parameters.text }}`, `{{ regexFindAll "(.)" .parameters.text -1 }}`, `{{ regexSplit "," .parameters.text 3 }}`, `{{ regexReplaceAll "(.)" .parameters.text .parameters.text }}`, `{{ indent .parameters.value .parameters.text }}`, `{{ clean .parameters.text }}`,
}

// Whatever a user sends, it is data: it comes out as it went in, and what cannot be
// done with it is an error.
func FuzzRender(f *testing.F) {
	for _, s := range hostile {
		f.Add(s, `{"a":[1,2.5,null,{"b":"`+"x"+`"}]}`)
	}
	for _, v := range []string{`null`, `5`, `-1`, `1e300`, `9223372036854775807`, `[1,"a",null]`, `{"a":{"b":{}}}`, `"{{ x }}"`, `true`, `2.0`} {
		f.Add("text", v)
	}
	safe := compile(f, source(f, "safe.yaml", renderSource), everything())
	var others []core.Template
	for _, c := range careless {
		others = append(others, compile(f, scalarNode(c), everything()))
	}
	f.Fuzz(func(t *testing.T, text, raw string) {
		value, err := core.JSONValue(json.RawMessage(raw))
		if err != nil || !utf8.ValidString(text) || len(raw) > 10_000 || strings.Count(raw, "[")+strings.Count(raw, "{") > 40 {
			t.Skip("requests hold valid JSON")
		}
		d := core.TemplateData{Parameters: map[string]any{"text": text, "value": value}, Secrets: fatalSecrets{t}}
		before := asJSON(t, value)

		v, err := safe.Render(d)
		if err != nil {
			t.Fatal(err)
		}
		checkResult(t, v)
		m := v.(map[string]any)
		want := map[string]any{"text": text, "inside": "a" + text + "z", "printf": text, "b64": text, "json": before}
		for k, w := range want {
			if diff := cmp.Diff(w, m[k]); diff != "" {
				t.Errorf("%s:\n%s", k, diff)
			}
		}
		if diff := cmp.Diff(m["value"], m["round"]); diff != "" {
			t.Errorf("a value changes through JSON:\n%s", diff)
		}
		for i, tmpl := range others {
			v, err := tmpl.Render(d)
			if err == nil {
				checkResult(t, v)
			} else if e := core.AsError(err); e.Code != core.CodeFailed || e.Message == "" || strings.Contains(e.Detail, "panicked") {
				t.Errorf("%s: %v", careless[i], err)
			}
		}
		if diff := cmp.Diff(before, asJSON(t, value)); diff != "" {
			t.Errorf("the data was changed:\n%s", diff)
		}
	})
}

// fatalSecrets fails the test when anything asks for a secret.
type fatalSecrets struct{ t *testing.T }

func (s fatalSecrets) InstanceSecret(string, int) (string, error) {
	s.t.Error("a text made a secret")
	return "", nil
}

func (s fatalSecrets) BindingSecret(string, int) (string, error) {
	s.t.Error("a text made a secret")
	return "", nil
}
