package template_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/template"
)

const referenceFile = "../../docs/template-reference.md"

var (
	functionLine = regexp.MustCompile(`^- \*\*(\w+)\*\* `)
	example      = regexp.MustCompile("`(\\{\\{[^`]*\\}\\})` → (error )?`([^`]*)`")
)

func reference(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// referenceData is the block of JSON in the reference.
func referenceData(t *testing.T, doc string) core.TemplateData {
	t.Helper()
	_, rest, _ := strings.Cut(doc, "```json\n")
	block, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the reference has no block of example data")
	}
	root, err := core.JSONObject(json.RawMessage(block))
	if err != nil {
		t.Fatal(err)
	}
	get := func(path ...string) map[string]any {
		m := root
		for _, p := range path {
			m = m[p].(map[string]any)
		}
		return m
	}
	name := func(key string) core.NameData {
		return core.NameData{ID: get(key)["id"].(string), Name: get(key)["name"].(string)}
	}
	return core.TemplateData{
		Parameters: get("parameters"),
		Instance: core.InstanceData{ID: get("instance")["id"].(string), ShortID: get("instance")["shortID"].(string),
			Parameters: get("instance", "parameters"), Outputs: get("instance", "outputs"), Context: get("instance", "context")},
		Binding: &core.BindingData{ID: get("binding")["id"].(string), Parameters: get("binding", "parameters"), Outputs: get("binding", "outputs")},
		Service: name("service"), Plan: name("plan"), Context: get("context"), User: get("user"), Secrets: template.MaskedSecrets{},
	}
}

// Every function is documented with an example, every documented one exists.
func TestReferenceIsComplete(t *testing.T) {
	var documented []string
	for _, line := range strings.Split(reference(t), "\n") {
		m := functionLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		documented = append(documented, m[1])
		if !slices.ContainsFunc(example.FindAllStringSubmatch(line, -1), func(e []string) bool { return strings.Contains(e[1], m[1]) }) {
			t.Errorf("%s has no example that calls it", m[1])
		}
	}
	slices.Sort(documented)
	if diff := cmp.Diff(template.FunctionNames(), documented); diff != "" {
		t.Errorf("functions (-) and their documentation (+) differ:\n%s", diff)
	}
}

// Every example of the reference yields what it says.
func TestReferenceExamples(t *testing.T) {
	doc := reference(t)
	d := referenceData(t, doc)
	examples := example.FindAllStringSubmatch(doc, -1)
	if len(examples) < len(template.FunctionNames()) {
		t.Fatalf("found %d examples only", len(examples))
	}
	for _, e := range examples {
		t.Run(e[1], func(t *testing.T) {
			got, err := compile(t, scalarNode(e[1]), everything()).Render(d)
			if e[2] != "" {
				if err == nil || !strings.Contains(err.Error(), e[3]) {
					t.Fatalf("got %v and the error %v, want the error %q", got, err, e[3])
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fromJSON(t, e[3]), got); diff != "" {
				t.Errorf("documented (-) and rendered (+) differ:\n%s", diff)
			}
		})
	}
}

// The data that the reference lists is exactly what templates can read.
func TestReferenceData(t *testing.T) {
	names := 0
	for _, line := range strings.Split(reference(t), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.HasPrefix(cells[1], " `.") {
			continue
		}
		for _, name := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(cells[1], -1) {
			names++
			compile(t, scalarNode("{{ "+name[1]+" }}"), everything())
		}
	}
	if names < 10 {
		t.Errorf("the table of data names %d only", names)
	}
}

// The table of shapes lists exactly the keys that the files yield.
func TestReferenceShapes(t *testing.T) {
	doc := reference(t)
	for _, file := range shapeFiles(t) {
		var want []string
		for _, line := range strings.Split(doc, "\n") {
			if cells := strings.Split(line, "|"); len(cells) == 4 && strings.TrimSpace(cells[1]) == "`"+file+"`" {
				for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(cells[2], -1) {
					want = append(want, m[1])
				}
			}
		}
		var got []string
		for _, f := range sourceFile(t, shapesDirectory+file).Fields {
			got = append(got, f.Key)
		}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("%s: keys (-) and their documentation (+) differ:\n%s", file, diff)
		}
	}
}
