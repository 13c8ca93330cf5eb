package template_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/template"
)

func TestRender(t *testing.T) {
	for _, c := range []struct {
		why    string
		source string // YAML
		want   string // JSON
	}{
		{"an integer stays one", `v: "{{ .parameters.quota }}"`, `{"v":5}`},
		{"a fraction stays one", `v: "{{ .parameters.ratio }}"`, `{"v":2.5}`},
		{"a boolean stays one, also when it is false", `v: "{{ .parameters.on }}"`, `{"v":false}`},
		{"a list stays one", `v: "{{ .parameters.tags }}"`, `{"v":["a","b"]}`},
		{"a mapping stays one", `v: "{{ .parameters.labels }}"`, `{"v":{"team":"red","deep":{"x":1}}}`},
		{"the type survives pipelines", `v: "{{ .parameters.quota | mul 2 | default 7 }}"`, `{"v":10}`},
		{"the type survives parentheses", `v: "{{ (.parameters.quota) }}"`, `{"v":5}`},
		{"the type survives trim markers", `v: "{{- .parameters.quota -}}"`, `{"v":5}`},
		{"a comment beside the action is nothing", `v: "{{/* five */}}{{ .parameters.quota }}"`, `{"v":5}`},
		{"literals have types, too", `v: "{{ 5 }}"`, `{"v":5}`},
		{"a text that looks like a number stays a text", `v: '{{ "5" }}'`, `{"v":"5"}`},
		{"text and action are a string", `v: "{{ .parameters.quota }} MB"`, `{"v":"5 MB"}`},
		{"two actions are a string", `v: "{{ .parameters.quota }}{{ .parameters.quota }}"`, `{"v":"55"}`},
		{"a trailing line break makes a string", "v: |\n  {{ .parameters.quota }}\n", `{"v":"5\n"}`},
		{"YAML's folding without a line break does not", "v: >-\n  {{ .parameters.quota }}\n", `{"v":5}`},
		{"if is a text", `v: "{{ if .parameters.on }}1{{ else }}0{{ end }}"`, `{"v":"0"}`},
		{"range is a text", `v: "{{ range $i, $t := .parameters.tags }}{{ if $i }},{{ end }}{{ $t }}{{ end }}"`, `{"v":"a,b"}`},
		{"range over a mapping is in the order of the keys", `v: "{{ range $k, $e := .parameters.labels }}{{ $k }} {{ end }}"`, `{"v":"deep none team "}`},
		{"range over null is empty, since an absent parameter is null", `v: "{{ range .parameters.none }}x{{ else }}empty{{ end }}"`, `{"v":"empty"}`},
		{"break and continue", `v: "{{ range .parameters.tags }}{{ if eq . \"b\" }}{{ break }}{{ end }}{{ . }}{{ continue }}{{ end }}"`, `{"v":"a"}`},
		{"with moves the dot", `v: "{{ with .parameters.labels }}{{ .team }}-{{ $.plan.name }}{{ end }}"`, `{"v":"red-default"}`},
		{"else with", `v: "{{ with .parameters.none }}a{{ else with .parameters.name }}{{ . }}{{ end }}"`, `{"v":"photos"}`},
		{"variables", `v: "{{ $x := .parameters.quota }}{{ $x = add $x 1 }}n{{ $x }}"`, `{"v":"n6"}`},
		{"and does not evaluate what it does not need", `v: '{{ and .parameters.on (fail "no") }}'`, `{"v":false}`},
		{"or does not evaluate what it does not need", `v: '{{ or .parameters.quota (fail "no") }}'`, `{"v":5}`},
		{"nil is an argument", `v: "{{ coalesce nil .parameters.quota }}"`, `{"v":5}`},
		{"fields of results", `v: '{{ (dict "a" (dict "b" 5)).a.b }}'`, `{"v":5}`},
		{"numbers in text as JSON writes them", `v: "{{ .parameters.ratio }} {{ 1e9 }} {{ divf 1 3 }}"`, `{"v":"2.5 1000000000 0.333333333333333"}`},
		{"booleans in text", `v: "on={{ .parameters.on }}"`, `{"v":"on=false"}`},

		{"null removes its key", `{a: "{{ .parameters.none }}", b: 1, c: null}`, `{"b":1}`},
		{"null removes its element", `[1, "{{ .parameters.none }}", null, 2]`, `[1,2]`},
		{"null entries inside of a value vanish", `"{{ .parameters }}"`,
			`{"name":"photos","quota":5,"ratio":2.5,"on":false,"tags":["a","b"],"labels":{"team":"red","deep":{"x":1}}}`},
		{"null elements inside of a value stay, positions may matter", `v: "{{ list 1 nil 2 }}"`, `{"v":[1,null,2]}`},
		{"a document can be null", `"{{ .parameters.none }}"`, `null`},
		{"an emptied mapping stays", `{a: {b: "{{ .parameters.none }}"}}`, `{"a":{}}`},

		{"what has no action stays what it is", `{a: 5, b: 5.5, c: true, d: "5", e: [x, {y: z}], f: ""}`,
			`{"a":5,"b":5.5,"c":true,"d":"5","e":["x",{"y":"z"}],"f":""}`},
		{"a whole number is an integer", `{a: 2.0, b: "{{ mulf .parameters.ratio 2 }}"}`, `{"a":2,"b":5}`},
		{"large integers stay exact", `{a: 9007199254740993, b: "{{ 9007199254740993 }}"}`, `{"a":9007199254740993,"b":9007199254740993}`},
		{"closing braces alone are text", `v: "a }} b"`, `{"v":"a }} b"}`},
		{"a literal {{", `v: '{{ "{{" }} x }}'`, `{"v":"{{ x }}"}`},
		{"keys are never templates", `{"{{ x }}": 1}`, `{"{{ x }}":1}`},
		{"only a comment is an empty text", `v: "{{/* nothing */}}"`, `{"v":""}`},

		{"all data can be read", `[ "{{ .instance.id }}", "{{ .instance.shortID }}", "{{ .instance.parameters.name }}", "{{ .instance.outputs.bucket }}",
			"{{ .binding.id }}", "{{ .binding.outputs.port }}", "{{ .service.id }}", "{{ .service.name }}", "{{ .plan.id }}", "{{ .plan.name }}",
			"{{ .context.platform }}", "{{ .user.username }}" ]`,
			`["i-1","xabc","photos","b-1","b-1",8080,"s-1","bucket","p-1","default","kubernetes","ann"]`},
	} {
		t.Run(c.why, func(t *testing.T) {
			d := data()
			got, err := compile(t, source(t, "t.yaml", c.source), everything()).Render(d)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fromJSON(t, c.want), got); diff != "" {
				t.Errorf("wanted (-) and rendered (+) differ:\n%s", diff)
			}
			if diff := cmp.Diff(data(), d); diff != "" {
				t.Errorf("the data was changed:\n%s", diff)
			}
		})
	}
}

