package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// edit replaces text in a catalog file the way an editor does: a new file is renamed over the old one.
func (w *world) edit(name string, change func(string) string) {
	w.t.Helper()
	path := filepath.Join(w.catalog, name)
	raw, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(change(string(raw))), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.t.Fatal(err)
	}
}

const newPlan = `
- id: 6c1f3d0e-5f0c-4a86-9c39-0b6f9a3f4f21
  name: archive
  description: A versioned bucket that is emptied when it is deleted.
  free: true
  provision: {versioning: true, onDelete: purge}
  credentials: credentials/aws.yaml
`

func TestEditedCatalogShowsWithoutRestart(t *testing.T) {
	w := newWorld(t, "")
	w.edit("gluster-s3.yaml", func(s string) string { return strings.Replace(s, "\nplans:\n", "\nplans:"+newPlan, 1) })
	w.until("the new plan", func() bool {
		out, _ := w.chandler("marketplace")
		return strings.Contains(out, "archive")
	})

	// A broken edit changes nothing, and status says what is wrong and where.
	w.edit("gluster-s3.yaml", func(s string) string {
		return strings.Replace(s, "  name: archive\n", "  name: archive\n  bindabel: true\n", 1)
	})
	var out string
	w.until("the status to show the mistake", func() bool {
		var status int
		out, status = w.chandler("catalog", "status")
		return status == 3
	})
	w.contains(out, "gluster-s3.yaml:", "the status")
	w.contains(out, "bindabel", "the status")
	w.contains(out, `"bindable"`, "the status")
	if market, _ := w.chandler("marketplace"); !strings.Contains(market, "archive") || !strings.Contains(market, "demo-service") {
		t.Errorf("the broken edit changed the catalog:\n%s", market)
	}
	ready := w.send(http.MethodGet, "/readyz", nil)
	if ready.Status != http.StatusOK {
		t.Errorf("a broken catalog file makes the broker unready: %v", ready.Body)
	}

	// The broker starts with the last good catalog, too.
	w.broker.Kill()
	if err := w.broker.Restart(w.ctx); err != nil {
		t.Fatal(err)
	}
	if market, _ := w.chandler("marketplace"); !strings.Contains(market, "archive") {
		t.Errorf("the last good catalog did not survive the restart:\n%s", market)
	}
}

const newService = `
id: 5a1c7a5e-8f0e-4a43-8d0c-6ac8b3a9d001
name: second-demo
description: A service of a plugin that was copied into place.
backend: second
bindable: true
provision: {}
credentials: {uri: "{{ .binding.outputs.uri }}"}
plans:
- {id: 5a1c7a5e-8f0e-4a43-8d0c-6ac8b3a9d002, name: default, description: The only one., free: true}
`

func TestNewPluginMakesAServiceWithoutRestart(t *testing.T) {
	w := newWorld(t, "")
	if err := os.WriteFile(filepath.Join(w.catalog, "second.yaml"), []byte(newService), 0o644); err != nil {
		t.Fatal(err)
	}
	copyFile(t, filepath.Join(bin, "chandler-plugin-demo"), filepath.Join(w.plugins, "chandler-plugin-second"))
	w.until("the new service", func() bool {
		out, _ := w.chandler("marketplace")
		return strings.Contains(out, "second-demo")
	})
	out, status := w.chandler("provision", "second-demo", "default", "i1")
	if status != 0 {
		t.Fatalf("provision: status %d\n%s", status, out)
	}
	out, status = w.chandler("bind", "i1", "b1", "-o", "json")
	if status != 0 {
		t.Fatalf("bind: status %d\n%s", status, out)
	}
	w.contains(out, `"uri"`, "the credentials")
}
