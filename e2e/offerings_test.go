package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// letterbox builds docs/examples/letterbox-plugin, which brings its service itself.
func letterbox(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chandler-plugin-letterbox")
	cmd := exec.Command("go", "build", "-o", path, "./docs/examples/letterbox-plugin")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the letterbox plugin: %v\n%s", err, out)
	}
	return path
}

// One file in the plugin directory is a new service: no catalog file, no restart.
func TestPluginBringsItsService(t *testing.T) {
	w := newWorld(t, "")
	plugin := filepath.Join(w.plugins, "chandler-plugin-letterbox")
	copyFile(t, letterbox(t), plugin)
	listed := func() bool {
		out, _ := w.chandler("marketplace")
		return strings.Contains(out, "letterbox")
	}
	w.until("the plugin's service", listed)
	out, status := w.chandler("provision", "letterbox", "small", "i1", "-p", "label=post")
	if status != 0 {
		t.Fatalf("provision: status %d\n%s", status, out)
	}
	out, status = w.chandler("bind", "i1", "b1", "-o", "json")
	if status != 0 {
		t.Fatalf("bind: status %d\n%s", status, out)
	}
	var got struct {
		Credentials struct{ Path, Key string }
	}
	if err := json.Unmarshal([]byte(out[max(0, strings.Index(out, "{")):]), &got); err != nil || len(got.Credentials.Key) < 32 {
		t.Fatalf("credentials: %v\n%s", err, out)
	}
	if label, err := os.ReadFile(filepath.Join(got.Credentials.Path, "label")); err != nil || string(label) != "post" {
		t.Errorf("the instance's label is %q, %v", label, err)
	}

	// A broken binary does not take the service away, across a restart either.
	w.broker.Kill()
	if err := os.WriteFile(plugin, []byte("#!/bin/false\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := w.broker.Restart(w.ctx); err != nil {
		t.Fatal(err)
	}
	if !listed() {
		t.Error("the broken plugin's service is not in the marketplace any more")
	}
	if ready := w.send(http.MethodGet, "/readyz", nil); ready.Status != http.StatusOK {
		t.Errorf("a broken plugin makes the broker unready: %v", ready.Body)
	}

	// Whoever copies the definition has the last word about it.
	raw, err := os.ReadFile("../docs/examples/letterbox-plugin/letterbox.yaml")
	if err != nil {
		t.Fatal(err)
	}
	own := strings.NewReplacer("name: letterbox", "name: pillarbox", "bindable: true", "bindable: true\nbackend: letterbox").Replace(string(raw))
	if err := os.WriteFile(filepath.Join(w.catalog, "pillarbox.yaml"), []byte(own), 0o644); err != nil {
		t.Fatal(err)
	}
	w.until("the operator's version", func() bool {
		out, _ := w.chandler("marketplace")
		return strings.Contains(out, "pillarbox") && !strings.Contains(out, "letterbox ")
	})
	// The instance goes on under the operator's version.
	for _, args := range [][]string{{"unbind", "i1", "b1"}, {"deprovision", "i1"}} {
		if out, status = w.chandler(args...); status != 0 {
			t.Errorf("%v: status %d\n%s", args, status, out)
		}
	}
	if _, err := os.Stat(got.Credentials.Path); !os.IsNotExist(err) {
		t.Errorf("the instance's directory is still there: %v", err)
	}
}
