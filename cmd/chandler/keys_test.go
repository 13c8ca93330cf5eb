package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysCreate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "master.key")
	got := chandler(t.Context(), "keys", "create", file)
	info, err := os.Stat(file)
	if got.status != exitOK || got.out != "" || err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%+v, %v", got, err)
	}
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(key))); err != nil || len(raw) != 32 {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	if strings.Contains(got.err, strings.TrimSpace(string(key))) {
		t.Error("the key is shown on the terminal, too")
	}
	if again := chandler(t.Context(), "keys", "create", file); again.status != exitUsage {
		t.Errorf("over an existing key: %+v", again)
	}
	if kept, err := os.ReadFile(file); err != nil || string(kept) != string(key) {
		t.Errorf("an existing key was replaced: %v", err)
	}
	if out := chandler(t.Context(), "keys", "create"); out.status != exitOK || len(out.out) != len(key) || out.out == string(key) {
		t.Errorf("on standard output: %+v", out)
	}
}

// serve neither stores secrets in the clear by accident nor starts with a key that is none.
func TestServeNeedsAMasterKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct{ why, config, want string }{
		{"none", "", "chandler keys create"},
		{"an empty list", "encryption: {masterKeys: []}", "chandler keys create"},
		{"a pass phrase", "encryption: {masterKeys: [correct-horse]}", "not in base64"},
		{"the same twice", "encryption: {masterKeys: ['${file:k}', '${file:k}']}", "twice"},
		{"both", "encryption: {masterKeys: ['${file:k}'], disabled: true}", "exclude each other"},
	} {
		write1(t, dir, "k", base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n")
		file := write1(t, dir, "c.yaml", "listen: 127.0.0.1:0\nstate: "+filepath.Join(dir, "state")+"\n"+c.config+"\n")
		got := chandler(t.Context(), "serve", "--config", file)
		if got.status != exitUsage || !strings.Contains(got.err, c.want) || strings.Contains(got.err, "correct-horse") {
			t.Errorf("%s: status %d, %q", c.why, got.status, got.err)
		}
		if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
			t.Fatalf("%s: the store was touched", c.why)
		}
	}
}

// The keys are rotated while the broker serves, from the command line.
func TestKeysRotateOnline(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.ok("provision", "rig", "quick", "i")
	bound := r.object("bind", "i", "b")["credentials"]
	keyset := func() map[string]any { return r.object("keys", "status")["keyset"].(map[string]any) }
	before := keyset()
	got := r.chandler("keys", "rotate")
	for _, want := range []string{"a new key was added", "the new key seals from now on", "rewrapping", "the old key was removed"} {
		if got.status != exitOK || !strings.Contains(got.err, want) {
			t.Errorf("rotate does not say %q: status %d\n%s", want, got.status, got.err)
		}
	}
	after := keyset()
	if after["primary"] == before["primary"] || after["phase"] != "steady" || after["keys"] != 1.0 {
		t.Errorf("before %v, after %v", before, after)
	}
	r.ok("keys", "rewrap")
	if got := r.chandler("keys", "rotate", "--master"); got.status != exitFailed || !strings.Contains(got.err, "already") {
		t.Errorf("nothing to change: %+v", got)
	}
	r.end()

	key, err := os.ReadFile(filepath.Join(r.dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	if got := chandler(t.Context(), "keys", "create", filepath.Join(r.dir, "new.key")); got.status != exitOK {
		t.Fatal(got.err)
	}
	r.masterKeys("'${file:new.key}', '${file:master.key}'")
	r.start()
	r.ok("keys", "rotate", "--master")
	if got := keyset(); got["master"] == after["master"] || len(got["masters"].([]any)) != 1 {
		t.Errorf("after the change of the master key: %v", got)
	}
	r.end()
	r.masterKeys("'${file:master.key}'")
	if got := chandler(t.Context(), "serve", "--config", r.file); got.status != exitFailed || !strings.Contains(got.err, "wrapped by the master key") {
		t.Errorf("with the old master key: status %d\n%s", got.status, got.err)
	}
	r.masterKeys("'${file:new.key}'")
	r.start()
	if again := r.object("bind", "i", "b")["credentials"]; again.(map[string]any)["password"] != bound.(map[string]any)["password"] {
		t.Errorf("the credentials changed: %v", again)
	}
	for _, secret := range []string{strings.TrimSpace(string(key)), bound.(map[string]any)["password"].(string)} {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("the log has a secret (%.4s…)", secret)
		}
	}
}

// masterKeys changes the configuration.
func (r *rig) masterKeys(list string) {
	r.t.Helper()
	text, err := os.ReadFile(r.file)
	if err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "encryption:") {
			line = "encryption: {masterKeys: [" + list + "]}\n"
		}
		lines = append(lines, line)
	}
	write1(r.t, r.dir, "chandler.yaml", strings.Join(lines, ""))
}
