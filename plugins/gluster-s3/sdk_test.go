package main

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOneFileKnowsTheSDK: the SDK is out of support; one day another takes its place,
// and that is to be a change of one file.
func TestOneFileKnowsTheSDK(t *testing.T) {
	files, err := filepath.Glob("*.go")
	must(t, err)
	var importers []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		must(t, err)
		for _, i := range parsed.Imports {
			if strings.HasPrefix(i.Path.Value, `"github.com/aws/`) {
				importers = append(importers, file)
				break
			}
		}
	}
	if diff := cmp.Diff([]string{"sdk.go"}, importers); diff != "" {
		t.Errorf("files that import the SDK (-want +got):\n%s", diff)
	}
}