func TestRenderErrors(t *testing.T) {
	for _, c := range []struct {
		why    string
		source string
		code   core.ErrorCode
		detail []string
	}{
		{"missing keys are errors at the first level", `v: "{{ .parameters.nope }}"`, core.CodeFailed, []string{"t.yaml:1:4", "v:", ".parameters.nope", "nope"}},
		{"and deeper", `v: "{{ .parameters.labels.deep.nope }}"`, core.CodeFailed, []string{"nope"}},
		{"and in text, instead of <no value>", `v: "a{{ .parameters.nope }}"`, core.CodeFailed, []string{"nope"}},
		{"and through with", `v: "{{ with .parameters }}{{ .nope }}{{ end }}"`, core.CodeFailed, []string{"nope"}},
		{"and through a variable", `v: "{{ $p := .parameters }}{{ $p.nope }}"`, core.CodeFailed, []string{"nope"}},
		{"and through index, which text/template would make null", `v: '{{ index .parameters "nope" }}'`, core.CodeFailed, []string{"nope"}},
		{"and for the context, which nobody declares", `v: "{{ .context.nope }}"`, core.CodeFailed, []string{".context.nope"}},
		{"and for the user", `v: "{{ .user.nope }}"`, core.CodeFailed, []string{".user.nope"}},
		{"a field of null", `v: "{{ .parameters.none.x }}"`, core.CodeFailed, []string{"none.x", "there is no entry x"}},
		{"a field of null in a variable", `v: "{{ $n := .parameters.none }}{{ $n.x }}"`, core.CodeFailed, []string{"$n.x", "there is no entry x"}},
		{"a field of a list", `v: "{{ .parameters.tags.x }}"`, core.CodeFailed, []string{"tags.x", "there is no entry x"}},
		{"a field of an integer", `v: "{{ .parameters.quota.x }}"`, core.CodeFailed, []string{"quota.x", "there is no entry x"}},
		{"a field of a text", `v: "{{ .parameters.name.x }}"`, core.CodeFailed, []string{"name.x", "there is no entry x"}},
		{"null in text", `v: "a{{ .parameters.none }}"`, core.CodeFailed, []string{"null", "default", ".parameters.none"}},
		{"a list in text", `v: "a{{ .parameters.tags }}"`, core.CodeFailed, []string{"list", "join"}},
		{"a mapping in text", `v: "a{{ .parameters.labels }}"`, core.CodeFailed, []string{"mapping", "toJSON"}},
		{"null for a function that needs a text", `v: "{{ upper .parameters.none }}"`, core.CodeFailed, []string{"upper", "argument 1 is null"}},
		{"a number for a function that needs a text", `v: "{{ $n := 5 }}{{ upper $n }}"`, core.CodeFailed, []string{"upper", "an integer", "a string"}},
		{"range over a number would be a user's loop", `v: "{{ range .parameters.quota }}x{{ end }}"`, core.CodeFailed, []string{"range", "an integer", ".parameters.quota"}},
		{"division by zero is an error, not a panic", `v: "{{ div 1 0 }}"`, core.CodeFailed, []string{"division by zero"}},
		{"overflow is an error, not another number", `v: "{{ mul .parameters.quota 9223372036854775807 }}"`, core.CodeFailed, []string{"too large"}},
		{"text that is not UTF-8 cannot be JSON", `v: '{{ b64dec "/w==" }}'`, core.CodeFailed, []string{"UTF-8"}},
		{"printf with null", `v: '{{ printf "%s" .parameters.none }}'`, core.CodeFailed, []string{"printf", "null"}},
		{"printf with the wrong type", `v: '{{ printf "%d" .parameters.name }}'`, core.CodeFailed, []string{"%d", "an integer", "a string"}},
		{"the place is that of the scalar", "a: 1\nb:\n- c\n- d: \"{{ .parameters.nope }}\"", core.CodeFailed, []string{"t.yaml:4:6", "b[1].d"}},
		{"fail is for the user", `v: '{{ fail "Not today." }}'`, core.CodeInvalid, []string{"t.yaml:1:4"}},
		{"required is for the user", `v: '{{ required "Name an owner." .parameters.none }}'`, core.CodeInvalid, []string{"t.yaml:1:4"}},
		{"a fail without words still says something", `v: '{{ fail "" }}'`, core.CodeInvalid, nil},
	} {
		t.Run(c.why, func(t *testing.T) {
			v, err := compile(t, source(t, "t.yaml", c.source), everything()).Render(data())
			var e *core.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v and the error %v, want a *core.Error", v, err)
			}
			if e.Code != c.code || e.Message == "" || !mentions(e.Detail, c.detail...) {
				t.Errorf("got %q %q with the detail %q, want %q with %q", e.Code, e.Message, e.Detail, c.code, c.detail)
			}
			if strings.Contains(e.Detail, "__") || strings.Contains(e.Detail, "interface {}") || strings.Contains(e.Message, "t.yaml") {
				t.Errorf("the error shows internals: %v", e)
			}
			if v != nil {
				t.Errorf("got the value %v beside the error", v)
			}
		})
	}
}

