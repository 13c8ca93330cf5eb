package pluginhost_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

func TestTheLastGoodCopySurvivesARestart(t *testing.T) {
	state := t.TempDir()
	same := func(cfg *pluginhost.Config) { cfg.StateDir = state }
	b := newBed(t, same)
	b.install("test", variant{Version: "1.0.0"})
	b.start()
	_ = b.host.Close(context.Background())

	b = newBed(t, same)
	b.install("test", variant{Version: "2.0.0", Die: "broken"})
	b.start()
	if got := b.askSoon("test"); got.Version != "1.0.0" {
		t.Errorf("version %s", got.Version)
	}
	until(t, "the status tells of the broken one", func() bool { return strings.Contains(b.status("test").Error, "broken") })
}

func TestACrashLoopOpensTheBreakerAndRecovers(t *testing.T) {
	b := newBed(t, func(cfg *pluginhost.Config) { cfg.Timing.BreakerOpen = 500 * time.Millisecond })
	ready := filepath.Join(b.state, "ready")
	b.install("test", variant{DieOnce: ready})
	b.start()
	until(t, "the breaker opens", func() bool { return b.status("test").State == pluginhost.StateOpen })
	e := b.fails(call("test", do{}), core.CodeUnavailable)
	if e.RetryAfter <= 0 || !strings.Contains(e.Detail, "not yet") {
		t.Errorf("error %+v", e)
	}
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	b.askSoon("test")
	if s := b.status("test"); s.State != pluginhost.StateRunning || s.Error != "" {
		t.Errorf("status %+v", s)
	}
}

func TestAPluginThatDiesOfEveryCallOpensTheBreaker(t *testing.T) {
	b := newBed(t, func(cfg *pluginhost.Config) { cfg.Timing.BreakerOpen = time.Hour })
	b.install("test", variant{})
	b.start()
	for range quick.BreakerFailures {
		b.fails(call("test", do{Do: "die"}), core.CodeUnavailable)
	}
	until(t, "the breaker opens", func() bool { return b.status("test").State == pluginhost.StateOpen })
	if e := b.fails(call("test", do{}), core.CodeUnavailable); e.RetryAfter <= 0 {
		t.Errorf("error %+v", e)
	}
	if s := b.status("test"); s.Restarts != quick.BreakerFailures {
		t.Errorf("status %+v", s)
	}
}

func TestAnUnavailableBackendIsTriedAgain(t *testing.T) {
	b := newBed(t)
	there := filepath.Join(b.state, "there")
	b.install("test", variant{})
	b.start(pluginhost.BackendConfig{Name: "gluster-a", Plugin: "test", Config: []byte(`{"needs":"` + there + `"}`)})
	if s := b.status("gluster-a"); s.State != pluginhost.StateUnavailable || s.NextAttempt.IsZero() {
		t.Errorf("status %+v", s)
	}
	if e := b.fails(call("gluster-a", do{}), core.CodeUnavailable); e.RetryAfter <= 0 {
		t.Errorf("error %+v", e)
	}
	if _, ok := b.host.Describe("gluster-a"); !ok {
		t.Error("its services cannot be listed: it is not described")
	}
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := b.askSoon("gluster-a"); got.Backend != "gluster-a" {
		t.Errorf("outputs %+v", got)
	}
	b.ask("test", do{}) // the unlisted backend of the same plugin
}

func TestPluginsComeAndGo(t *testing.T) {
	var mu sync.Mutex
	changed := map[string]bool{}
	b := newBed(t, func(cfg *pluginhost.Config) {
		cfg.Dir = filepath.Join(cfg.Dir, "later")
		cfg.OnChange = func(backend string) { mu.Lock(); changed[backend] = true; mu.Unlock() }
	})
	b.dir = filepath.Join(b.dir, "later")
	b.start()
	if s := b.host.Status(); len(s) != 0 {
		t.Errorf("status %+v", s)
	}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.copySlowly("test", variant{})
	until(t, "it serves", func() bool { return b.status("test").State == pluginhost.StateRunning })
	pid := b.ask("test", do{}).Pid
	mu.Lock()
	if !changed["test"] {
		t.Error("OnChange was not told")
	}
	mu.Unlock()
	t.Run("what is no plugin is ignored", func(t *testing.T) {
		for _, name := range []string{"README", "chandler-plugin-", "chandler-plugin-UPPER", "chandler-plugin-x.old"} {
			if err := os.WriteFile(filepath.Join(b.dir, name), []byte("#!/bin/false\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(b.dir, "chandler-plugin-text"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		until(t, "the file that cannot be executed is reported", func() bool {
			return strings.Contains(b.status("text").Error, "not executable")
		})
		if err := os.Remove(filepath.Join(b.dir, "chandler-plugin-text")); err != nil {
			t.Fatal(err)
		}
		until(t, "only one is left", func() bool { s := b.host.Status(); return len(s) == 1 && s[0].Name == "test" })
	})
	if err := os.Remove(filepath.Join(b.dir, "chandler-plugin-test")); err != nil {
		t.Fatal(err)
	}
	until(t, "it is gone", func() bool { return len(b.host.Status()) == 0 && !alive(pid) })
	b.fails(call("test", do{}), core.CodeUnavailable)
}

func TestAReadOnlyPluginDirectory(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	if err := os.Chmod(b.dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(b.dir, 0o700) })
	b.start()
	b.ask("test", do{})
}

func TestCloseLetsCallsFinishOrCutsThem(t *testing.T) {
	for _, c := range []struct {
		name string
		do   do
		wait time.Duration
		code core.ErrorCode
	}{
		{"finish", do{Ms: 300}, time.Minute, ""},
		{"cut", do{Do: "ignore"}, 200 * time.Millisecond, core.CodeUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.install("test", variant{})
			b.start()
			pid := b.ask("test", do{}).Pid
			result := make(chan error, 1)
			go func() {
				_, err := b.host.Call(context.Background(), call("test", c.do), nil)
				result <- err
			}()
			until(t, "the call runs", func() bool { return b.status("test").Running == 1 })
			ctx, cancel := context.WithTimeout(context.Background(), c.wait)
			defer cancel()
			if err := b.host.Close(ctx); (err == nil) != (c.code == "") {
				t.Errorf("Close: %v", err)
			}
			if err := <-result; core.CodeOf(err) != c.code {
				t.Errorf("call: %v", err)
			}
			if alive(pid) {
				t.Error("the process is still there")
			}
			left, _ := filepath.Glob(filepath.Join(b.state, "s", "*"))
			tmp, _ := filepath.Glob(filepath.Join(b.state, "tmp", "*"))
			if len(left)+len(tmp) > 0 {
				t.Errorf("left behind: %v %v", left, tmp)
			}
			b.fails(call("test", do{}), core.CodeUnavailable)
		})
	}
}
