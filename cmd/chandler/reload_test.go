package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The configuration file is watched: backends, users and passwords change while the
// broker runs, and a broken file changes nothing.
func TestConfigurationReload(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	reloads := func(msg string) int {
		n := 0
		for _, l := range r.log.lines() {
			if l["msg"] == msg {
				n++
			}
		}
		return n
	}
	const good, bad = "the configuration was reloaded", "the configuration was not reloaded; everything stays as it was"

	r.configure("backends:\n  second: {plugin: demo}\n")
	r.until("the new backend", func() bool { return strings.Contains(r.ok("plugin", "list"), "second") })

	write1(t, r.dir, "operator2", "rotated-password\n")
	both := strings.Replace(rigUsers, `["${file:operator}"]`, `["${file:operator}", "${file:operator2}"]`, 1)
	before := reloads(good)
	r.configure(both + "backends:\n  second: {plugin: demo}\n")
	r.until("the new password", func() bool { return reloads(good) > before })
	r.ok("plugin", "list") // the old one still works
	r.client[len(r.client)-1] = filepath.Join(r.dir, "operator2")
	r.ok("plugin", "list")

	for _, c := range []struct{ why, extra string }{
		{"no YAML", both + "backends: ["},
		{"authentication cannot be turned off", "users: []\n"},
		{"a token of two users", "users:\n- {name: a, tokens: [x]}\n- {name: operator, tokens: [x], role: operator}\n"},
	} {
		before := reloads(bad)
		r.configure(c.extra)
		r.until("the refusal of "+c.why, func() bool { return reloads(bad) > before })
		got := r.ok("plugin", "list")
		if !strings.Contains(got, "second") {
			t.Errorf("%s changed the backends:\n%s", c.why, got)
		}
		if !strings.Contains(got, "The configuration file is not in use") {
			t.Errorf("%s: plugin list does not say that the file was refused:\n%s", c.why, got)
		}
		if _, ready := r.get("/readyz", ""); !strings.Contains(ready, "the configuration file was refused") {
			t.Errorf("%s: /readyz does not say that the file was refused: %s", c.why, ready)
		}
		if _, metrics := r.get("/metrics", "operator"); !strings.Contains(metrics, "\nchandler_configuration_valid 0\n") {
			t.Errorf("%s: the metric does not say that the file was refused", c.why)
		}
	}
	// A backend whose plugin refuses the new configuration goes on with the old one.
	r.configure(both + "backends:\n  second: {plugin: demo, config: {bogus: 1}}\n")
	r.until("the configuration to be in use again", func() bool { return !strings.Contains(r.ok("plugin", "list"), "not in use") })
	r.until("the refusal to be shown", func() bool {
		for _, b := range r.object("plugin", "list")["backends"].([]any) {
			b := b.(map[string]any)
			if b["name"] == "second" && b["state"] == "running" && strings.Contains(fmt.Sprint(b["message"]), "bogus") {
				return true
			}
		}
		return false
	})
	r.configure(both + "log: {level: debug}\n")
	changed := r.awaitLog("these keys of the configuration changed and hold only after a restart", nil)
	if keys, _ := changed["keys"].([]any); !slices.Contains(keys, any("log")) {
		t.Errorf("changed keys: %v", changed)
	}
	r.until("the removed backend to go", func() bool { return !strings.Contains(r.ok("plugin", "list"), "second") })
}

// SIGHUP reloads the configuration and the catalog.
func TestHangup(t *testing.T) { // not parallel: every broker of the process gets the signal
	r := newRig(t, "")
	r.copy("../../catalog/demo.yaml", "catalog/demo.yaml")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	r.awaitLog("the configuration was reloaded", nil)
	r.until("the new service", func() bool { return strings.Contains(r.ok("marketplace"), "demo-service") })
}

// A configuration that is a Kubernetes ConfigMap changes by a symlink that is swapped,
// while other files beside it never rest.
func TestConfigMapSwap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	publish := func(version, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o755); err != nil {
			t.Fatal(err)
		}
		write1(t, dir, version+"/chandler.yaml", text)
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("..1", "log: {level: info}\n")
	file := filepath.Join(dir, "chandler.yaml")
	if err := os.Symlink("..data/chandler.yaml", file); err != nil {
		t.Fatal(err)
	}
	noise := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		tick := time.NewTicker(settleFile / 10)
		defer tick.Stop()
		for {
			select {
			case <-noise:
				return
			case <-tick.C:
				_ = os.WriteFile(filepath.Join(dir, "broker.log"), []byte("x"), 0o600)
			}
		}
	})
	changed, unwatch := watchFile(file, []byte("log: {level: info}\n"), slog.New(slog.DiscardHandler))
	publish("..2", "log: {level: warn}\n")
	select {
	case <-changed:
	case <-time.After(time.Minute):
		t.Error("the swap was not noticed")
	}
	close(noise)
	writing.Wait()
	unwatch()
}

// What changed while the broker started is noticed once it watches.
func TestChangeDuringStart(t *testing.T) {
	t.Parallel()
	file := write1(t, t.TempDir(), "chandler.yaml", "log: {level: warn}\n")
	changed, unwatch := watchFile(file, []byte("log: {level: info}\n"), slog.New(slog.DiscardHandler))
	defer unwatch()
	select {
	case <-changed:
	case <-time.After(time.Minute):
		t.Error("the change was not noticed")
	}
}
