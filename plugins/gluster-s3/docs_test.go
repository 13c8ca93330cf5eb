package main

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var row = regexp.MustCompile("(?m)^\\| `([A-Za-z]+)` \\|")

// TestReference: the tables of docs/gluster-s3.md name the keys of the schemas, all of
// them and no others.
func TestReference(t *testing.T) {
	raw, err := os.ReadFile("../../docs/gluster-s3.md")
	must(t, err)
	for mark, schema := range map[string][]byte{
		"config": configSchema, "provision": provisionInputsSchema, "bind": bindInputsSchema,
		"instance-outputs": instanceOutputsSchema, "binding-outputs": bindingOutputsSchema,
	} {
		_, rest, ok := strings.Cut(string(raw), "<!-- "+mark+" -->\n")
		if !ok {
			t.Errorf("docs/gluster-s3.md has no table %q", mark)
			continue
		}
		table, _, _ := strings.Cut(rest, "\n\n")
		var named []string
		for _, m := range row.FindAllStringSubmatch(table, -1) {
			named = append(named, m[1])
		}
		slices.Sort(named)
		var s struct{ Properties map[string]any }
		must(t, json.Unmarshal(schema, &s))
		if diff := cmp.Diff(slices.Sorted(maps.Keys(s.Properties)), named); diff != "" {
			t.Errorf("table %q against the schema (-schema +document):\n%s", mark, diff)
		}
	}
}
