package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// mistakes is a service with several mistakes of different kinds.
const mistakes = `id: 11111111-1111-1111-1111-111111111111
name: wrong
description: A service with mistakes.
backend: demo
bindabel: true
provision:
  size: "{{ .parameters.sise }}"
  colour: blue
plans:
- id: 22222222-2222-2222-2222-222222222222
  name: one
  description: First.
  credentials: credentials/nope.yaml
- id: 22222222-2222-2222-2222-222222222222
  name: one
  description: Second.
  free: perhaps
  provision: {steps: "{{ .parameters.size | uper }}"}
  credentials:
    uri: "{{ .binding.outputs.url }}"
`

// lint shows all problems at once, each with its place and what was probably meant.
func TestCatalogLint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "catalog"), 0o755); err != nil {
		t.Fatal(err)
	}
	write1(t, dir, "catalog/wrong.yaml", mistakes)
	config := write1(t, dir, "chandler.yaml", fmt.Sprintf("catalog: %q\ntemplates: ../../templates\nplugins: {directory: %q}\n"+
		"users: [{name: a, passwords: ['${env:NOT_SET_IN_CI}', '${file:/not/there/in/ci}']}]\n", filepath.Join(dir, "catalog"), bin))
	var transcript strings.Builder
	for _, c := range []struct {
		why    string
		args   []string
		status int
	}{
		{"a good catalog", []string{"--catalog", "../../catalog", "--templates", "../../templates"}, exitOK},
		{"against what the plugins declare", []string{"--catalog", "../../catalog", "--templates", "../../templates", "--plugins", bin}, exitOK},
		{"for programs", []string{"--catalog", "../../catalog", "--templates", "../../templates", "-o", "json"}, exitOK},
		{"all mistakes at once, names of inputs and outputs included", []string{"--catalog", filepath.Join(dir, "catalog"), "--templates", "../../templates", "--plugins", bin}, exitInvalid},
		{"directories and backends of a configuration whose secrets are not here", []string{"--config", config, "-o", "yaml"}, exitInvalid},
		{"a directory that is not there", []string{"--catalog", filepath.Join(dir, "nope")}, exitInvalid},
		{"a plugin directory without the backend's plugin: it may come later", []string{"--catalog", "../../catalog", "--templates", "../../templates", "--plugins", dir}, exitOK},
	} {
		got := chandler(t.Context(), append([]string{"catalog", "lint"}, c.args...)...)
		fmt.Fprintf(&transcript, "# %s\n%s%s[%d]\n\n", c.why, got.out, got.err, got.status)
		if got.status != c.status {
			t.Errorf("%s: status %d, want %d\n%s%s", c.why, got.status, c.status, got.out, got.err)
		}
	}
	text := strings.ReplaceAll(transcript.String(), dir, "DIR")
	golden(t, "testdata/lint.golden", text)
}

// Every shipped shape renders for every plan that the shipped catalog has, with
// secrets masked, without a backend.
func TestCatalogRender(t *testing.T) {
	t.Parallel()
	shapes, err := filepath.Glob("../../templates/credentials/*.yaml")
	if err != nil || len(shapes) == 0 {
		t.Fatal(shapes, err)
	}
	var transcript strings.Builder
	render := func(args ...string) {
		got := chandler(t.Context(), append([]string{"catalog", "render", "--catalog", "../../catalog", "--templates", "../../templates", "--plugins", bin}, args...)...)
		fmt.Fprintf(&transcript, "$ chandler catalog render %s\n%s%s[%d]\n\n", strings.Join(args, " "), got.out, got.err, got.status)
	}
	render("gluster-s3-bucket", "default")
	for _, s := range shapes {
		if name := filepath.Base(s); name != "demo.yaml" {
			render("gluster-s3-bucket", "purge", "--shape", "credentials/"+name, "-o", "json")
		}
	}
	render("demo-service", "default", "--example", "first look")
	render("demo-service", "default", "--shape", "credentials/aws.yaml")
	render("demo-service", "nope")
	render("nope", "default")
	render("demo-service", "default", "--example", "nope")
	render("demo-service", "default", "--shape", "credentials/nope.yaml")
	golden(t, "testdata/render.golden", transcript.String())
	if text := transcript.String(); strings.Contains(text, "<no value>") {
		t.Error("something was rendered from nothing")
	}
}

