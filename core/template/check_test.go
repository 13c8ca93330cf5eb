package template_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/template"
)

// declared is the scope of credentials with known names.
func declared() core.TemplateScope {
	return core.TemplateScope{
		Name:               "credentials",
		Parameters:         map[string]string{"bucketName": "string", "quota": "integer", "ratio": "number", "on": "boolean", "tags": "array", "labels": "object", "any": "", "bucket-name": "string"},
		InstanceParameters: map[string]string{"region": "string"},
		InstanceOutputs:    map[string]string{"endpoint": "string", "port": "integer"},
		BindingOutputs:     map[string]string{"accessKeyID": "string"},
		Binding:            true,
	}
}

// provision is the scope of a provision template: nothing exists yet.
func provision() core.TemplateScope {
	s := declared()
	s.Name, s.InstanceOutputs, s.BindingOutputs, s.Binding = "provision", nil, nil, false
	return s
}

func wanting(s core.TemplateScope, pointer, jsonType string) core.TemplateScope {
	s.Want = map[string]string{pointer: jsonType}
	return s
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		why    string
		source string // YAML
		scope  core.TemplateScope
		want   []string // parts of the one problem's message
		hint   string   // part of its hint
	}{
		{"an undeclared parameter", `"{{ .parameters.bucketNmae }}"`, declared(), []string{`no parameter is called "bucketNmae"`}, `did you mean "bucketName"?`},
		{"with nothing near it, all are named", `"{{ .instance.parameters.zzzzzz }}"`, declared(), []string{`no parameter is called "zzzzzz"`}, `known are region`},
		{"the parameters of the binding are those of bind", `"{{ .binding.parameters.nope }}"`, declared(), []string{`no parameter is called "nope"`}, ""},
		{"an undeclared output of the instance", `"{{ .instance.outputs.endpiont }}"`, declared(), []string{`no output of the instance is called "endpiont"`}, `"endpoint"`},
		{"an undeclared output of the binding", `"{{ .binding.outputs.accessKeyId }}"`, declared(), []string{`no output of the binding is called "accessKeyId"`}, `"accessKeyID"`},
		{"through the root variable", `"{{ $.binding.outputs.nope }}"`, declared(), []string{`"nope"`}, ""},
		{"the root variable inside of with", `"{{ with .plan }}{{ $.parameters.nope }}{{ end }}"`, declared(), []string{`"nope"`}, ""},
		{"through index", `'{{ index .parameters "bucket-nam" }}'`, declared(), []string{`"bucket-nam"`}, `"bucket-name"`},
		{"through index of the root variable", `'{{ index $.instance "outputs" "nope" }}'`, declared(), []string{`"nope"`}, ""},
		{"as an argument", `'{{ printf "%s" .parameters.nope }}'`, declared(), []string{`"nope"`}, ""},
		{"inside of parentheses", `'{{ upper (lower .parameters.nope) }}'`, declared(), []string{`"nope"`}, ""},
		{"in the condition of an if", `"{{ if .parameters.nope }}x{{ end }}"`, declared(), []string{`"nope"`}, ""},
		{"in a branch that never runs", `"{{ if false }}{{ .parameters.nope }}{{ end }}"`, declared(), []string{`"nope"`}, ""},
		{"in an else", `"{{ if true }}{{ else }}{{ .parameters.nope }}{{ end }}"`, declared(), []string{`"nope"`}, ""},
		{"in the else of a with, where the dot is the root", `"{{ with .plan.id }}{{ else }}{{ .parameters.nope }}{{ end }}"`, declared(), []string{`"nope"`}, ""},
		{"in the value of a variable", `"{{ $x := .parameters.nope }}{{ $x }}"`, declared(), []string{`"nope"`}, ""},
		{"in what a range walks over", `"{{ range .parameters.nope }}{{ end }}"`, declared(), []string{`"nope"`}, ""},

		{"an unknown root", `"{{ .paramters.bucketName }}"`, declared(), []string{"the data has no .paramters"}, `"parameters"`},
		{"an unknown field of the instance", `"{{ .instance.name }}"`, declared(), []string{"an instance has no .name"}, ""},
		{"an unknown field of the binding", `"{{ .binding.app }}"`, declared(), []string{"a binding has no .app"}, ""},
		{"an unknown field of the plan", `"{{ .plan.free }}"`, declared(), []string{"there is no .free"}, "id, name"},
		{"a field of a text", `"{{ .instance.id.x }}"`, declared(), []string{`has no field "x"`}, ""},
		{"a field of a parameter that is a text", `"{{ .parameters.bucketName.x }}"`, declared(), []string{`"bucketName" is a string and has no field "x"`}, ""},
		{"a field of a function's result that is a text", `'{{ (upper "a").x }}'`, declared(), []string{`is a string and has no field "x"`}, ""},
		{"the whole data", `"{{ . }}"`, declared(), []string{"the whole data is not a value"}, ".parameters"},
		{"the whole data by its variable", `"{{ toJSON $ }}"`, declared(), []string{"the whole data is not a value"}, ""},

		{"there is no binding in provision", `"{{ .binding.id }}"`, provision(), []string{".binding is not available in provision"}, ""},
		{"there are no outputs in provision", `"{{ .instance.outputs.endpoint }}"`, provision(), []string{"outputs of the instance are not available in provision"}, ""},
		{"nor as a whole", `"{{ toJSON .instance.outputs }}"`, provision(), []string{"not available in provision"}, ""},
		{"not even when the plugin is unknown", `"{{ .instance.outputs.endpoint }}"`, core.TemplateScope{Name: "dashboardURL", AnyOutputs: true}, []string{"not available in dashboardURL"}, ""},
		{"no secrets of a binding in provision", `'{{ bindingSecret "a" 8 }}'`, provision(), []string{"bindingSecret is not available in provision"}, "instanceSecret"},

		{"an unknown function", `"{{ uper .plan.id }}"`, declared(), []string{`there is no function "uper"`}, `did you mean "upper"?`},
		{"a function in another case", `"{{ toJSon .plan.id }}"`, declared(), []string{`"toJSon"`}, `did you mean "toJ`},
		{"the environment", `'{{ env "HOME" }}'`, declared(), []string{`"env"`}, "cannot read the environment"},
		{"the environment, expanded", `'{{ expandenv "$HOME" }}'`, declared(), []string{`"expandenv"`}, "environment"},
		{"the network", `'{{ getHostByName "localhost" }}'`, declared(), []string{`"getHostByName"`}, "network"},
		{"the clock", `'{{ now | date "2006" }}'`, declared(), []string{`"now"`}, "clock"},
		{"chance", `"{{ randAlphaNum 8 }}"`, declared(), []string{`"randAlphaNum"`}, "instanceSecret"},
		{"keys", `"{{ genPrivateKey \"rsa\" }}"`, declared(), []string{`"genPrivateKey"`}, "instanceSecret"},
		{"changes in place", `'{{ set .parameters.labels "a" 1 }}'`, declared(), []string{`"set"`}, "merge"},
		{"sprig's must functions are the plain ones here", `"{{ mustToJson .plan.id }}"`, declared(), []string{`"mustToJson"`}, "use toJson"},
		{"text/template's call", `"{{ call .plan.id }}"`, declared(), []string{`"call"`}, "functions are no values"},
		{"our own functions are not for templates", `"{{ __capture 1 }}"`, declared(), []string{`"__capture"`}, ""},
		{"a function as an argument", `"{{ upper nope }}"`, declared(), []string{`"nope"`}, ""},

		{"too many arguments", `'{{ upper "a" "b" }}'`, declared(), []string{"upper takes 1 argument and gets 2"}, ""},
		{"too few", `'{{ replace "a" "b" }}'`, declared(), []string{"replace takes 3 arguments and gets 2"}, ""},
		{"the piped argument counts", `'{{ "a" | upper "b" }}'`, declared(), []string{"upper takes 1 argument and gets 2"}, ""},
		{"at least", `'{{ dig "a" .context }}'`, declared(), []string{"dig takes at least 3 arguments and gets 2"}, ""},
		{"a range of arguments", `"{{ slice }}"`, declared(), []string{"slice takes 1 to 3 arguments and gets 0"}, ""},
		{"a function without its argument, as an argument", `"{{ len (upper) }}"`, declared(), []string{"upper takes 1 argument and gets 0"}, ""},
		{"the wrong type of a literal", `"{{ upper 5 }}"`, declared(), []string{"argument 1 of upper must be a string and is an integer"}, ""},
		{"the wrong type of a parameter", `"{{ upper .parameters.quota }}"`, declared(), []string{"argument 1 of upper must be a string and is an integer"}, ""},
		{"the wrong type of a result", `"{{ .parameters.tags | len | upper }}"`, declared(), []string{"argument 1 of upper must be a string and is an integer"}, ""},
		{"arguments for what is no function", `"{{ .parameters.quota 5 }}"`, declared(), []string{"is not a function"}, ""},
		{"a pipe into what is no function", `'{{ "a" | .parameters.quota }}'`, declared(), []string{"is not a function"}, ""},
		{"range over a number", `"{{ range .parameters.quota }}{{ end }}"`, declared(), []string{"range takes a list or a mapping and gets an integer"}, ""},
		{"a list in a text", `"x{{ .parameters.tags }}"`, declared(), []string{"yields a list, which cannot be part of a text"}, "join"},
		{"nil alone", `"{{ nil }}"`, declared(), []string{"nil alone"}, ""},
		{"a complex number", `"{{ 1i }}"`, declared(), []string{"1i"}, ""},
		{"a number that no integer holds", `"{{ 99999999999999999999 }}"`, declared(), []string{"99999999999999999999"}, ""},

		{"a format that takes more", `'{{ printf "%s-%s" .plan.id }}'`, declared(), []string{`takes 2 values and gets 1`}, ""},
		{"a format that takes less", `'{{ printf "x" .plan.id }}'`, declared(), []string{`takes 0 values and gets 1`}, ""},
		{"a format that takes another type", `'{{ printf "%d" .parameters.bucketName }}'`, declared(), []string{"%d", "takes an integer and gets a string"}, ""},
		{"a format that is none", `'{{ printf "%y" 1 }}'`, declared(), []string{"a conversion that is not known"}, ""},
		{"a width that is a memory bomb", `'{{ printf "%99999d" 1 }}'`, declared(), []string{"a conversion that is not known"}, ""},
		{"a format from a user", `"{{ printf .parameters.bucketName }}"`, declared(), []string{"must be a text written here"}, ""},
		{"a pattern that is none", `'{{ regexMatch "(" .plan.id }}'`, declared(), []string{"the pattern is not valid"}, ""},
		{"a constraint that is none", `'{{ semverCompare "=>" "1.0.0" }}'`, declared(), []string{"is not a version constraint"}, ""},

		{"the name of a secret from a user", `"{{ instanceSecret .parameters.bucketName 8 }}"`, declared(), []string{"must be written here"}, "for example"},
		{"the length of a secret from a user", `'{{ instanceSecret "a" .parameters.quota }}'`, declared(), []string{"must be written here"}, ""},
		{"a piped length", `'{{ 8 | instanceSecret "a" }}'`, declared(), []string{"must be written here"}, ""},
		{"no length", `'{{ instanceSecret "a" 0 }}'`, declared(), []string{"must be 1 to 1024"}, ""},
		{"too long", `'{{ bindingSecret "a" 1025 }}'`, declared(), []string{"must be 1 to 1024"}, ""},
		{"a fraction as a length", `'{{ bindingSecret "a" 8.5 }}'`, declared(), []string{"must be"}, ""},
		{"a bad name", `'{{ bindingSecret "a b" 8 }}'`, declared(), []string{"is not a name for a secret"}, ""},
		{"two lengths of one secret", `['{{ bindingSecret "a" 8 }}', '{{ bindingSecret "a" 9 }}']`, declared(), []string{"with the lengths 8 and 9"}, ""},

		{"text/template's syntax errors", `"{{ .parameters.bucketName"`, declared(), []string{"cannot be parsed", "unclosed action"}, ""},
		{"a name that is not an identifier", `"{{ .parameters.bucket-name }}"`, declared(), []string{"cannot be parsed"}, "index"},
		{"single quotes make a number in Go", `"{{ eq .plan.id 'a' }}"`, declared(), []string{"'a' is not a text"}, "double quotes"},
		{"an undefined variable", `"{{ $x }}"`, declared(), []string{"cannot be parsed", `undefined variable "$x"`}, ""},
		{"the line of a long text", "|\n  a\n  b {{ end }}\n", declared(), []string{"line 2 of the text"}, ""},
		{"define", `'{{ define "x" }}{{ end }}'`, declared(), []string{"cannot define other templates"}, ""},
		{"define of the name that the parser uses", `'{{ define "template" }}x{{ end }}'`, declared(), []string{"cannot define other templates"}, ""},
		{"template", `'{{ template "x" }}'`, declared(), []string{"cannot call other templates"}, ""},
		{"template inside of if", `'{{ if true }}{{ template "template" . }}{{ end }}'`, declared(), []string{"cannot call other templates"}, ""},
		{"a variable that nothing can read", `"{{ $x := 5 }}"`, declared(), []string{"sets a variable that nothing reads"}, ""},

		{"an integer is wanted, a text is there", `{q: "five"}`, wanting(declared(), "/q", "integer"), []string{"an integer is wanted here and this yields a string"}, "quotes"},
		{"an integer is wanted, a fraction is there", `{q: 1.5}`, wanting(declared(), "/q", "integer"), []string{"this is a fraction"}, ""},
		{"a string is wanted, a number is there", `{q: 5}`, wanting(declared(), "/q", "string"), []string{"a string is wanted here and this yields an integer"}, "quotes"},
		{"a string is wanted, a boolean is there", `{q: true}`, wanting(declared(), "/q", "string"), []string{"a boolean"}, ""},
		{"a string is wanted, a mapping is there", `{q: {a: b}}`, wanting(declared(), "/q", "string"), []string{"a mapping"}, ""},
		{"a mapping is wanted, a list is there", `[]`, wanting(declared(), "", "object"), []string{"a mapping is wanted here and this yields a list"}, ""},
		{"text and action can only be a string", `{q: "{{ .parameters.quota }} MB"}`, wanting(declared(), "/q", "integer"), []string{"an integer is wanted here and this yields a string"}, "exactly one {{ }}"},
		{"if is a text, too", `{q: "{{ if .parameters.on }}1{{ end }}"}`, wanting(declared(), "/q", "integer"), []string{"yields a string"}, "exactly one"},
		{"white space makes a text", "q: |\n  {{ .parameters.quota }}\n", wanting(declared(), "/q", "integer"), []string{"yields a string"}, ">-"},
		{"a parameter of another type", `{q: "{{ .parameters.bucketName }}"}`, wanting(declared(), "/q", "integer"), []string{"an integer is wanted here and this yields a string or null"}, "use int"},
		{"an output of another type", `{q: "{{ .instance.outputs.port }}"}`, wanting(declared(), "/q", "string"), []string{"a string is wanted here and this yields an integer"}, "toString"},
		{"a function of another type", `{q: "{{ len .parameters.tags }}"}`, wanting(declared(), "/q", "string"), []string{"yields an integer"}, ""},
		{"a default that does not help", `{q: "{{ .parameters.bucketName | default \"a\" }}"}`, wanting(declared(), "/q", "boolean"), []string{"a boolean is wanted here and this yields a string"}, ""},
		{"deep inside", `{a: [{b/c: "x"}]}`, wanting(declared(), "/a/0/b~1c", "integer"), []string{"an integer is wanted"}, ""},

		{"a key twice", "", core.TemplateScope{}, []string{`the key "a" is there twice`}, ""}, // YAML readers refuse it, a Node may hold it
		{"a node of no kind", "", core.TemplateScope{}, []string{"neither a scalar, a mapping nor a list"}, ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			var src core.Node
			switch {
			case c.source != "":
				src = source(t, "t.yaml", c.source)
			case strings.Contains(c.why, "twice"):
				src = core.Node{Kind: core.NodeMapping, Fields: []core.Field{{Key: "a", Value: scalarNode("1")}, {Key: "a", Value: scalarNode("2")}}}
			}
			tmpl, problems := template.New().Compile(src, c.scope)
			if tmpl != nil || len(problems) == 0 {
				t.Fatal("it was accepted")
			}
			p := problems[0]
			if len(problems) > 1 && !strings.Contains(c.why, "clock") { // now and date are two
				t.Errorf("%d problems: %v", len(problems), problems)
			}
			if p.Warning || !mentions(p.Message, c.want...) || !strings.Contains(p.Hint, c.hint) {
				t.Errorf("got %q with the hint %q, want %q with %q", p.Message, p.Hint, c.want, c.hint)
			}
		})
	}
}

