package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTest = regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
	testFunc  = regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9_]+)\(`)
)

// The tests that reliability.md names as proofs exist.
func TestReliabilityNamesTests(t *testing.T) {
	existing := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(raw, -1) {
			existing[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	named := namedTest.FindAllSubmatch(raw, -1)
	if len(named) < 20 {
		t.Errorf("reliability.md names %d tests only", len(named))
	}
	for _, m := range named {
		if !existing[string(m[1])] {
			t.Errorf("reliability.md names %s, which does not exist", m[1])
		}
	}
}
