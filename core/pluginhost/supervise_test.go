package pluginhost_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// load makes calls of all kinds until stopped, and counts failures.
type load struct {
	stop   context.CancelFunc
	wait   sync.WaitGroup
	calls  atomic.Int64
	failed atomic.Pointer[error]
}

func (b *bed) load(backend string, workers int) *load {
	ctx, stop := context.WithCancel(context.Background())
	l := &load{stop: stop}
	for w := range workers {
		l.wait.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				c := call(backend, do{Ms: n % 20})
				if w%2 == 0 {
					c.Verb, c.BindingID = core.VerbBind, "b"
				}
				if _, err := b.host.Call(context.Background(), c, nil); err != nil {
					l.failed.CompareAndSwap(nil, &err)
					return
				}
				l.calls.Add(1)
			}
		})
	}
	return l
}

func (l *load) end(t testing.TB) {
	t.Helper()
	l.stop()
	l.wait.Wait()
	if err := l.failed.Load(); err != nil {
		t.Errorf("a call failed: %v", *err)
	}
}

func TestReplacingUnderLoadFailsNoCall(t *testing.T) {
	b := newBed(t, func(cfg *pluginhost.Config) { cfg.Timing.Vanish = time.Minute }) // installing takes a while on a busy machine
	b.install("test", variant{Version: "1.0.0", MaxConcurrency: 4})
	b.start()
	l := b.load("test", 8)
	first := b.ask("test", do{})
	long := make(chan outputs, 1)
	began := filepath.Join(b.state, "began")
	cancelled, cancel := context.WithCancel(context.Background())
	go func() { // a call that is longer than the replacement
		r, err := b.host.Call(cancelled, call("test", do{Do: "finish", File: began}), nil)
		if err != nil {
			t.Errorf("the long call: %v", err)
			r.Outputs = []byte("{}")
		}
		long <- decode(t, r)
	}()
	until(t, "the long call begins", func() bool { return exists(began) })
	for n, step := range []struct {
		name   string
		change func(version string)
	}{
		{"a new binary by rename", func(v string) { b.install("test", variant{Version: v, MaxConcurrency: 4}) }},
		{"a new binary by a slow copy in place", func(v string) { b.copySlowly("test", variant{Version: v, MaxConcurrency: 4}) }},
		{"removed and installed again, as install(1) does", func(v string) {
			_ = os.Remove(filepath.Join(b.dir, "chandler-plugin-test"))
			b.install("test", variant{Version: v})
		}},
	} {
		version := fmt.Sprintf("2.%d.0", n)
		step.change(version)
		until(t, step.name+" serves", func() bool { return b.status("test").Version == version })
		before := l.calls.Load()
		until(t, "calls go on", func() bool { return l.calls.Load() > before+20 || l.failed.Load() != nil })
	}
	pid := b.ask("test", do{}).Pid
	b.set(pluginhost.BackendConfig{Name: "test", Config: []byte(`{"key":"new"}`)})
	until(t, "the new configuration serves", func() bool { s := b.status("test"); return s.Listed && s.Pid != pid })
	l.end(t)
	if !alive(first.Pid) {
		t.Error("the first process ended although it still had a call")
	}
	cancel()
	if got := <-long; got.Text != "finished anyway" {
		t.Errorf("the long call gave %+v", got)
	}
	until(t, "the first process ends", func() bool { return !alive(first.Pid) })
	if s := b.status("test"); s.Restarts != 0 {
		t.Errorf("status %+v", s)
	}
	until(t, "old copies are removed", func() bool {
		dirs, _ := filepath.Glob(filepath.Join(b.state, "bin", "*"))
		return len(dirs) == 1
	})
}

// copySlowly writes the plugin in place, as cp over a slow network does.
func (b *bed) copySlowly(name string, v variant) {
	raw := executable(b, v)
	f, err := os.OpenFile(filepath.Join(b.dir, pluginhost.Prefix+name), os.O_WRONLY|os.O_TRUNC|os.O_CREATE, 0o755)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for part := range 10 {
		n := len(raw) / 10
		end := (part + 1) * n
		if part == 9 {
			end = len(raw)
		}
		if _, err := f.Write(raw[part*n : end]); err != nil {
			b.Fatal(err)
		}
		if part == 4 { // it is taken for complete
			until(b, "the half binary to be tried", func() bool { return b.status(name).Error != "" })
		}
	}
}

func TestWhatNeverBecomesGoodChangesNothing(t *testing.T) {
	for _, c := range []struct {
		name, why string
		v         variant
		cfg       pluginhost.BackendConfig
		text      string
	}{
		{"dies", "the usual broken build", variant{Die: "broken build"}, pluginhost.BackendConfig{}, "broken build"},
		{"hangs in Describe", "it would block the catalog", variant{HangInDescribe: true}, pluginhost.BackendConfig{}, "did not answer Describe"},
		{"needs a configuration now", "the unlisted backend goes on with the old one", variant{Requires: true}, pluginhost.BackendConfig{}, "needs a configuration"},
		{"not approved", "the catalog does not go with it", variant{Version: "9.0.0"}, pluginhost.BackendConfig{}, "lacks an output"},
		{"invalid configuration", "a typing error in the broker's configuration", variant{}, pluginhost.BackendConfig{Name: "test", Config: []byte(`{"invalid":"typo"}`)}, "typo"},
		{"unavailable with the new configuration", "it may come up later", variant{}, pluginhost.BackendConfig{Name: "test", Config: []byte(`{"needs":"/nowhere"}`)}, "is not there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, func(cfg *pluginhost.Config) {
				cfg.Timing.Describe = time.Second
				cfg.Approve = func(_ string, d core.Description) error {
					if d.Version == "9.0.0" {
						return errors.New("plan x lacks an output")
					}
					return nil
				}
			})
			b.install("test", variant{})
			b.start()
			pid := b.ask("test", do{}).Pid
			l := b.load("test", 4)
			if c.cfg.Name != "" {
				b.set(c.cfg)
			} else {
				b.install("test", c.v)
			}
			until(t, "the status says why", func() bool { return strings.Contains(b.status("test").Error, c.text) })
			s := b.status("test")
			if s.State != pluginhost.StateRunning || s.Pid != pid || s.Version != "1.0.0" {
				t.Errorf("status %+v; %s", s, c.why)
			}
			l.end(t)
			// The old one is also what is started again.
			signalled(t, pid, 9)
			until(t, "the old one runs again", func() bool {
				s := b.status("test")
				return s.State == pluginhost.StateRunning && s.Pid != pid && s.Version == "1.0.0"
			})
			b.ask("test", do{})
			// A good one takes over.
			if c.cfg.Name != "" {
				b.set()
			}
			b.install("test", variant{Version: "3.0.0"})
			until(t, "a good one takes over", func() bool { s := b.status("test"); return s.Version == "3.0.0" && s.Error == "" })
		})
	}
}

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
