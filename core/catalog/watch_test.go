package catalog_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core/catalog"
)

// An edit is noticed in whatever way it reaches the disk.
func TestWatch(t *testing.T) {
	changed := service("", secondPlan)
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	link := func(t *testing.T, target, name string) {
		t.Helper()
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, why string
		prepare   func(t *testing.T, dir string) // makes catalog/ with the first state; nil: a plain file
		edit      func(t *testing.T, dir string)
	}{
		{name: "write in place", why: "echo >> file", edit: func(t *testing.T, dir string) {
			writeFiles(t, dir, map[string]string{"catalog/a.yaml": changed})
		}},
		{name: "atomic write", why: "a temporary file renamed over it", edit: func(t *testing.T, dir string) {
			writeFiles(t, dir, map[string]string{"catalog/.a.yaml.tmp": changed})
			rename(t, dir+"/catalog/.a.yaml.tmp", dir+"/catalog/a.yaml")
		}},
		{name: "editor's dance", why: "vim moves the old file away first", edit: func(t *testing.T, dir string) {
			rename(t, dir+"/catalog/a.yaml", dir+"/catalog/a.yaml~")
			writeFiles(t, dir, map[string]string{"catalog/a.yaml": changed})
			remove(t, dir, "catalog/a.yaml~")
		}},
		{name: "directory replaced", why: "a deployment that swaps whole directories", edit: func(t *testing.T, dir string) {
			writeFiles(t, dir, map[string]string{"new/a.yaml": changed})
			rename(t, dir+"/catalog", dir+"/old")
			rename(t, dir+"/new", dir+"/catalog")
		}},
		{name: "directory removed and made again", why: "rm -r and cp -r", edit: func(t *testing.T, dir string) {
			remove(t, dir, "catalog")
			writeFiles(t, dir, map[string]string{"catalog/a.yaml": changed})
		}},
		{name: "ConfigMap", why: "the kubelet swaps the ..data symlink",
			prepare: func(t *testing.T, dir string) {
				writeFiles(t, dir, map[string]string{"catalog/..1/a.yaml": service("", "")})
				link(t, "..1", dir+"/catalog/..data")
				link(t, "..data/a.yaml", dir+"/catalog/a.yaml")
			},
			edit: func(t *testing.T, dir string) {
				writeFiles(t, dir, map[string]string{"catalog/..2/a.yaml": changed})
				link(t, "..2", dir+"/catalog/..data_tmp")
				rename(t, dir+"/catalog/..data_tmp", dir+"/catalog/..data")
				remove(t, dir, "catalog/..1")
			}},
		{name: "symlinked directory", why: "a 'current' link that a deployment moves",
			prepare: func(t *testing.T, dir string) {
				writeFiles(t, dir, map[string]string{"releases/1/a.yaml": service("", ""), "releases/2/a.yaml": changed})
				link(t, "releases/1", dir+"/catalog")
			},
			edit: func(t *testing.T, dir string) {
				link(t, "releases/2", dir+"/next")
				rename(t, dir+"/next", dir+"/catalog")
			}},
		{name: "linked file elsewhere", why: "no notification comes from there: the slow look finds it",
			prepare: func(t *testing.T, dir string) {
				writeFiles(t, dir, map[string]string{"elsewhere/a.yaml": service("", ""), "catalog/README": ""})
				link(t, dir+"/elsewhere/a.yaml", dir+"/catalog/a.yaml")
			},
			edit: func(t *testing.T, dir string) {
				writeFiles(t, dir, map[string]string{"elsewhere/a.yaml": changed})
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if tt.prepare == nil {
				writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("", "")})
			} else {
				tt.prepare(t, dir)
			}
			c := started(t, (&memory{}).config(dir))
			if got := plansOf(c.Snapshot()); !slices.Equal(got, []string{"small/only"}) {
				t.Fatalf("at the start: %v", got)
			}
			tt.edit(t, dir)
			eventually(t, tt.why, func() bool { return len(plansOf(c.Snapshot())) == 2 })
			// It still watches afterwards, and a broken edit is told and changes nothing.
			if tt.name == "linked file elsewhere" {
				return
			}
			real, err := filepath.EvalSymlinks(dir + "/catalog/a.yaml")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(real, []byte("]"), 0o644); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(tt.name, "ConfigMap") { // the kubelet never writes in place: swap again
				link(t, "..2", dir+"/catalog/..data_tmp")
				rename(t, dir+"/catalog/..data_tmp", dir+"/catalog/..data")
			}
			eventually(t, "the broken edit in the status", func() bool { return !c.Status().Valid })
			if len(plansOf(c.Snapshot())) != 2 {
				t.Error("a broken edit changed the catalog")
			}
		})
	}
}

// Template files are watched too, in directories that come later as well.
func TestWatchTemplates(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(service("", "  credentials: new/x.yaml\n"), "bindable: false\n", "", 1)
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("", "")})
	c := started(t, (&memory{}).config(dir))
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": text})
	eventually(t, "the missing file in the status", func() bool { return !c.Status().Valid })
	writeFiles(t, dir, map[string]string{"templates/new/x.yaml": "a: 1\n"})
	eventually(t, "the new template", func() bool {
		return c.Status().Valid && catalog.TemplateOf(c.Snapshot().Services[0].Plans[0], "credentials") != nil
	})
	revision := c.Snapshot().Revision
	writeFiles(t, dir, map[string]string{"templates/new/x.yaml": "a: 2\n"})
	eventually(t, "the changed template", func() bool { return c.Snapshot().Revision != revision })
}
