package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An operator finds what nobody made an instance of, adopts it, and looks at it; then
// the platform finds it, and a forgotten instance is an orphan.
func TestInventoryJourney(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	loose := filepath.Join(r.dir, "state", "plugins", "data", "demo", "loose")
	r.until("the backend's directory", func() bool {
		found, _ := filepath.Glob(filepath.Join(r.dir, "state", "*", "data", "demo"))
		if len(found) == 1 {
			loose = filepath.Join(found[0], "loose")
		}
		return len(found) == 1
	})
	if err := os.MkdirAll(loose, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(loose, "photos.json"), []byte(`{"a":"b"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	state := func(name string) string {
		t.Helper()
		var got struct {
			Inventory []struct {
				State      string `json:"state"`
				InstanceID string `json:"instance_id"`
				Inputs     struct{ Name string }
			}
		}
		if err := json.Unmarshal([]byte(r.ok("plugin", "inventory", "demo", "-o", "json")), &got); err != nil {
			t.Fatal(err)
		}
		for _, thing := range got.Inventory {
			if thing.Inputs.Name == name {
				return strings.TrimSpace(thing.State + " " + thing.InstanceID)
			}
		}
		return ""
	}
	if got := state("photos"); got != "adoptable" {
		t.Fatalf("before it is adopted it is %q", got)
	}
	adopt := []string{"instance", "adopt", "kept", "--service", "rig", "--plan", "quick", "-p", "name=photos"}
	if got := r.ok(adopt...); !strings.Contains(got, "created") {
		t.Errorf("adopt prints %s", got)
	}
	if got := r.ok(adopt...); !strings.Contains(got, "unchanged") {
		t.Errorf("adopt again prints %s", got)
	}
	if got := state("photos"); got != "known kept" {
		t.Errorf("afterwards it is %q", got)
	}
	if got := r.ok("instance", "inspect", "kept"); !strings.Contains(got, "as it was applied") {
		t.Errorf("inspect prints %s", got)
	}
	r.ok("provision", "rig", "quick", "kept", "-p", "name=photos")
	r.ok("instance", "purge", "kept", "--yes")
	if got := state("photos"); got != "orphan kept" {
		t.Errorf("forgotten it is %q", got)
	}
	for _, c := range []struct {
		why    string
		args   []string
		status int
	}{
		{"a plan must be named", []string{"instance", "adopt", "x", "--service", "rig"}, exitUsage},
		{"nothing of that name", []string{"instance", "adopt", "x", "--service", "rig", "--plan", "quick", "-p", "name=none"}, exitFailed},
		{"another's mark", []string{"instance", "adopt", "x", "--service", "rig", "--plan", "quick", "-p", "name=photos"}, exitFailed},
		{"no such instance", []string{"instance", "inspect", "x"}, exitNotFound},
		{"no such backend", []string{"plugin", "inventory", "none"}, exitNotFound},
	} {
		if got := r.chandler(c.args...); got.status != c.status {
			t.Errorf("chandler %v: status %d, want %d: %s\n%s%s", c.args, got.status, c.status, c.why, got.out, got.err)
		}
	}
	if got := r.ok(adopt...); !strings.Contains(got, "created") {
		t.Errorf("an orphan is adopted under its own id: %s", got)
	}
}
