package template_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/template"
)

// manyItems is a list of n small values, as a request body of 1 MiB can hold.
func manyItems(n int) []any {
	l := make([]any, n)
	for i := range l {
		l[i] = int64(1)
	}
	return l
}

func deep(n int) any {
	var v any = "x"
	for range n {
		v = map[string]any{"d": v}
	}
	return v
}

// No template and no value can occupy the broker: these would, without the bounds.
func TestRenderIsBounded(t *testing.T) {
	long := strings.Repeat("x", 1<<19)
	for _, c := range []struct{ why, source string }{
		{"repeat makes memory of a number", `{{ repeat .parameters.n "x" }}`},
		{"repeat of a long text", `{{ repeat 4 .parameters.long }}`},
		{"replace puts a long text in many places", `{{ replace "x" .parameters.long .parameters.long }}`},
		{"replace of nothing", `{{ replace "" .parameters.long .parameters.long }}`},
		{"join with a long separator", `{{ join .parameters.long .parameters.many }}`},
		{"patterns put a long text in many places", `{{ regexReplaceAll "x" .parameters.long .parameters.long }}`},
		{"and in literal form", `{{ regexReplaceAllLiteral "x" .parameters.long .parameters.long }}`},
		{"and by groups", `{{ regexReplaceAll "(x+)" .parameters.long "$1$1$1$1" }}`},
		{"indent of many lines", `{{ indent 1000 (replace "x" "\n" .parameters.long) }}`},
		{"until", `{{ until .parameters.n }}`},
		{"untilStep", `{{ untilStep 0 .parameters.n 1 }}`},
		{"range over a number", `{{ range .parameters.n }}x{{ end }}`},
		{"nested loops over data", `{{ range .parameters.many }}{{ range $.parameters.many }}{{ range $.parameters.many }}{{ end }}{{ end }}{{ end }}`},
		{"nested loops over what until gives", `{{ range until 9999 }}{{ range until 9999 }}{{ range until 9999 }}{{ end }}{{ end }}{{ end }}`},
		{"a loop that only calls", `{{ range .parameters.many }}{{ $x := upper $.parameters.long }}{{ end }}`},
		{"doubling a text", `{{ $s := "xx" }}{{ range until 100 }}{{ $s = print $s $s }}{{ end }}{{ $s }}`},
		{"doubling a list", `{{ $s := list 1 }}{{ range until 100 }}{{ $s = concat $s $s }}{{ end }}{{ toJSON $s }}`},
		{"a list that holds itself twice, many times", `{{ $s := list 1 }}{{ range until 100 }}{{ $s = list $s $s }}{{ end }}{{ toJSON $s }}`},
		{"nesting without end", `{{ $s := list 1 }}{{ range until 1000 }}{{ $s = list $s }}{{ end }}{{ toJSON $s }}`},
		{"values nested too deeply for those who read them", `{{ .parameters.deep }}`},
		{"a text that is too long", `{{ .parameters.long }}{{ .parameters.long }}{{ .parameters.long }}`},
		{"a trim that compares everything with everything", `{{ trimAll (replace "x" "ä" .parameters.long) .parameters.long }}`},
		{"printf with widths", `{{ range until 9999 }}{{ printf "%999d%999d%999d" 1 1 1 }}{{ end }}`},
		{"toPrettyJson of a large value", `{{ toPrettyJson (list .parameters.many .parameters.many .parameters.many) }}`},
		{"uniq of many lists", `{{ range until 9999 }}{{ $x := uniq $.parameters.many }}{{ end }}`},
		{"comparing large values many times", `{{ range until 9999 }}{{ if eq $.parameters.many $.parameters.many }}{{ end }}{{ end }}`},
	} {
		t.Run(c.why, func(t *testing.T) {
			d := core.TemplateData{Parameters: map[string]any{"n": int64(1e12), "long": long, "many": manyItems(50_000), "deep": deep(200)}}
			v, err := compile(t, scalarNode(c.source), everything()).Render(d)
			if err == nil {
				t.Fatalf("it rendered to %.60v…", v)
			}
			if core.CodeOf(err) != core.CodeFailed || len(err.Error()) > 2000 {
				t.Errorf("the error is %.200v", err)
			}
		})
	}
}

