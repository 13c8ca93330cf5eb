package pluginhost_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/chandler-broker/chandler/core/pluginhost"
)

// TestNothingOutlivesTheBroker kills a broker in a process of its own.
func TestNothingOutlivesTheBroker(t *testing.T) {
	for _, c := range []struct {
		name, why string
		do        string
		signal    syscall.Signal
		before    func(t *testing.T, broker, plugin int) // the kill
	}{
		{"kill -9", "nothing in the broker can react", "fork", syscall.SIGKILL, nil},
		{"SIGTERM without a handler", "dies as by itself", "fork", syscall.SIGTERM, nil},
		{"daemon", "what left the process group dies, too", "daemon", syscall.SIGKILL, nil},
		{"stopped plugin", "it cannot react to the pipe", "fork", syscall.SIGKILL,
			func(t *testing.T, _, plugin int) { signalled(t, plugin, syscall.SIGSTOP) }},
		{"the guard died before", "a new one takes its place", "fork", syscall.SIGKILL,
			func(t *testing.T, broker, plugin int) {
				old := guardOf(broker)
				signalled(t, old, syscall.SIGKILL)
				until(t, "there is a new guard", func() bool { g := guardOf(broker); return g != 0 && g != old })
			}},
		{"the plugin died before", "what it forked is not left behind even then", "fork", syscall.SIGKILL,
			func(t *testing.T, _, plugin int) { signalled(t, plugin, syscall.SIGKILL) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, state := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "chandler-plugin-test"), executable(t, variant{}), 0o755); err != nil {
				t.Fatal(err)
			}
			broker := startBroker(t, dir, state)
			o := broker.ask(do{Do: c.do})
			if !alive(o.Pid) || !alive(o.Sleeper) {
				t.Fatalf("plugin %d or sleeper %d do not run", o.Pid, o.Sleeper)
			}
			if c.before != nil {
				c.before(t, broker.pid(), o.Pid)
			}
			guard := guardOf(broker.pid())
			signalled(t, broker.pid(), c.signal)
			_ = broker.cmd.Wait()
			until(t, c.why, func() bool {
				return !alive(o.Pid) && !alive(o.Sleeper) && (guard == 0 || !alive(guard)) && len(marked(state)) == 0
			})
		})
	}
}

// TestPdeathsigIsEnough: this plugin does not look at its lifeline, and the guard cannot act.
func TestPdeathsigIsEnough(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has it")
	}
	dir, state := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "chandler-plugin-test"), executable(t, variant{}), 0o755); err != nil {
		t.Fatal(err)
	}
	broker := startBroker(t, dir, state)
	pid := broker.ask(do{}).Pid
	guard := guardOf(broker.pid())
	if guard == 0 {
		t.Fatal("there is no guard")
	}
	signalled(t, guard, syscall.SIGSTOP)
	defer signalled(t, guard, syscall.SIGKILL)
	signalled(t, broker.pid(), syscall.SIGKILL)
	_ = broker.cmd.Wait()
	until(t, "the kernel ends the plugin with the thread that started it", func() bool { return !alive(pid) })
}

// guardOf finds the guard among the children of a broker.
func guardOf(broker int) int {
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range dirs {
		cmdline, _ := os.ReadFile(path)
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if strings.HasPrefix(string(cmdline), "chandler-plugin-guard") && len(fields) > 1 && fields[1] == strconv.Itoa(broker) && fields[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	return 0
}

// marked are the processes that have a state directory in their environment.
func marked(state string) []string {
	var out []string
	dirs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range dirs {
		if env, err := os.ReadFile(path); err == nil && strings.Contains(string(env), "HOME="+state) {
			out = append(out, path)
		}
	}
	return out
}

func TestWhatAPluginForkedEndsWithIt(t *testing.T) {
	for _, c := range []struct{ name, do, why string }{
		{"in its group", "fork", "it holds the plugin's stderr, so the end would not be seen either"},
		{"in a session of its own", "daemon", "it is found by its mark"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			b.install("test", variant{})
			b.start()
			t.Run("when it dies", func(t *testing.T) {
				o := b.ask("test", do{Do: c.do})
				signalled(t, o.Pid, syscall.SIGKILL)
				until(t, c.why, func() bool { return !alive(o.Sleeper) })
			})
			t.Run("when it is replaced", func(t *testing.T) {
				b.askSoon("test")
				o := b.ask("test", do{Do: c.do})
				b.install("test", variant{Version: "2.0.0"})
				until(t, c.why, func() bool { return !alive(o.Sleeper) && !alive(o.Pid) })
			})
			t.Run("when the host closes", func(t *testing.T) {
				o := b.ask("test", do{Do: c.do})
				if err := b.host.Close(context.Background()); err != nil {
					t.Error(err)
				}
				if alive(o.Pid) || alive(o.Sleeper) {
					t.Errorf("alive: %v %v; %s", alive(o.Pid), alive(o.Sleeper), c.why)
				}
			})
		})
	}
}

func TestAStoppedPluginDoesNotKeepCloseWaiting(t *testing.T) {
	b := newBed(t, func(cfg *pluginhost.Config) { cfg.Timing.StopGrace = quick.CancelGrace })
	b.install("test", variant{})
	b.start()
	pid := b.ask("test", do{}).Pid
	signalled(t, pid, syscall.SIGSTOP)
	if err := b.host.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if alive(pid) {
		t.Error("the process is still there")
	}
}
