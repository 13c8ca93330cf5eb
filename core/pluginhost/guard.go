package pluginhost

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// guard is the broker's side.
type guard struct {
	log *slog.Logger
	run launcher

	mu      sync.Mutex
	in      *os.File // nil when the guard is not running
	pid     int
	groups  map[int]string
	until   int64 // see keepUntil
	closing chan struct{}
	done    chan struct{}
}

func startGuard(log *slog.Logger, run launcher) *guard {
	g := &guard{log: log, run: run, groups: map[int]string{}, closing: make(chan struct{}), done: make(chan struct{})}
	go g.keep()
	return g
}

// keep runs the guard and a new one should it end before close.
func (g *guard) keep() {
	defer close(g.done)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Minute) {
		cmd, err := g.start()
		if err == nil {
			err = cmd.Wait()
			g.mu.Lock()
			_ = g.in.Close()
			g.in, g.pid = nil, 0
			g.mu.Unlock()
		}
		select {
		case <-g.closing:
			return
		default:
		}
		g.log.Warn("the guard that ends plugins after a crash of the broker is not running; starting it again", "error", err)
		select {
		case <-g.closing:
			return
		case <-time.After(pause):
		}
	}
}

func (g *guard) start() (*exec.Cmd, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.closing:
		return nil, errors.New("closing")
	default:
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := &exec.Cmd{Path: ownExecutable(), Args: []string{guardName}, Env: []string{"GOMAXPROCS=1"}, Dir: "/",
		Stdin: r, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if err := g.run.start(cmd); err != nil {
		_ = w.Close()
		return nil, err
	}
	g.in, g.pid = w, cmd.Process.Pid
	g.send("= %d\n", g.until)
	for pgid, mark := range g.groups {
		g.send("+ %d %s\n", pgid, mark)
	}
	return cmd, nil
}

func (g *guard) send(format string, args ...any) {
	if g.in != nil {
		_, _ = fmt.Fprintf(g.in, format, args...) // a dead guard is noticed by keep
	}
}

// keepUntil tells the guard when to kill every process group unless a later time is told before:
// nanoseconds of the steady clock, 0 for never.
func (g *guard) keepUntil(until int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = until
	g.send("= %d\n", until)
}

// add makes the guard responsible for a process group.
func (g *guard) add(pgid int, mark string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.groups[pgid] = mark
	g.send("+ %d %s\n", pgid, mark)
}

// remove ends that; to be called while the pgid cannot be used again yet.
func (g *guard) remove(pgid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.groups, pgid)
	g.send("- %d\n", pgid)
}

// pids gives the guard's own process id; 0 if it is not running.
func (g *guard) id() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pid
}

// close ends the guard and waits for it.
func (g *guard) close() {
	g.mu.Lock()
	close(g.closing)
	if g.in != nil {
		_ = g.in.Close()
	}
	g.mu.Unlock()
	<-g.done
}

// markEnv is the variable that marks everything that a plugin process forks.
const markEnv = "CHANDLER_PLUGIN_RUN"

// hasMark tells whether environ, NUL-separated, carries the mark.
func hasMark(environ, mark string) bool {
	return strings.Contains("\x00"+environ+"\x00", "\x00"+markEnv+"="+mark+"\x00")
}

// watches tells whether pid leads a group that is guarded.
func (g *guard) watches(pid int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.groups[pid]
	return ok
}
