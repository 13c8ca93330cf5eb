package osbapi_test

import (
	"cmp"
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// checklist is every number of the acceptance checklist: number, level, text.
//
//go:embed testdata/checklist.tsv
var checklist string

var number = regexp.MustCompile(`\b(?:VER|AUTH|URL|OID|RID|CT|EXT|ERR|CAT|ASY|CON|OPK|PRO|LOI|FI|UPD|BND|ROT|LOB|FB|UNB|DEP|MET|PRF|ORP)-\d\d\b|\b[AC]-\d{1,2}\b`)

// TestConformanceTable keeps docs/osb-conformance.md equal to what the sources say:
// which test names which number. A number without a test fails. UPDATE_GOLDEN=1
// writes the table anew.
func TestConformanceTable(t *testing.T) {
	tests := testsByNumber(t)
	table, missing := conformanceTable(tests)
	for _, id := range missing {
		t.Errorf("%s: no test names it", id)
	}
	for id := range tests {
		if !strings.Contains(checklist, id+"\t") {
			t.Errorf("%s: a test names it, but it is not a number of the checklist", id)
		}
	}
	path := filepath.Join("..", "..", "docs", "osb-conformance.md")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(table, string(got)); diff != "" {
		t.Errorf("docs/osb-conformance.md is not what the tests say (UPDATE_GOLDEN=1 writes it); -want +got:\n%s", diff)
	}
}

// testsByNumber reads the package's tests: a number counts where a sub-test's name
// or a string of a test's table names it.
func testsByNumber(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]map[string]bool{}
	for _, name := range files {
		if name == "checklist_test.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") || f.Body == nil {
				continue
			}
			collect(f, func(id, where string) {
				if found[id] == nil {
					found[id] = map[string]bool{}
				}
				found[id][where] = true
			})
		}
	}
	tests := map[string][]string{}
	for id, where := range found {
		tests[id] = slices.Sorted(maps.Keys(where))
	}
	return tests
}

// collect calls add for every number in a string of f: with the sub-test's name
// where the string is one, with the function's otherwise.
func collect(f *ast.FuncDecl, add func(id, where string)) {
	names := map[ast.Node]bool{}
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) == 2 {
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "Run" {
				names[call.Args[0]] = true
			}
		}
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			return true
		}
		for _, id := range number.FindAllString(text, -1) {
			where := f.Name.Name
			if names[lit] {
				where += "/" + text
			}
			add(id, where)
		}
		return true
	})
}

// conformanceTable writes the document, and gives the numbers without a test.
func conformanceTable(tests map[string][]string) (table string, missing []string) {
	var b strings.Builder
	b.WriteString(conformanceIntro)
	section := ""
	for line := range strings.Lines(checklist) {
		parts := strings.Split(strings.TrimRight(line, "\n"), "\t")
		id, level, text := parts[0], parts[1], parts[2]
		if s, _, _ := strings.Cut(id, "-"); s != section {
			section = s
			fmt.Fprintf(&b, "\n## %s\n\n| number | level | demand | tests |\n| --- | --- | --- | --- |\n", cmp.Or(sections[s], s))
		}
		if len(tests[id]) == 0 {
			missing = append(missing, id)
		}
		var list []string
		for _, test := range tests[id] {
			list = append(list, "`"+strings.ReplaceAll(test, "|", "/")+"`")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", id, level, text, strings.Join(list, "<br>"))
	}
	return b.String(), missing
}

const conformanceIntro = `# Conformance with the Open Service Broker API 2.17

Which test covers which demand. The table is made from the tests in ` + "`core/osbapi`" + ` and checked by one of them
(` + "`TestConformanceTable`" + `); ` + "`UPDATE_GOLDEN=1 go test ./core/osbapi -run TestConformanceTable`" + ` writes it anew.
Tests named ` + "`TestConformance…`" + ` send real HTTP to the real broker with its SQLite store, a YAML catalog and the demo
plugin's process. The others are tables over one part, for what cannot be provoked from outside.

Levels: M is a MUST of the specification, S a SHOULD, O an option that is done in this way, D a meaning that the text
defines; "decided" is a choice where the specification leaves one, "client" what real clients need besides.

Choices where the checklist leaves one:

- A body over the limit, a compressed body and a wrong content type are 400, since clients take only that as final.
- An instance or binding id is 1 to 1024 bytes of UTF-8 without NUL; others are 400. Any character may be percent-encoded.
- A body with a key twice, with a number out of range, or nested deeper than 64 levels is 400.
- GET of an instance or binding whose service says ` + "`instances_retrievable: false`" + ` or ` + "`bindings_retrievable: false`" + ` is 400:
  404 would say that it does not exist.
- An update of nothing but the context is 422 where ` + "`allow_context_updates`" + ` is false; a context beside other changes is taken
  as information.
- After a provision or bind that was answered with a 4xx, a poll finds what was before it, or 404.
- After ` + "`expires_at`" + ` the broker makes the credentials invalid itself; GET and a repeated PUT show the binding until it is deleted.
- 431 for headers over 64 KiB; 403 for a user without the right to an API or a prefix; 429 with Retry-After while overloaded.
- ` + "`AsyncRequired`, `ConcurrencyError` and `RequiresApp`" + ` have exactly the descriptions by which clients recognise them; what the
  broker says besides is in ` + "`chandler_message`" + `, the only field of its own.
`

// sections are the headings, by the letters of the numbers.
var sections = map[string]string{
	"VER": "API version", "AUTH": "Authentication", "URL": "URLs", "OID": "Originating identity", "RID": "Request identity",
	"CT": "Bodies and content types", "EXT": "Extensions", "ERR": "Errors", "CAT": "Catalog", "ASY": "Synchronous and asynchronous",
	"CON": "Concurrency", "OPK": "The operation string", "PRO": "Provision", "LOI": "Last operation of an instance",
	"FI": "Fetching an instance", "UPD": "Update", "BND": "Bind", "ROT": "Rotation", "LOB": "Last operation of a binding",
	"FB": "Fetching a binding", "UNB": "Unbind", "DEP": "Deprovision", "MET": "Instance metadata", "PRF": "Profile",
	"ORP": "Orphan mitigation", "C": "Open choices, decided", "A": "Extra demands of real clients",
}