// The message of fail and required is what the user sees, no more.
func TestUserMessage(t *testing.T) {
	_, err := compile(t, scalarNode(`{{ printf "No %s." .parameters.name | fail }}`), everything()).Render(data())
	if got := core.AsError(err).UserMessage(); got != "No photos." {
		t.Errorf("the user sees %q", got)
	}
	_, err = compile(t, scalarNode(`{{ fail .parameters.name }}`), everything()).Render(core.TemplateData{
		Parameters: map[string]any{"name": strings.Repeat("ä", 5000)}})
	if got := core.AsError(err).UserMessage(); len([]rune(got)) > 1001 {
		t.Errorf("a user's text makes a message of %d characters", len([]rune(got)))
	}
}

// Errors go to logs: values, which may be secrets, must not be in them.
func TestErrorsHoldNoValues(t *testing.T) {
	const secret = "hunter2%zz\x7f"
	for _, text := range []string{
		`{{ int .parameters.s }}`, `{{ float64 .parameters.s }}`, `{{ bool .parameters.s }}`, `{{ toDecimal .parameters.s }}`, `{{ b64dec .parameters.s }}`,
		`{{ b32dec .parameters.s }}`, `{{ fromJSON .parameters.s }}`, `{{ urlParse .parameters.s }}`, `{{ splitHostPort .parameters.s }}`,
		`{{ hostPort "h" .parameters.s }}`, `{{ semverCompare ">1" .parameters.s }}`, `{{ urlJoin (dict "userinfo" .parameters.s) }}`,
		`{{ .parameters.s.x }}`, `{{ range .parameters.s }}{{ end }}`, `{{ upper (list .parameters.s) }}`, `{{ pointer .parameters.s 1 }}`,
		`{{ $l := list .parameters.s }}x{{ $l }}`, `{{ index .parameters (print .parameters.s) }}`, `{{ printf "%d" .parameters.s }}`, `{{ join "," (list (list .parameters.s)) }}`, `{{ lt .parameters.s 1 }}`,
		`{{ index (list 1) .parameters.s }}`, `{{ $s := .parameters.s }}{{ $s.x }}`, `{{ add .parameters.s 1 }}`, `{{ .parameters.s 1 }}`,
	} {
		tmpl, problems := template.New().Compile(scalarNode(text), everything())
		if tmpl == nil {
			if strings.HasPrefix(problems[0].Message, "{{ .parameters.s }} is not a function") || strings.Contains(problems[0].Message, "upper") {
				continue // refused before there is a value
			}
			t.Fatalf("%s: %v", text, problems)
		}
		_, err := tmpl.Render(core.TemplateData{Parameters: map[string]any{"s": secret}})
		if err == nil {
			t.Errorf("%s: no error", text)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error holds the value: %v", text, err)
		}
	}
}

