package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// installLetterbox builds the example plugin that brings its own service.
func installLetterbox(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "chandler-plugin-letterbox")
	build := exec.Command("go", "build", "-o", path+".new", "./docs/examples/letterbox-plugin")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the letterbox plugin: %v\n%s", err, out)
	}
	if err := os.Rename(path+".new", path); err != nil { // never half of it
		t.Fatal(err)
	}
}

// describe shows what a plugin brings that needs no configuration: the names to people,
// the files to whoever wants to copy them.
func TestDescribeOfferings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	installLetterbox(t, dir)
	for format, want := range map[string]string{"table": "  letterbox.yaml\n", "yaml": "    name: letterbox\n", "json": `"letterbox.yaml": "# Brought by the plugin`} {
		got := chandler(t.Context(), "plugin", "describe", "letterbox", "--plugins", dir, "-o", format)
		if got.status != exitOK || !strings.Contains(got.out, want) {
			t.Errorf("%s: status %d, want %q in\n%s%s", format, got.status, want, got.out, got.err)
		}
	}
}

// What a plugin brings and cannot be used is named by /readyz and explained by the status; all else goes on.
func TestOfferingThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	// Some other service has the id of the letterbox's plan.
	write1(t, filepath.Join(r.dir, "catalog"), "other.yaml", `{id: other, name: other, description: Another service., backend: demo, bindable: false,
  plans: [{id: 0f6f0b52-6d51-4a5b-8a55-6a3d5a1f7c02, name: only, description: The only plan.}]}`)
	r.until("the other service", func() bool { return strings.Contains(r.ok("marketplace"), "other") })
	installLetterbox(t, filepath.Join(r.dir, "plugins"))
	const file = "offerings/letterbox/letterbox.yaml"
	r.until("the word of /readyz", func() bool {
		status, body := r.get("/readyz", "")
		if status != http.StatusOK {
			t.Fatalf("not ready: %s", body)
		}
		return strings.Contains(body, file+", which a plugin brings, cannot be used")
	})
	if out := r.ok("catalog", "status"); !strings.Contains(out, file) || !strings.Contains(out, "is used already at catalog/other.yaml") {
		t.Errorf("the status does not say why:\n%s", out)
	}
	if err := os.Remove(filepath.Join(r.dir, "catalog", "other.yaml")); err != nil {
		t.Fatal(err)
	}
	r.until("the letterbox", func() bool { return strings.Contains(r.ok("marketplace"), "letterbox") })
	if _, body := r.get("/readyz", ""); strings.Contains(body, file) {
		t.Errorf("/readyz still names it: %s", body)
	}
}