// diff asks a running broker; its exit status is for CI.
func TestCatalogDiff(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.ok("provision", "rig", "quick", "i")
	raw, err := os.ReadFile("testdata/catalog/rig.yaml")
	if err != nil {
		t.Fatal(err)
	}
	good := string(raw)
	var transcript strings.Builder
	for i, c := range []struct {
		why, text string
		status    int
	}{
		{"nothing changes", good, exitOK},
		{"a comment is no change", "# a comment\n" + good, exitOK},
		{"a plan is added", strings.Replace(good, "examples:", "- {id: rig-new, name: new, description: New.}\nexamples:", 1), exitOK},
		{"a plan with an instance goes", regexp.MustCompile(`(?s)- id: rig-quick.*?(- id: rig-steps.*?)examples:.*`).ReplaceAllString(good, "$1"), exitBreaking},
		{"a plan gets another id", strings.Replace(good, "id: rig-slow", "id: rig-other", 1), exitBreaking},
		{"a mistake", strings.Replace(good, "bindable: true", "bindable: yess", 1), exitInvalid},
		{"a mistake that only the broker can see: its plugin has no such input", strings.Replace(good, "{latency: 3s}", "{latencies: 3s}", 1), exitInvalid},
		{"both at once", strings.Replace(strings.Replace(good, "bindable: true", "bindable: yess", 1), "{latency: 3s}", "{latencies: 3s}", 1), exitInvalid},
	} {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		write1(t, dir, "rig.yaml", c.text)
		got := r.chandler("catalog", "diff", "--catalog", dir, "--templates", "../../templates")
		fmt.Fprintf(&transcript, "# %s\n%s%s[%d]\n\n", c.why, strings.ReplaceAll(got.out, dir, "DIR"), strings.ReplaceAll(got.err, dir, "DIR"), got.status)
		if got.status != c.status {
			t.Errorf("%s: status %d, want %d\n%s%s", c.why, got.status, c.status, got.out, got.err)
		}
	}
	golden(t, "testdata/diff.golden", scrubbed(transcript.String()))
	if got := r.ok("catalog", "status", "-o", "json"); !strings.Contains(got, `"valid": true`) {
		t.Errorf("a diff must change nothing: %s", got)
	}
}

// test --live walks the examples through a broker and leaves nothing behind.
func TestCatalogTestLive(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	files := []string{"--catalog", "testdata/catalog", "--templates", "../../templates"}
	r.ok(append([]string{"catalog", "test", "--live"}, files...)...)
	if rows := r.object("instance", "list")["instances"].([]any); len(rows) != 0 {
		t.Errorf("left behind: %v", rows)
	}
	for _, c := range []struct {
		why, from, to, want string
		status              int
	}{
		{"an example that the schema refuses", "{size: 3}", "{size: none}", "must be an integer", exitInvalid},
		{"an example of a plan that fails", "plan: steps", "plan: fail", "This plan always fails.", exitInvalid},
		{"an update that the schema refuses", "{size: 4}", "{size: 0}", "must be at least 1", exitInvalid},
	} {
		raw, err := os.ReadFile("testdata/catalog/rig.yaml")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		write1(t, dir, "rig.yaml", strings.Replace(string(raw), c.from, c.to, 1))
		got := r.chandler("catalog", "test", "--live", "--catalog", dir, "--templates", "../../templates")
		if got.status != c.status || !strings.Contains(got.out+got.err, c.want) {
			t.Errorf("%s: status %d, want %d with %q\n%s%s", c.why, got.status, c.status, c.want, got.out, got.err)
		}
	}
	r.until("nothing to be left behind", func() bool { return len(r.object("instance", "list")["instances"].([]any)) == 0 })
	if got := r.chandler(append([]string{"catalog", "test", "--service", "nope"}, files...)...); got.status != exitNotFound {
		t.Errorf("an unknown service: %+v", got)
	}
}

// status shows the active catalog; --reload reads the files now.
func TestCatalogStatus(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	if got := r.ok("catalog", "status"); !strings.Contains(got, "5, and 0 retired") || !strings.Contains(got, "1, proposed by ") || !strings.Contains(got, "holds the revision") {
		t.Errorf("status:\n%s", got)
	}
	r.copy("../../catalog/demo.yaml", "catalog/demo.yaml")
	if got := r.ok("catalog", "status", "--reload"); !strings.Contains(got, "11, and 0 retired") {
		t.Errorf("after --reload:\n%s", got)
	}
}

// The plan that README.md adds is valid: appended to the shipped service it lints
// clean against the plugin's own description.
func TestReadmePlan(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)<!-- test: plan of catalog/([a-z0-9.-]+) -->\n```yaml\n(.*?)```").FindSubmatch(readme)
	if found == nil {
		t.Fatal("README.md shows no plan")
	}
	service, err := os.ReadFile(filepath.Join("../../catalog", string(found[1])))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := strings.Replace(string(service), "\nplans:\n", "\nplans:\n"+string(found[2]), 1)
	write1(t, dir, string(found[1]), text)
	lint := []string{"catalog", "lint", "--catalog", dir, "--templates", "../../templates", "--plugins", bin}
	if got := chandler(t.Context(), lint...); got.status != exitOK || strings.Count(got.out, "\n") != 1 {
		t.Fatalf("the plan of README.md: status %d\n%s%s", got.status, got.out, got.err)
	}
	var plans []struct{ Name string }
	if err := yaml.Unmarshal(found[2], &plans); err != nil || len(plans) != 1 {
		t.Fatal(plans, err)
	}
	got := chandler(t.Context(), "catalog", "render", "gluster-s3-bucket", plans[0].Name, "--catalog", dir, "--templates", "../../templates", "--plugins", bin, "-o", "json")
	var rendered map[string]any
	if err := json.Unmarshal([]byte(got.out), &rendered); err != nil || rendered["credentials"] == nil {
		t.Errorf("the plan does not render: %v\n%s%s", err, got.out, got.err)
	}
}
