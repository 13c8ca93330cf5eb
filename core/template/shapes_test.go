package template_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

var update = flag.Bool("update", false, "write the golden files")

const shapesDirectory = "../../templates/credentials/"

// shapeFiles lists the shipped shapes by file name.
func shapeFiles(t testing.TB) []string {
	t.Helper()
	paths, err := filepath.Glob(shapesDirectory + "*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no shapes: %v", err)
	}
	for i, p := range paths {
		paths[i] = filepath.Base(p)
	}
	return paths
}

// outputs reads the names and types that a plugin declares, from the plugin's own
// schema: a renamed output breaks the shapes here and not at the first bind.
func outputs(t testing.TB, plugin, of string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("../../plugins/" + plugin + "/schemas/" + of + "-outputs.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties map[string]struct{ Type string }
	}
	if err := json.Unmarshal(raw, &schema); err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for name, p := range schema.Properties {
		types[name] = p.Type
	}
	return types
}

func pluginOf(file string) string {
	if file == "demo.yaml" {
		return "demo"
	}
	return "gluster-s3"
}

func shapeScope(t testing.TB, file string) core.TemplateScope {
	t.Helper()
	return core.TemplateScope{Name: "credentials", Binding: true, Want: map[string]string{"": "object"},
		InstanceOutputs: outputs(t, pluginOf(file), "instance"), BindingOutputs: outputs(t, pluginOf(file), "binding")}
}

func shapeData(file string, plainHTTP bool) core.TemplateData {
	d := data()
	if file == "demo.yaml" {
		d.Binding.Outputs = map[string]any{"uri": "demo://ann:s3cret@127.0.0.1:7000/db", "username": "ann", "password": "s3cret"}
		return d
	}
	scheme, ca := "https", any("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
	if plainHTTP {
		scheme, ca = "http", ""
	}
	endpoint := scheme + "://s3.example.org:8443"
	d.Instance.Outputs = map[string]any{"bucket": "photos", "endpoint": endpoint, "endpointHostPort": "s3.example.org:8443",
		"region": "us-east-1", "pathStyle": !plainHTTP}
	d.Binding.Outputs = map[string]any{"accessKeyID": "AKIAEXAMPLE", "secretAccessKey": "s3cr3t/+{{ .x }}", "endpoint": endpoint,
		"host": "s3.example.org", "port": int64(8443), "hostPort": "s3.example.org:8443", "region": "us-east-1", "bucket": "photos",
		"access": "read-write", "caCertificate": ca}
	return d
}

// Each shape renders the plugins' outputs to exactly the golden credentials.
func TestShapes(t *testing.T) {
	keys := regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)
	for _, file := range shapeFiles(t) {
		for _, v := range []struct {
			why       string
			plainHTTP bool
		}{
			{why: "with a CA of its own", plainHTTP: false},
			{why: "without a CA the key must vanish, be it null or empty", plainHTTP: true},
		} {
			name := strings.TrimSuffix(file, ".yaml")
			if v.plainHTTP {
				name += "-http"
			}
			t.Run(name, func(t *testing.T) {
				d := shapeData(file, v.plainHTTP)
				declared := outputs(t, pluginOf(file), "binding")
				for name := range d.Binding.Outputs {
					if _, ok := declared[name]; !ok {
						t.Errorf("the test's data has an output %q that the plugin does not declare", name)
					}
				}
				got, err := compile(t, sourceFile(t, shapesDirectory+file), shapeScope(t, file)).Render(d)
				if err != nil {
					t.Fatal(err)
				}
				for k, e := range got.(map[string]any) {
					if !keys.MatchString(k) {
						t.Errorf("A-12: the key %q cannot be a key of a Secret", k)
					}
					if _, ok := e.(string); !ok {
						t.Errorf("%s is a %T: entries of a Secret are texts", k, e)
					}
				}
				golden(t, "testdata/"+name+".json", got)
				if v.plainHTTP && file != "demo.yaml" {
					d.Binding.Outputs["caCertificate"] = nil
					null, err := compile(t, sourceFile(t, shapesDirectory+file), shapeScope(t, file)).Render(d)
					if diff := cmp.Diff(got, null); err != nil || diff != "" {
						t.Errorf("a null certificate differs from an empty one (%v):\n%s", err, diff)
					}
				}
			})
		}
	}
}

// The seed's applications know exactly four keys.
func TestShapeOfTheSeed(t *testing.T) {
	got, err := compile(t, sourceFile(t, shapesDirectory+"cns.yaml"), shapeScope(t, "cns.yaml")).Render(shapeData("cns.yaml", true))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"bucketEndpoint": "s3.example.org:8443", "bucketID": "AKIAEXAMPLE", "bucketName": "photos", "bucketPword": "s3cr3t/+{{ .x }}"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func golden(t *testing.T, path string, got any) {
	t.Helper()
	raw := []byte(asJSON(t, got))
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	if *update {
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
		t.Errorf("golden (-) and rendered (+) differ; -update writes it:\n%s", diff)
	}
}