// What may be right is not refused: the check is conservative.
func TestNoFalseProblems(t *testing.T) {
	open := declared()
	open.OpenParameters, open.OpenInstanceParameters, open.AnyOutputs = true, true, true
	for _, c := range []struct {
		why    string
		source string
		scope  core.TemplateScope
	}{
		{"inside of with the dot is unknown", `"{{ with .parameters.labels }}{{ .whatever }}{{ end }}"`, declared()},
		{"inside of range the dot is unknown", `"{{ range .parameters.tags }}{{ .whatever }}{{ end }}"`, declared()},
		{"variables are unknown", `"{{ $x := .parameters.labels }}{{ $x.whatever }}"`, declared()},
		{"the result of an unknown function type", `"{{ (first .parameters.tags).whatever }}"`, declared()},
		{"fields of declared objects", `"{{ .parameters.labels.whatever }}"`, declared()},
		{"fields of what has no declared type", `"{{ .parameters.any.whatever }}"`, declared()},
		{"open parameters", `"{{ .parameters.whatever.x }}"`, open},
		{"open parameters of the instance", `"{{ .instance.parameters.whatever }}"`, open},
		{"outputs of a plugin that is not known yet", `"{{ .instance.outputs.whatever }}{{ .binding.outputs.whatever }}"`, open},
		{"the context and the user are the platform's", `"{{ .context.a.b }}{{ .user.a }}{{ .instance.context.x }}"`, declared()},
		{"index with a name that is not literal", `"{{ index .parameters .parameters.bucketName }}"`, declared()},
		{"index of a declared name", `'{{ index .parameters "bucket-name" }}'`, declared()},
		{"an unknown type where one is wanted", `{q: "{{ .parameters.any }}"}`, wanting(declared(), "/q", "integer")},
		{"a number where an integer is wanted may be whole", `{q: "{{ .parameters.ratio }}"}`, wanting(declared(), "/q", "integer")},
		{"an integer where a number is wanted", `{q: 5}`, wanting(declared(), "/q", "number")},
		{"a whole fraction where an integer is wanted", `{q: 5.0}`, wanting(declared(), "/q", "integer")},
		{"null where anything is wanted removes the key", `{q: null}`, wanting(declared(), "/q", "integer")},
		{"default may give the wanted type", `{q: "{{ .parameters.any | default 5 }}"}`, wanting(declared(), "/q", "string")},
		{"ternary may give it", `{q: "{{ ternary 5 .parameters.bucketName .parameters.on }}"}`, wanting(declared(), "/q", "string")},
		{"conversions", `{q: "{{ int .parameters.bucketName }}"}`, wanting(declared(), "/q", "integer")},
		{"a text where a string is wanted", `{q: "{{ .parameters.quota }} MB"}`, wanting(declared(), "/q", "string")},
		{"no opinion about other places", `{q: "{{ .parameters.quota }}"}`, wanting(declared(), "/other", "string")},
		{"integers for functions of fractions", `"{{ ceil .parameters.quota }}"`, declared()},
		{"a format of integers for a number", `'{{ printf "%d" .parameters.ratio }}'`, declared()},
		{"one secret twice", `['{{ bindingSecret "a" 8 }}', '{{ bindingSecret "a" 8 }}', '{{ instanceSecret "a" 9 }}']`, declared()},
		{"functions without arguments", `"{{ list }}"`, declared()},
		{"outputs where they are available but none is declared", `"{{ toJSON .instance.outputs }}"`, core.TemplateScope{InstanceOutputs: map[string]string{}}},
	} {
		t.Run(c.why, func(t *testing.T) {
			compile(t, source(t, "t.yaml", c.source), c.scope)
		})
	}
}