// What a template gives is the caller's: changing it changes neither data nor the next result.
func TestResultIsACopy(t *testing.T) {
	tmpl := compile(t, source(t, "t.yaml", `{p: "{{ .parameters }}", l: [x]}`), everything())
	d := data()
	first, err := tmpl.Render(d)
	if err != nil {
		t.Fatal(err)
	}
	before := asJSON(t, first)
	m := first.(map[string]any)
	m["p"].(map[string]any)["labels"].(map[string]any)["team"] = "blue"
	m["p"].(map[string]any)["tags"].([]any)[0] = "z"
	m["l"].([]any)[0] = "z"
	second, err := tmpl.Render(d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, asJSON(t, second)); diff != "" {
		t.Errorf("a change of the first result shows in the second:\n%s", diff)
	}
	if diff := cmp.Diff(data(), d); diff != "" {
		t.Errorf("a change of the result shows in the data:\n%s", diff)
	}
}

// One template renders in many goroutines, each with its own data and secrets.
func TestRenderIsConcurrent(t *testing.T) {
	tmpl := compile(t, source(t, "t.yaml", `{n: "{{ .parameters.n }}", s: '{{ instanceSecret "a" 8 }}', t: "{{ range $k, $v := .parameters.m }}{{ $k }}{{ $v }}{{ end }}", r: '{{ regexReplaceAll "[0-9]" .parameters.x "#" }}'}`), everything())
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				n := int64(g*1000 + i)
				got, err := tmpl.Render(core.TemplateData{Secrets: fixedSecrets{n},
					Parameters: map[string]any{"n": n, "x": "a1", "m": map[string]any{"b": n, "a": "-"}}})
				if err != nil {
					t.Error(err)
					return
				}
				m := got.(map[string]any)
				want := map[string]any{"n": n, "s": fixedSecrets{n}.text(), "t": "a-b" + fixedSecrets{n}.text(), "r": "a#"}
				if diff := cmp.Diff(want, m); diff != "" {
					t.Error(diff)
					return
				}
			}
		})
	}
	all.Wait()
}

// A Node that went through JSON, as a pinned definition does, renders the same.
func TestSourceSurvivesJSON(t *testing.T) {
	src := source(t, "t.yaml", `{i: 9007199254740993, f: 2.5, w: 2.0, b: true, n: null, s: "{{ .parameters.quota }}", l: [1, {a: "x{{ .plan.name }}"}], e: {}, m: []}`)
	raw, err := json.Marshal(compile(t, src, everything()).Source())
	if err != nil {
		t.Fatal(err)
	}
	var back core.Node
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(src, back); diff != "" {
		t.Errorf("the source changed:\n%s", diff)
	}
	for _, n := range []core.Node{src, back} {
		got, err := compile(t, n, everything()).Render(data())
		if err != nil {
			t.Fatal(err)
		}
		want := fromJSON(t, `{"i":9007199254740993,"f":2.5,"w":2,"b":true,"s":5,"l":[1,{"a":"xdefault"}],"e":{},"m":[]}`)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// Empty data is fine: nil maps are mappings without entries.
func TestNilData(t *testing.T) {
	got, err := compile(t, scalarNode(`{{ len .parameters }}{{ len .context }}{{ dig "a" "-" .user }}`), everything()).Render(core.TemplateData{})
	if err != nil || got != "00-" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := compile(t, scalarNode(`{{ .binding.id }}`), everything()).Render(core.TemplateData{}); err == nil {
		t.Error("there is no binding, and no error")
	}
}

// What a scope does not offer is not there when the template runs, whatever way it takes.
func TestUnavailableDataIsAbsent(t *testing.T) {
	scope := core.TemplateScope{Name: "provision"}
	for _, text := range []string{`{{ with .instance }}{{ .outputs.bucket }}{{ end }}`, `{{ $i := .instance }}{{ $i.outputs }}`,
		`{{ index (pick .instance "outputs") "outputs" | toJSON }}`} {
		if v, err := compile(t, scalarNode(text), scope).Render(data()); err == nil {
			t.Errorf("%s gives %v", text, v)
		}
	}
}
