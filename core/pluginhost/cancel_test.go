package pluginhost_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

func TestCancellation(t *testing.T) {
	for _, c := range []struct {
		name, why string
		v         variant
		do        string
		code      core.ErrorCode
		survives  bool
	}{
		{"obeyed", "Call returns when the handler has, and not before", variant{}, "wait", core.CodeCancelled, true},
		{"finished anyway", "work that was done is done; core must know", variant{}, "finish", "", true},
		{"ignored", "semantics 4: the process is killed", variant{}, "ignore", core.CodeCancelled, false},
		{"no Cancel", "a plugin that cannot be asked is killed", variant{NoCancel: true}, "wait", core.CodeCancelled, false},
		{"stopped", "SIGSTOP: it answers nothing at all", variant{}, "stop", core.CodeCancelled, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, func(cfg *pluginhost.Config) { cfg.Timing.HealthInterval = time.Hour })
			b.install("test", c.v)
			b.start()
			pid := b.ask("test", do{}).Pid
			began, returned := filepath.Join(b.state, "began"), filepath.Join(b.state, "returned")
			ctx, cancel := context.WithCancelCause(context.Background())
			result := make(chan error, 1)
			go func() {
				_, err := b.host.Call(ctx, call("test", do{Do: c.do, File: began, Text: returned, Ms: 100}), nil)
				if c.do == "wait" && c.survives && !exists(returned) {
					t.Error("Call returned before the plugin's handler had")
				}
				result <- err
			}()
			until(t, "the call begins", func() bool { return exists(began) })
			cancel(errors.New("superseded by a delete"))
			err := <-result
			if c.code == "" && err != nil || core.CodeOf(err) != c.code {
				t.Fatalf("error %v; want %q: %s", err, c.code, c.why)
			}
			if err != nil && !strings.Contains(core.AsError(err).Detail, "superseded by a delete") {
				t.Errorf("the detail does not name the cause: %v", err)
			}
			if alive(pid) != c.survives {
				t.Errorf("process alive: %v; %s", alive(pid), c.why)
			}
			b.askSoon("test")
		})
	}
}

func TestKillingOneCallsProcessEndsTheOthersAsUnavailable(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	other := make(chan error, 1)
	file := filepath.Join(b.state, "other")
	go func() {
		_, err := b.host.Call(context.Background(), call("test", do{Do: "wait", File: file}), nil)
		other <- err
	}()
	until(t, "the other call begins", func() bool { return exists(file) })
	ctx, cancel := context.WithCancel(context.Background())
	began := filepath.Join(b.state, "began")
	go func() {
		until(t, "the call begins", func() bool { return exists(began) })
		cancel()
	}()
	_, err := b.host.Call(ctx, call("test", do{Do: "ignore", File: began}), nil)
	wantError(t, err, core.CodeCancelled)
	wantError(t, <-other, core.CodeUnavailable)
}

func TestSilenceIsATimeout(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	t.Run("no event", func(t *testing.T) {
		c := call("test", do{Do: "wait"})
		c.Timeout = 100 * time.Millisecond
		if e := b.fails(c, core.CodeUnavailable); !strings.Contains(e.Detail, "no event for 100ms") {
			t.Error(e)
		}
	})
	t.Run("events restart it", func(t *testing.T) {
		c := call("test", do{Do: "progress", N: 20, Ms: 50})
		c.Timeout = 500 * time.Millisecond // half of what the call takes
		if _, err := b.host.Call(context.Background(), c, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("the backend's own", func(t *testing.T) {
		b.set(pluginhost.BackendConfig{Name: "test", Limits: pluginhost.Limits{CallTimeout: 120 * time.Millisecond}})
		until(t, "it is in force", func() bool {
			_, err := b.host.Call(context.Background(), call("test", do{Ms: 1000}), nil)
			return err != nil && strings.Contains(core.AsError(err).Detail, "no event for 120ms")
		})
	})
}

func TestAStoppedProcessIsFoundByItsHealth(t *testing.T) {
	b := newBed(t, func(cfg *pluginhost.Config) { cfg.Timing.HealthTimeout = 200 * time.Millisecond })
	b.install("test", variant{})
	b.start()
	e := b.fails(call("test", do{Do: "stop"}), core.CodeUnavailable)
	if !strings.Contains(e.Detail, "did not answer Health") {
		t.Error(e)
	}
	b.askSoon("test")
}

func TestAKilledProcessSaysSo(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	pid := b.ask("test", do{}).Pid
	began := filepath.Join(b.state, "began")
	go func() {
		until(t, "the call begins", func() bool { return exists(began) })
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}()
	if e := b.fails(call("test", do{Do: "wait", File: began}), core.CodeUnavailable); !strings.Contains(e.Detail, "signal 9") {
		t.Error(e)
	}
	until(t, "it runs again", func() bool { s := b.status("test"); return s.State == pluginhost.StateRunning && s.Restarts == 1 })
}

func TestACallThatIsOverBeforeItBeginsIsNotMade(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	began := filepath.Join(b.state, "began")
	_, err := b.host.Call(ctx, call("test", do{Do: "wait", File: began}), nil)
	wantError(t, err, core.CodeCancelled)
	if exists(began) {
		t.Error("the plugin was called")
	}
}
