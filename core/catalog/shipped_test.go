package catalog_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/template"
)

// shippedPlugins describes the shipped plugins as their own schema files do.
func shippedPlugins(t testing.TB) func(string) (core.Description, bool) {
	files := map[string][5]string{
		"gluster-s3": {"provision-inputs.json", "bind-inputs.json", "instance-outputs.json", "binding-outputs.json"},
		"demo":       {"provision.json", "bind.json", "instance-outputs.json", "binding-outputs.json"},
	}
	return func(backend string) (core.Description, bool) {
		names, ok := files[backend]
		if !ok {
			return core.Description{}, false
		}
		read := func(name string) json.RawMessage {
			dir := filepath.Join("..", "..", "plugins", backend, "schemas")
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		return core.Description{Plugin: backend, Version: "1.0.0", Isolated: true, ProvisionInputs: read(names[0]),
			BindInputs: read(names[1]), InstanceOutputs: read(names[2]), BindingOutputs: read(names[3])}, true
	}
}

// The catalog that is shipped has no problem and no warning, with and without its plugins.
func TestShippedCatalog(t *testing.T) {
	for name, describe := range map[string]func(string) (core.Description, bool){"with plugins": shippedPlugins(t), "without": nil} {
		t.Run(name, func(t *testing.T) {
			src, problems := catalog.ReadSources("../../catalog", "../../templates")
			parsed, more := catalog.Parse(src, catalog.Options{Templates: template.New(), Describe: describe})
			for _, p := range append(problems, more...) {
				t.Error(catalog.Text(p))
			}
			if parsed == nil {
				t.Fatal("refused")
			}
			for _, s := range parsed.Services {
				for _, p := range s.Plans {
					if describe == nil {
						continue // outputs would be guessed
					}
					out, problems := parsed.Preview(s.Name, p.Name, "", "")
					for _, p := range problems {
						t.Error(catalog.Text(p))
					}
					if testing.Verbose() {
						text, _ := json.MarshalIndent(out, "", "  ")
						t.Logf("%s %s\n%s", s.Name, p.Name, text)
					}
				}
			}
		})
	}
}

// The plan that the README tells to add fits the shipped service.
func TestReadmePlan(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "<!-- test: plan of catalog/gluster-s3.yaml -->\n```yaml\n")
	plan, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the README has no plan for catalog/gluster-s3.yaml")
	}
	service, err := os.ReadFile("../../catalog/gluster-s3.yaml")
	if err != nil {
		t.Fatal(err)
	}
	src, _ := catalog.ReadSources("../../catalog", "../../templates")
	files := src.Files()
	files["catalog/gluster-s3.yaml"] = []byte(strings.Replace(string(service), "\nplans:\n", "\nplans:\n"+plan, 1))
	for _, name := range []string{"aws", "cns", "cosi", "servicebinding", "demo"} {
		data, err := os.ReadFile("../../templates/credentials/" + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		files["templates/credentials/"+name+".yaml"] = data
	}
	parsed, problems := catalog.Parse(catalog.NewSources(files), catalog.Options{Templates: template.New(), Describe: shippedPlugins(t)})
	if parsed == nil || len(problems) > 0 {
		t.Fatal(texts(problems))
	}
	for _, s := range parsed.Services {
		if s.Name == "gluster-s3-bucket" && len(s.Plans) != 5 {
			t.Errorf("%d plans", len(s.Plans))
		}
	}
}
