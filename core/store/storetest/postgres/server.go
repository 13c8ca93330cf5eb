// Package postgres runs a real PostgreSQL server for tests and for the programs that
// prove the broker: on a directory of its own, reachable through a Unix socket only, as
// another user where the caller is root. It finds the installed binaries and
// brings none. It knows nothing of the store.
package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// ErrNotInstalled is what Start gives where there are no binaries of PostgreSQL.
var ErrNotInstalled = errors.New("PostgreSQL is not installed (initdb and postgres are neither on the PATH nor in /usr/lib/postgresql)")

// startTimeout bounds a start, recovery after Kill included, and a stop.
const startTimeout = time.Minute

// Server is one PostgreSQL server. It is used by one goroutine at a time.
type Server struct {
	dir      string
	bin      string // directory of the binaries
	owner    *syscall.Credential
	settings []string
	running  *process // nil while it is down
}

// Start makes a new database cluster below dir, which must exist, and starts its server.
// The user "postgres" or "nobody" must be able to enter dir if the caller is root; with ""
// it is a new directory that suits. settings are such as "fsync=off". The caller calls
// Stop. ErrNotInstalled if there are no binaries.
func Start(dir string, settings ...string) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err = os.MkdirTemp(dir, "pg") // short: socket paths have 107 bytes at most
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, owner: owner, settings: settings}
	if err := s.create(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := s.Restart(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// create makes the cluster.
func (s *Server) create() error {
	if s.owner != nil {
		if err := os.Chown(s.dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			return err
		}
	}
	cmd := exec.Command(filepath.Join(s.bin, "initdb"), "--pgdata", s.data(), "--username", "chandler",
		"--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync")
	cmd.Dir, cmd.Env = s.dir, s.environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// environment leaves out PGHOST and the like of the caller.
func (s *Server) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + s.dir}
}

// DSN is the address of the database "postgres" for its superuser; it stays the same
// over Kill and Restart. It holds no password.
func (s *Server) DSN() string { return s.Database("postgres") }

// Database is the address of another database of the server.
func (s *Server) Database(name string) string {
	u := url.URL{Scheme: "postgres", User: url.User("chandler"), Path: "/" + name,
		RawQuery: url.Values{"host": {s.dir}, "sslmode": {"disable"}}.Encode()}
	return u.String()
}

// Restart stops the server if it runs, as gently as a reboot does, and starts it on
// the same data. It returns when the server accepts connections.
func (s *Server) Restart() error {
	if err := s.shutdown(syscall.SIGINT); err != nil {
		return err
	}
	args := []string{"-D", s.data(), "-k", s.dir, "-c", "listen_addresses="}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, s.environment(), log, log
	// An immediate shutdown if the caller dies: nothing outlives a test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: syscall.SIGQUIT}
	s.running, err = start(cmd)
	if err != nil {
		return err
	}
	return s.await()
}

// await waits until the server accepts connections.
func (s *Server) await() error {
	limit := time.NewTimer(startTimeout)
	defer limit.Stop()
	for again := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-s.running.ended:
			again.Stop()
			s.running = nil
			return fmt.Errorf("postgres has ended:\n%s", s.lastWords())
		case <-limit.C:
			again.Stop()
			return fmt.Errorf("postgres is not ready after %s:\n%s", startTimeout, s.lastWords())
		case <-again.C:
		}
		if s.ready() {
			again.Stop()
			return nil
		}
	}
}

// ready reads what the server writes about itself into its lock file.
func (s *Server) ready() bool {
	b, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(b), "\n")
	return len(lines) > 7 && lines[0] == fmt.Sprint(s.running.cmd.Process.Pid) && strings.TrimSpace(lines[7]) == "ready"
}

func (s *Server) lastWords() string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// Kill ends the server and all its processes with SIGKILL, as a power cut would
// but for what the operating system still holds. Restart recovers it.
func (s *Server) Kill() error {
	if s.running == nil {
		return nil
	}
	children := s.running.children()
	err := s.running.end(syscall.SIGKILL)
	s.running = nil
	for _, pid := range children { // the new server must not find them at its data
		syscall.Kill(pid, syscall.SIGKILL)
	}
	return errors.Join(err, awaitGone(children))
}

// Stop ends the server at once and removes its directory.
func (s *Server) Stop() error {
	err := s.shutdown(syscall.SIGQUIT)
	return errors.Join(err, os.RemoveAll(s.dir))
}

func (s *Server) shutdown(signal syscall.Signal) error {
	if s.running == nil {
		return nil
	}
	err := s.running.end(signal)
	s.running = nil
	return err
}

// process is a started command whose end is waited for by a goroutine. That one
// keeps its thread, since Pdeathsig speaks of the thread that started the command.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() // how it ended is in the server's log
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// end sends the signal and waits for the end; SIGKILL if that takes too long.
func (p *process) end(signal syscall.Signal) error {
	p.cmd.Process.Signal(signal) // fails only if it has ended
	select {
	case <-p.ended:
		return nil
	case <-time.After(startTimeout):
		p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("postgres did not end within %s of %s and was killed", startTimeout, signal)
	}
}
