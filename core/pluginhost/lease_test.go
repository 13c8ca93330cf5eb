package pluginhost_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// procState is the state letter of a process: T is stopped.
func procState(t testing.TB, pid int) string {
	t.Helper()
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return rest[:1]
}

// TestPluginsDieWhileTheBrokerIsStopped: another broker works on the same things as soon as the
// lease has ended, so nothing of this one may, although it cannot do anything itself.
func TestPluginsDieWhileTheBrokerIsStopped(t *testing.T) {
	for _, c := range []struct{ name, do, why string }{
		{"in its group", "fork", "the group is killed"},
		{"in a session of its own", "daemon", "what left the group is found by its mark"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, state := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "chandler-plugin-test"), executable(t, variant{}), 0o755); err != nil {
				t.Fatal(err)
			}
			broker := startBroker(t, dir, state)
			o := broker.ask(do{Do: c.do})
			broker.tell("keep 1h") // only the last word counts
			broker.tell("keep 1s")
			signalled(t, broker.pid(), syscall.SIGSTOP)
			until(t, c.why, func() bool { return !alive(o.Pid) && !alive(o.Sleeper) })
			if s := procState(t, broker.pid()); s != "T" {
				t.Fatalf("the broker is in state %s: it was not the guard that killed them", s)
			}
			signalled(t, broker.pid(), syscall.SIGCONT)
			if _, answer, ok := broker.try(do{}); ok || !strings.Contains(answer, "lease has ended") {
				t.Errorf("a call after the lease's end: %q", answer)
			}
			broker.tell("keep 1h")
			again := o
			until(t, "a new process serves under the new lease", func() (ok bool) {
				again, _, ok = broker.try(do{})
				return ok
			})
			if again.Pid == o.Pid {
				t.Errorf("process %d still serves", o.Pid)
			}
		})
	}
}

func TestKeepUntil(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	pid := b.ask("test", do{}).Pid
	b.host.KeepUntil(time.Now().Add(time.Hour))
	b.host.KeepUntil(time.Time{})
	if now := b.ask("test", do{}).Pid; now != pid {
		t.Errorf("process %d became %d although no bound has passed", pid, now)
	}
	t.Run("calls that run at the bound end with their process", func(t *testing.T) {
		began := filepath.Join(b.state, "began")
		ended := make(chan error, 1)
		go func() {
			_, err := b.host.Call(context.Background(), call("test", do{Do: "ignore", File: began}), nil)
			ended <- err
		}()
		until(t, "the call begins", func() bool { return exists(began) })
		b.host.KeepUntil(time.Now().Add(50 * time.Millisecond))
		e := wantError(t, <-ended, core.CodeUnavailable)
		if !strings.Contains(e.Detail, "lease has ended") {
			t.Errorf("detail %q", e.Detail)
		}
		if alive(pid) {
			t.Error("the process is still there")
		}
	})
	t.Run("calls are refused at once afterwards", func(t *testing.T) {
		b.fails(call("test", do{}), core.CodeUnavailable)
		until(t, "the state says why", func() bool {
			s := b.status("test")
			return s.State == pluginhost.StateRestarting && strings.Contains(s.Error, "lease has ended")
		})
	})
	t.Run("a new binary waits, too", func(t *testing.T) {
		b.install("test", variant{Version: "2.0.0"})
		b.fails(call("test", do{}), core.CodeUnavailable)
	})
	t.Run("a bound that has passed already changes nothing", func(t *testing.T) {
		b.host.KeepUntil(time.Now().Add(-time.Hour))
		b.fails(call("test", do{}), core.CodeUnavailable)
	})
	t.Run("a later bound lets the backends serve again, however often they were ended", func(t *testing.T) {
		for range quick.BreakerFailures + 1 { // it is not the plugin that failed
			b.host.KeepUntil(time.Now().Add(time.Hour))
			pid := b.askSoon("test").Pid
			b.host.KeepUntil(time.Now())
			until(t, "the process ends", func() bool { return !alive(pid) && b.status("test").Pid == 0 })
		}
		b.host.KeepUntil(time.Time{})
		b.askSoon("test")
		if s := b.status("test"); s.Restarts < quick.BreakerFailures || s.State != pluginhost.StateRunning {
			t.Errorf("status %+v", s)
		}
	})
}

// TestACallThatEndsWithTheLease: there is no time to be kind to a plugin that ignores the cancellation.
func TestACallThatEndsWithTheLease(t *testing.T) {
	for _, c := range []struct {
		name, do string
		survives bool
		why      string
	}{
		{"ignores it", "ignore", false, "it is killed after the short grace"},
		{"obeys it", "wait", true, "nobody needs to be killed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, func(cfg *pluginhost.Config) {
				cfg.Timing.CancelGrace = time.Hour
				if cfg.Timing.LeaseGrace = 300 * time.Millisecond; c.survives {
					cfg.Timing.LeaseGrace = time.Minute // a busy machine is not disobedience
				}
			})
			b.install("test", variant{})
			b.start()
			pid := b.ask("test", do{}).Pid
			began := filepath.Join(b.state, "began")
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			go func() {
				until(t, "the call begins", func() bool { return exists(began) })
				cancel(core.ErrLeaseEnding)
			}()
			_, err := b.host.Call(ctx, call("test", do{Do: c.do, File: began}), nil)
			wantError(t, err, core.CodeCancelled)
			if alive(pid) != c.survives {
				t.Errorf("the process lives: %v; %s", alive(pid), c.why)
			}
		})
	}
}
