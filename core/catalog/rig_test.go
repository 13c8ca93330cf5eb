package catalog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/template"
)

// parse reads service files by name, without plugins unless options say so.
func parse(files map[string]string, options catalog.Options) (*catalog.Parsed, []core.Problem) {
	bytes := map[string][]byte{}
	for name, text := range files {
		bytes[name] = []byte(text)
	}
	if options.Templates == nil {
		options.Templates = template.New()
	}
	return catalog.Parse(catalog.NewSources(bytes), options)
}

// mustParse fails the test on any problem.
func mustParse(t testing.TB, files map[string]string, options catalog.Options) *catalog.Parsed {
	t.Helper()
	parsed, problems := parse(files, options)
	for _, p := range problems {
		t.Error(catalog.Text(p))
	}
	if parsed == nil {
		t.FailNow()
	}
	return parsed
}

// onePlan parses one service file and gives its first plan.
func onePlan(t testing.TB, text string) *core.Plan {
	t.Helper()
	return mustParse(t, map[string]string{"catalog/a.yaml": text}, catalog.Options{}).Services[0].Plans[0]
}

// texts are problems as lines.
func texts(problems []core.Problem) string {
	var lines []string
	for _, p := range problems {
		lines = append(lines, catalog.Text(p))
	}
	return strings.Join(lines, "\n")
}

// minimal is the smallest service; more is added to it, and its plan is the last thing in it.
const minimal = `id: 5e5a8c5c-0000-4000-8000-000000000001
name: small
description: A small service.
backend: demo
bindable: false
`

const minimalPlan = `plans:
- id: 5e5a8c5c-0000-4000-8000-000000000002
  name: only
  description: The only plan.
`

// service is minimal with settings and a plan with plan settings (indented by two).
func service(settings, plan string) string { return minimal + settings + minimalPlan + plan }

// writeFiles puts files under a directory.
func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits until ok is true; another goroutine or process makes it so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		<-tick.C
	}
}

// manyServices are n files of 20 plans each, as a real catalog would have them:
// schemas, templates, defaults of the service and a shared credential file.
func manyServices(n int) map[string]string {
	files := map[string]string{"templates/credentials/cns.yaml": "uri: \"{{ .binding.outputs.uri }}\"\nname: \"{{ .binding.outputs.name }}\"\n"}
	for i := range n {
		var b strings.Builder
		fmt.Fprintf(&b, `id: 00000000-0000-4000-8000-%012d
name: service-%d
description: Service number %d.
backend: demo
tags: [a, b]
metadata: {displayName: Service %d, longDescription: A service of a large catalog.}
schemas:
  provision:
    type: object
    properties:
      name: {type: string, maxLength: 63, description: A name.}
      size: {type: integer, minimum: 1, maximum: 1000, default: 10}
      note%d: {type: string}
  bind:
    type: object
    properties:
      access: {type: string, enum: [read-write, read-only], default: read-write}
provision:
  name: '{{ .parameters.name | default (printf "n-%%s" .instance.shortID) }}'
  size: "{{ .parameters.size }}"
bind: {access: "{{ .parameters.access }}"}
credentials: credentials/cns.yaml
dashboardURL: "https://dash.example.com/{{ .instance.id }}"
timeouts: {provision: 30m}
examples:
- {name: one, provision: {size: 5}, bind: {}}
plans:
`, i, i, i, i, i)
		for j := range 20 {
			fmt.Fprintf(&b, `- id: 00000000-0000-4000-9000-%06d%06d
  name: plan-%d
  description: Plan number %d.
  free: false
  metadata: {bullets: [One, Two], costs: [{amount: {usd: %d.5}, unit: MONTHLY}]}
  provision: {tier: t%d}
  maintenanceInfo: {version: 1.%d.0}
`, i, j, j, j, j, j, j)
		}
		files[fmt.Sprintf("catalog/s%04d.yaml", i)] = b.String()
	}
	return files
}
