package docs

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/chandler-broker/chandler/"

// pkg is what `go list` says of a package; tests are not part of it.
type pkg struct {
	ImportPath string
	Imports    []string
	Doc        string
	GoFiles    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Doc,GoFiles", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// forbidden are the technologies of architecture.md's third column.
var forbidden = map[string][]string{
	"HTTP": {"net/http", "github.com/julienschmidt/httprouter"},
	"SQL":  {"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/jackc/pgx/v5/pgxpool", "github.com/jackc/pgx/v5/pgconn"},
	"YAML": {"gopkg.in/yaml.v3"},
	"gRPC": {"google.golang.org/grpc", "github.com/hashicorp/go-plugin"},
	"core": {module + "core"},
}

// rules are the rows of architecture.md's table "The house".
var rules = map[string][]string{
	"core":                          {"HTTP", "SQL", "YAML", "gRPC"},
	"core/osbapi":                   {"SQL", "YAML", "gRPC"},
	"core/catalog":                  {"HTTP", "SQL", "gRPC"},
	"core/template":                 {"HTTP", "SQL", "YAML", "gRPC"},
	"core/store":                    {"HTTP", "YAML", "gRPC"},
	"core/pluginhost":               {"HTTP", "SQL", "YAML"},
	"core/plugin":                   {"core", "SQL", "HTTP", "YAML"},
	"core/plugin/plugintest":        {"core", "SQL"},
	"core/plugin/proto":             {"core", "SQL", "HTTP", "YAML"},
	"core/store/storetest":          {"HTTP", "YAML", "gRPC"},
	"core/store/storetest/postgres": {"core", "HTTP", "YAML", "gRPC"},
}

func TestImports(t *testing.T) {
	ruled := map[string]bool{}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.Contains(name, "/testdata/") || strings.Contains(name, "/internal/") {
			continue // programs that tests run
		}
		ruled[name] = rules[name] != nil
		if !ruled[name] && strings.HasPrefix(name, "core") {
			t.Errorf("%s has no rule: say here and in architecture.md what it must not know", name)
		}
		for _, technology := range rules[name] {
			for _, i := range p.Imports {
				if slices.Contains(forbidden[technology], i) {
					t.Errorf("%s imports %s, but must not know %s", name, i, technology)
				}
			}
		}
		for _, i := range p.Imports {
			of, ours := strings.CutPrefix(i, module)
			if ours && !mayImport(name, of) {
				t.Errorf("%s imports %s: packages below core do not know each other (CONTRIBUTING.md)", name, of)
			}
		}
	}
	for name := range rules {
		if !ruled[name] {
			t.Errorf("a rule is of %s, which does not exist", name)
		}
	}
}

// mayImport holds the rules of the house for our own packages.
func mayImport(from, of string) bool {
	top := func(name string) string { // core/plugin/proto belongs to core/plugin
		parts := strings.Split(name, "/")
		return path.Join(parts[:min(2, len(parts))]...)
	}
	switch {
	case top(from) == top(of):
		return true
	case strings.HasPrefix(from, "cmd/"):
		return strings.HasPrefix(of, "core")
	case strings.HasPrefix(from, "plugins/"):
		return top(of) == "core/plugin"
	case strings.HasPrefix(from, "docs/examples/"):
		return top(of) == "core/plugin"
	case strings.HasPrefix(from, "e2e/"):
		// Programs that prove the broker from outside run a database server, too, and the
		// load generator measures the bare store beside the broker.
		return strings.HasPrefix(of, "e2e/") || of == "core/store/storetest/postgres" || from == "e2e/load" && (of == "core/store" || of == "core")
	case from == "core" || top(from) == "core/plugin":
		return false
	case top(from) == "core/pluginhost" && top(of) == "core/plugin":
		return true
	default:
		return of == "core"
	}
}

// Every package says what it is for.
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" && !strings.Contains(p.ImportPath, "/testdata/") {
			t.Errorf("%s has no package comment", strings.TrimPrefix(p.ImportPath, module))
		}
	}
}

// There is no drawer for odds and ends.
func TestPackageNames(t *testing.T) {
	for _, p := range packages(t) {
		for _, part := range strings.Split(strings.TrimPrefix(p.ImportPath, module), "/") {
			if slices.Contains([]string{"util", "utils", "common", "helpers", "models", "managers"}, part) {
				t.Errorf("%s: %q says nothing about what is inside", p.ImportPath, part)
			}
		}
	}
}
