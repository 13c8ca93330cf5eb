package template_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/template"
)

// hostile are texts that would do something if anything parsed them.
var hostile = []string{
	`{{ .instance.id }}`, `{{ fail "evaluated" }}`, `{{`, `}}`, `{{ "` + "`", `{{ instanceSecret "stolen" 8 }}`, `%!s(MISSING) %d %s %n`, `$1 ${name}`,
	`{{define "template"}}x{{end}}`, `{{template "template"}}`, `{{__capture 1}}`, "a\x00b", `"quoted" \ back`, `<no value>`, `$(id) ; rm -rf /`, `${env:HOME}`, "é𝄞\u2028",
}

// Text that came from outside is never evaluated, through whatever channel it came
// and whatever a template does with it.
func TestTextIsData(t *testing.T) {
	channels := map[string]struct {
		path string
		put  func(*core.TemplateData, string)
	}{
		"parameters": {".parameters.x", func(d *core.TemplateData, s string) { d.Parameters = map[string]any{"x": s} }},
		"nested parameters": {".parameters.o.x", func(d *core.TemplateData, s string) {
			d.Parameters = map[string]any{"o": map[string]any{"x": s}}
		}},
		"instance parameters": {".instance.parameters.x", func(d *core.TemplateData, s string) { d.Instance.Parameters = map[string]any{"x": s} }},
		"instance context":    {".instance.context.x", func(d *core.TemplateData, s string) { d.Instance.Context = map[string]any{"x": s} }},
		"instance outputs":    {".instance.outputs.x", func(d *core.TemplateData, s string) { d.Instance.Outputs = map[string]any{"x": s} }},
		"binding parameters":  {".binding.parameters.x", func(d *core.TemplateData, s string) { d.Binding.Parameters = map[string]any{"x": s} }},
		"binding outputs":     {".binding.outputs.x", func(d *core.TemplateData, s string) { d.Binding.Outputs = map[string]any{"x": s} }},
		"context":             {".context.x", func(d *core.TemplateData, s string) { d.Context = map[string]any{"x": s} }},
		"identity":            {".user.x", func(d *core.TemplateData, s string) { d.User = map[string]any{"x": s} }},
		"instance id":         {".instance.id", func(d *core.TemplateData, s string) { d.Instance.ID = s }},
		"binding id":          {".binding.id", func(d *core.TemplateData, s string) { d.Binding.ID = s }},
	}
	uses := map[string]string{ // template with PATH → what it gives with TEXT
		`{{ PATH }}`:                                             `TEXT`,
		`a {{ PATH }} z`:                                         `a TEXT z`,
		`{{ PATH | default "d" }}`:                               `TEXT`,
		`{{ printf "%s" PATH }}`:                                 `TEXT`,
		`{{ printf "%v-%s" PATH PATH }}`:                         `TEXT-TEXT`,
		`{{ print PATH }}`:                                       `TEXT`,
		`{{ with PATH }}{{ . }}{{ end }}`:                        `TEXT`,
		`{{ $v := PATH }}{{ $v }}`:                               `TEXT`,
		`{{ range list PATH }}{{ . }}{{ end }}`:                  `TEXT`,
		`{{ PATH | toJSON | fromJSON }}`:                         `TEXT`,
		`{{ PATH | b64enc | b64dec }}`:                           `TEXT`,
		`{{ replace "@" PATH "@" }}`:                             `TEXT`,
		`{{ regexReplaceAllLiteral "@" "@" PATH }}`:              `TEXT`,
		`{{ join "" (list PATH) }}`:                              `TEXT`,
		`{{ index (dict PATH PATH) PATH }}`:                      `TEXT`,
		`{{ fromJSON (toJSON (dict "k" PATH)) | pointer "/k" }}`: `TEXT`,
	}
	secrets := &recordedSecrets{}
	for name, channel := range channels {
		t.Run(name, func(t *testing.T) {
			for use, want := range uses {
				tmpl := compile(t, core.Node{Kind: core.NodeMapping, Fields: []core.Field{
					{Key: "v", Value: scalarNode(strings.ReplaceAll(use, "PATH", channel.path))}}}, everything())
				for _, text := range hostile {
					d := data()
					d.Secrets = secrets
					channel.put(&d, text)
					got, err := tmpl.Render(d)
					if err != nil {
						t.Errorf("%s with %q: %v", use, text, err)
						continue
					}
					if diff := cmp.Diff(map[string]any{"v": strings.ReplaceAll(want, "TEXT", text)}, got); diff != "" {
						t.Errorf("%s with %q:\n%s", use, text, diff)
					}
				}
			}
		})
	}
	if len(secrets.asked) > 0 {
		t.Errorf("a text made secrets: %q", secrets.asked)
	}
}

// Keys of users' mappings are data as well.
func TestKeysAreData(t *testing.T) {
	for _, text := range hostile {
		d := data()
		d.Parameters = map[string]any{"o": map[string]any{text: "v"}}
		got, err := compile(t, scalarNode(`{{ .parameters.o }}`), everything()).Render(d)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if diff := cmp.Diff(map[string]any{text: "v"}, got); diff != "" {
			t.Errorf("%q:\n%s", text, diff)
		}
	}
}

// Where a text would be parsed (as a format, a pattern, a constraint) it cannot come from data.
func TestParsedTextsAreLiterals(t *testing.T) {
	for _, text := range []string{`{{ printf .parameters.x }}`, `{{ .parameters.x | printf }}`, `{{ $f := "%s" }}{{ printf $f 1 }}`,
		`{{ regexMatch .parameters.x "a" }}`, `{{ regexFind (print .parameters.x) "a" }}`, `{{ regexSplit .parameters.x "a" -1 }}`,
		`{{ regexReplaceAll .parameters.x "a" "b" }}`, `{{ semverCompare .parameters.x "1.0.0" }}`,
		`{{ instanceSecret .parameters.x 8 }}`, `{{ instanceSecret "a" .parameters.x }}`, `{{ 8 | instanceSecret "a" }}`} {
		if tmpl, _ := template.New().Compile(scalarNode(text), everything()); tmpl != nil {
			t.Errorf("%s was accepted", text)
		}
	}
}