// The scalars of a document share its bounds.
func TestDocumentIsBounded(t *testing.T) {
	src := core.Node{Kind: core.NodeList}
	for range 10 {
		src.Items = append(src.Items, scalarNode(`{{ .parameters.long }}`))
	}
	_, err := compile(t, src, everything()).Render(core.TemplateData{Parameters: map[string]any{"long": strings.Repeat("x", 200_000)}})
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}

// Ordinary large values are within the bounds.
func TestLargeValuesRender(t *testing.T) {
	d := core.TemplateData{Parameters: map[string]any{"long": strings.Repeat("x", 500_000), "many": manyItems(20_000)}}
	for _, text := range []string{`{{ .parameters.long }}`, `{{ upper .parameters.long }}`, `{{ .parameters.many }}`,
		`{{ range .parameters.many }}{{ . }},{{ end }}`, `{{ .parameters.many | uniq }}`, `{{ toJSON .parameters.many }}`, `{{ regexReplaceAll "x{10}" .parameters.long "y" }}`} {
		if _, err := compile(t, scalarNode(text), everything()).Render(d); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Sources are bounded, too, and what exceeds a bound is reported once.
func TestCompileIsBounded(t *testing.T) {
	wide := core.Node{Kind: core.NodeList, Items: make([]core.Node, 20_000)}
	for i := range wide.Items {
		wide.Items[i] = scalarNode("{{ nope }}")
	}
	nested := scalarNode("x")
	for range 200 {
		nested = core.Node{Kind: core.NodeList, Items: []core.Node{nested}}
	}
	many := core.Node{Kind: core.NodeList}
	for range 40 {
		many.Items = append(many.Items, scalarNode(strings.Repeat("x", 60_000)))
	}
	for _, c := range []struct {
		why  string
		src  core.Node
		want string
	}{
		{"a long scalar", scalarNode("{{ 1 }}" + strings.Repeat("x", 70_000)), "longer than"},
		{"many scalars", many, "longer than"},
		{"many values", wide, "more than 10000 values"},
		{"deep nesting", nested, "nested deeper"},
		{"not UTF-8", scalarNode("a\xffb"), "UTF-8"},
		{"a Go value that is not JSON", core.Node{Kind: core.NodeScalar, Value: []string{"x"}}, ""},
		{"a Go value that is no value", core.Node{Kind: core.NodeScalar, Value: struct{}{}}, "not JSON"},
	} {
		t.Run(c.why, func(t *testing.T) {
			tmpl, problems := template.New().Compile(c.src, core.TemplateScope{})
			if tmpl != nil || len(problems) == 0 {
				t.Fatal("it was accepted")
			}
			if last := problems[len(problems)-1]; !strings.Contains(last.Message, c.want) {
				t.Errorf("the last problem is %q", last.Message)
			}
		})
	}
}

// Deeply nested syntax ends in a problem or a result, not in a crash.
func TestNestedSyntax(t *testing.T) {
	for _, text := range []string{
		"{{ " + strings.Repeat("(", 20_000) + "1" + strings.Repeat(")", 20_000) + " }}",
		strings.Repeat("{{ if 1 }}", 3000) + "x" + strings.Repeat("{{ end }}", 3000),
		"{{ " + strings.Repeat("list (", 5000) + "1" + strings.Repeat(")", 5000) + " }}",
		"{{ 1" + strings.Repeat(" | list", 5000) + " }}",
		"{{ .parameters" + strings.Repeat(".a", 20_000) + " }}",
	} {
		tmpl, problems := template.New().Compile(scalarNode(text), everything())
		if tmpl == nil {
			if len(problems) == 0 || len(fmt.Sprint(problems)) > 2000 {
				t.Errorf("%.30s…: %.200v", text, problems)
			}
			continue
		}
		if v, err := tmpl.Render(core.TemplateData{}); err == nil && v != "x" {
			t.Errorf("%.30s…: %.100v", text, v)
		}
	}
}