// Everything that is wrong is reported at once, with its place.
func TestAllProblemsAtOnce(t *testing.T) {
	src := source(t, "credentials/x.yaml", `a: "{{ .parameters.nope }} {{ nope }}"
b:
- "{{ upper 5 }}"
- c: "{{ if }}"
  d: "{{ .binding.outputs.nope }}"
e: "{{ .instance.outputs.endpoint }}"
`)
	_, problems := template.New().Compile(src, declared())
	var got []string
	for _, p := range problems {
		if p.File != "credentials/x.yaml" {
			t.Errorf("file %q", p.File)
		}
		got = append(got, strings.Join([]string{p.Path, string(rune('0' + p.Line)), string(rune('0' + p.Column))}, ":"))
	}
	want := []string{"a:1:4", "a:1:4", "b[0]:3:3", "b[1].c:4:6", "b[1].d:5:6"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places:\n%s", diff)
	}
}

// svc-cat makes a Secret of credentials. Other templates may use any key.
func TestSecretKeys(t *testing.T) {
	src := source(t, "t.yaml", "AWS_REGION: a\nca.crt: b\nx-y: c\na b: d\nnested: {c d: e}\n\"\": f\n")
	tmpl, problems := template.New().Compile(src, declared())
	var got []string
	for _, p := range problems {
		if !p.Warning || p.Line == 0 {
			t.Errorf("%+v", p)
		}
		got = append(got, p.Path)
	}
	if diff := cmp.Diff([]string{"a b", ""}, got); tmpl == nil || diff != "" {
		t.Errorf("warnings:\n%s", diff)
	}
	if _, problems := template.New().Compile(src, provision()); len(problems) > 0 {
		t.Errorf("inputs have no such bound: %v", problems)
	}
}

// A warning does not refuse the template.
func TestWarning(t *testing.T) {
	tmpl, problems := template.New().Compile(source(t, "t.yaml", "q: |\n  {{ .parameters.quota }}\n"), declared())
	if tmpl == nil || len(problems) != 1 || !problems[0].Warning || !strings.Contains(problems[0].Hint, ">-") {
		t.Errorf("got %v", problems)
	}
}
