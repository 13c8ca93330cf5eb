package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What cannot work is refused before anything is touched.
func TestExportUsage(t *testing.T) {
	t.Parallel()
	there := write1(t, t.TempDir(), "there", "precious")
	for _, c := range []struct {
		why  string
		args []string
		want string
	}{
		{"nowhere to go", []string{"export"}, "-o FILE"},
		{"a final export into a pipe", []string{"export", "--final", "-o", "-"}, "durable"},
		{"a key for a broker that has its own", []string{"export", "-o", there + ".new", "--key-file", "k"}, "--config"},
		{"over something else", []string{"export", "-o", there}, "exists already"},
		{"no such archive", []string{"import", there + ".new"}, "no such file"},
		{"no archive", []string{"import"}, "accepts 1 arg"},
	} {
		if got := chandler(t.Context(), c.args...); got.status != exitUsage || !strings.Contains(got.err, c.want) {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

// A store in the clear has no key to seal an export with: online it is refused, offline a key is named.
func TestExportOfAStoreInTheClear(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.end()
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "encryption:") {
			line = "encryption: {disabled: true}\n"
		}
		lines = append(lines, line)
	}
	write1(t, r.dir, "chandler.yaml", strings.Join(lines, ""))
	if err := os.RemoveAll(filepath.Join(r.dir, "state")); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.ok("provision", "rig", "quick", "i")
	out := filepath.Join(r.dir, "out")
	if got := r.chandler("export", "-o", out); got.status != exitFailed || !strings.Contains(got.err, "--key-file") {
		t.Errorf("online: %+v", got)
	}
	if _, err := os.Stat(out + ".part"); err == nil {
		t.Error("a part of an export is left")
	}
	r.end()
	if got := chandler(t.Context(), "export", "--config", r.file, "-o", out); got.status != exitUsage || !strings.Contains(got.err, "--key-file") {
		t.Errorf("offline without a key: %+v", got)
	}
	if got := chandler(t.Context(), "export", "--config", r.file, "--key-file", filepath.Join(r.dir, "master.key"), "-o", out); got.status != exitOK {
		t.Errorf("offline: %+v", got)
	}
	if got := chandler(t.Context(), "import", "--config", r.file, "--key-file", filepath.Join(r.dir, "master.key"), out); got.status != exitFailed || !strings.Contains(got.err, "not empty") {
		t.Errorf("into its own store: %+v", got)
	}
}
