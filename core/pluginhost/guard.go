package pluginhost

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What ends plugins when the broker ends, whatever ends it:
//
//   - the lifeline: a pipe whose write end only the broker holds; the SDK ends the
//     plugin's process group at its end-of-file;
//   - Pdeathsig, which the kernel sends to the plugin itself (not to what it forked);
//   - the guard: a process of the broker's own executable in a session of its own. The
//     broker tells it which process groups exist; when the broker is gone it kills
//     them with SIGKILL, whatever the plugin is written in and whatever it ignores, and
//     everything that carries their mark in its environment (what left the group).

// guardName is argv[0] of the guard, by which init recognises it.
const guardName = "chandler-plugin-guard"

func init() {
	if len(os.Args) == 1 && os.Args[0] == guardName {
		runGuard(os.Stdin)
		os.Exit(0)
	}
}

// runGuard follows the broker's messages until its end: "+ pgid mark" and "- pgid".
func runGuard(in io.Reader) {
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	groups := map[int]string{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var pgid int
		var mark string
		if _, err := fmt.Sscanf(lines.Text(), "+ %d %s", &pgid, &mark); err == nil && pgid > 1 {
			groups[pgid] = mark
		} else if _, err := fmt.Sscanf(lines.Text(), "- %d", &pgid); err == nil {
			delete(groups, pgid)
		}
	}
	for pgid, mark := range groups {
		_ = syscall.Kill(-pgid, syscall.SIGKILL)
		killMarked(mark)
	}
}

// guard is the broker's side.
type guard struct {
	log *slog.Logger
	run launcher

	mu      sync.Mutex
	in      *os.File // nil when the guard is not running
	pid     int
	groups  map[int]string
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
