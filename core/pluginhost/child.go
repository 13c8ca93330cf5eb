package pluginhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

// child is the operating system's side of a plugin process: pipes, process group,
// end. It implements go-plugin's runner.Runner, because go-plugin's own one leaves
// the group, the order of reading and waiting, and stdin to chance.
type child struct {
	path, name string // what is executed, and argv[0]
	env        []string
	dir        string // working directory
	mark       string // see markEnv
	mtls       bool
	launcher   launcher
	guard      *guard
	output     *output
	atEnd      func() // called when the process has ended, before exited is closed
	socketDir  string // what go-plugin made for this process

	mu      sync.Mutex
	pid     int // 0 before the start
	reaped  bool
	killed  bool  // Kill came while it ran
	refused error // Kill came before the start

	lifeline *os.File // write end
	hello    *io.PipeReader
	exited   chan struct{} // closed when everything of it is over
	err      error         // of Wait; readable after exited
}

func newChild() *child { return &child{exited: make(chan struct{})} }

// Start implements runner.Runner.
func (c *child) Start(context.Context) error {
	var files []*os.File // the child's ends
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	stdout, out, err1 := os.Pipe()
	stderr, errs, err2 := os.Pipe()
	life, lifeline, err3 := os.Pipe()
	files = append(files, out, errs, life)
	if err := errors.Join(err1, err2, err3); err != nil {
		for _, f := range []*os.File{stdout, stderr, lifeline} {
			_ = f.Close()
		}
		return c.notStarted(err)
	}
	cmd := &exec.Cmd{
		Path: c.path, Args: []string{c.name}, Env: append(c.env, plugin.LifelineEnv+"=3"), Dir: c.dir,
		Stdout: out, Stderr: errs, ExtraFiles: []*os.File{life}, SysProcAttr: pluginAttributes(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.refused
	if err == nil {
		err = c.launcher.start(cmd)
	}
	if err != nil {
		_, _, _ = stdout.Close(), stderr.Close(), lifeline.Close()
		return c.notStarted(err)
	}
	c.pid, c.lifeline = cmd.Process.Pid, lifeline
	c.guard.add(c.pid, c.mark)
	hello, handshake := io.Pipe()
	c.hello = hello
	go c.attend(cmd, stdout, stderr, handshake)
	return nil
}

func (c *child) notStarted(err error) error {
	c.err = err
	close(c.exited)
	return err
}

// attend reads the streams to their ends, waits for the process, and takes care that nothing of
// it stays; then it closes exited.
func (c *child) attend(cmd *exec.Cmd, stdout, stderr *os.File, handshake *io.PipeWriter) {
	var readers sync.WaitGroup
	readers.Go(func() { c.readStdout(stdout, handshake) })
	readers.Go(func() { c.output.read(stderr, streamStderr) })
	err := waitChild(cmd, func() {
		_ = syscall.Kill(-c.pid, syscall.SIGKILL) // whatever it forked
		killMarked(c.mark)
		c.guard.remove(c.pid)
		c.mu.Lock() // no signal after this: the pid may be somebody else's
		c.reaped = true
		c.mu.Unlock()
	})
	// The streams end now, unless something that we could not kill holds them.
	cut := time.AfterFunc(2*time.Second, func() { _, _ = stdout.Close(), stderr.Close() })
	readers.Wait()
	cut.Stop()
	_, _, _ = stdout.Close(), stderr.Close(), c.lifeline.Close()
	c.output.close()
	c.err = err
	c.atEnd()
	close(c.exited)
}

// readStdout gives the first line to go-plugin and the rest to the log.
func (c *child) readStdout(stdout io.Reader, handshake *io.PipeWriter) {
	r := bufio.NewReaderSize(stdout, maxLine)
	line, err := r.ReadSlice('\n')
	if err == nil || len(line) > 0 {
		_, _ = io.WriteString(handshake, c.checkedHandshake(strings.TrimRight(string(line), "\r\n"))+"\n")
	}
	_ = handshake.Close()
	c.output.read(r, streamStdout)
}

// checkedHandshake drops a certificate that nobody asked for: go-plugin would panic on it.
func (c *child) checkedHandshake(line string) string {
	parts := strings.Split(line, "|")
	if !c.mtls && len(parts) > 5 {
		parts[5] = ""
	}
	return strings.Join(parts, "|")
}

// Wait implements runner.Runner.
func (c *child) Wait(context.Context) error {
	<-c.exited
	return c.err
}

// Kill implements runner.Runner: SIGKILL to the process group.
func (c *child) Kill(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.pid == 0:
		c.refused = errors.New("killed before it was started")
	case !c.reaped:
		c.killed = true
		return syscall.Kill(-c.pid, syscall.SIGKILL)
	}
	return nil
}

// Stdout implements runner.Runner: the handshake, then end-of-file.
func (c *child) Stdout() io.ReadCloser { return c.hello }

// Stderr implements runner.Runner: nothing; it ends when the process has, since
// go-plugin waits for that. We read the real one ourselves.
func (c *child) Stderr() io.ReadCloser { return endOfProcess{c.exited} }

type endOfProcess struct{ exited chan struct{} }

func (e endOfProcess) Read([]byte) (int, error) {
	<-e.exited
	return 0, io.EOF
}

func (e endOfProcess) Close() error { return nil }

// Name implements runner.Runner.
func (c *child) Name() string { return c.name }

// ID implements runner.Runner. It is never empty, or go-plugin would leave its socket directory.
func (c *child) ID() string { return strconv.Itoa(c.Pid()) }

// Pid is the process id; 0 before the start.
func (c *child) Pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid
}

// Diagnose implements runner.Runner; our own error says more.
func (c *child) Diagnose(context.Context) string { return "" }

// PluginToHost implements runner.Runner: it refuses addresses that are not the plugin's own.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	switch network {
	case "unix":
		if filepath.Dir(filepath.Clean(address)) != c.socketDir {
			return "", "", fmt.Errorf("the plugin listens on %q; it must be in the directory that PLUGIN_UNIX_SOCKET_DIR names", address)
		}
		return network, address, nil
	case "tcp":
		if !c.mtls {
			return "", "", errors.New("the plugin listens on TCP; with mtls: false it must be a socket in the directory that PLUGIN_UNIX_SOCKET_DIR names")
		}
		host, _, err := net.SplitHostPort(address)
		if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
			return "", "", fmt.Errorf("the plugin listens on %q; it must be a loopback address", address)
		}
		return network, address, nil
	}
	return "", "", fmt.Errorf("the plugin listens on a network %q; unix or tcp is needed", network)
}

// HostToPlugin implements runner.Runner.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// killedByHost tells whether it ended by our Kill, and not by itself a moment before.
func (c *child) killedByHost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	var exit *exec.ExitError
	if !c.killed || !errors.As(c.err, &exit) {
		return false
	}
	ws, ok := exit.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL
}

// ending says in words how the process ended; to be called after exited.
func (c *child) ending() string {
	var exit *exec.ExitError
	switch {
	case c.err == nil:
		return "ended with exit status 0"
	case errors.As(c.err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return fmt.Sprintf("was ended by signal %d (%s)", ws.Signal(), ws.Signal())
		}
		return fmt.Sprintf("ended with exit status %d", exit.ExitCode())
	}
	return "could not be started: " + c.err.Error()
}
