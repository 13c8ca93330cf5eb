package catalog_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core/catalog"
)

const reference = "../../docs/catalog-reference.md"

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// The reference documents exactly the keys that are decoded, with their types.
func TestReferenceKeys(t *testing.T) {
	raw, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]map[string]string{}
	section := ""
	row := regexp.MustCompile("^\\| `(\\w+)` \\| ([^|]+?) \\|")
	for line := range strings.Lines(yamlBlock.ReplaceAllString(string(raw), "")) {
		if title, ok := strings.CutPrefix(strings.TrimSpace(line), "#"); ok {
			section = strings.TrimSpace(strings.TrimLeft(title, "#"))
		}
		if m := row.FindStringSubmatch(line); m != nil {
			if got[section] == nil {
				got[section] = map[string]string{}
			}
			got[section][m[1]] = m[2]
		}
	}
	if diff := cmp.Diff(catalog.Keys(), got); diff != "" {
		t.Errorf("(-code +docs/catalog-reference.md):\n%s", diff)
	}
}

// The reference's defaults for timeouts are the code's.
func TestReferenceTimeouts(t *testing.T) {
	raw, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "### timeouts")
	for verb, timeout := range onePlan(t, service("", "")).Timeouts {
		want := strings.TrimSuffix(strings.TrimSuffix(timeout.String(), "0s"), "0m")
		if timeout.Minutes() < 60 {
			want = strings.TrimSuffix(timeout.String(), "0s")
		}
		if line := "| `" + string(verb) + "` | duration | `" + want + "` |"; !strings.Contains(rest, line) {
			t.Errorf("no line %s", line)
		}
	}
}

// Every YAML block of the reference is a good catalog, or a good part of one.
func TestReferenceExamples(t *testing.T) {
	raw, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(raw), -1)
	if len(blocks) < 2 {
		t.Fatalf("%d YAML blocks", len(blocks))
	}
	for _, b := range blocks {
		text := b[1]
		if strings.HasPrefix(text, "# in a service\n") {
			text = minimal + text
		}
		parsed := mustParse(t, map[string]string{"catalog/a.yaml": text}, catalog.Options{})
		if strings.HasPrefix(text, "id: 1c2b") { // the whole one fits the plugin that it names
			options := catalog.Options{Describe: shippedPlugins(t)}
			if lint := mustParse(t, map[string]string{"catalog/a.yaml": text}, options).Lint(); len(lint) > 0 {
				t.Errorf("lint: %s", texts(lint))
			}
		}
		for _, p := range parsed.Services[0].Plans {
			if p.Name == "merged" {
				out, problems := parsed.Preview("small", "merged", "", "")
				want := map[string]any{"size": int64(20), "tags": map[string]any{"team": "web", "tier": "gold"}}
				if diff := cmp.Diff(any(want), out["provision"]); diff != "" {
					t.Errorf("%s%s", texts(problems), diff)
				}
			}
		}
	}
}
