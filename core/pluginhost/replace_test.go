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
