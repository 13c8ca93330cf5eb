package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is one child in a process group of its own, with a goroutine that waits for it.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser // closing it ends children that watch it
	ended chan struct{}
	err   error // valid once ended is closed
	once  sync.Once
}

// startProcess starts cmd with a pipe as standard input.
func startProcess(name string, cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// PID is the child's process id.
func (p *process) PID() int { return p.cmd.Process.Pid }

// Kill ends the child with SIGKILL, as a crash would, and waits for it. Children of
// the child are left to their own devices.
func (p *process) Kill() {
	_ = p.cmd.Process.Kill() // an error means that it has ended
	<-p.ended
	p.close()
}

// Signal sends a signal to the child.
func (p *process) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// Stop ends the child with SIGTERM and waits; after grace it is killed, which is an error.
func (p *process) Stop(grace time.Duration) error {
	defer p.close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.ended:
		var exit *exec.ExitError
		if errors.As(p.err, &exit) && exit.ExitCode() != 0 && !signalled(exit) {
			return fmt.Errorf("%s ended with status %d", p.name, exit.ExitCode())
		}
		return nil
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM and was killed", p.name, grace)
	}
}

func signalled(exit *exec.ExitError) bool {
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

func (p *process) close() { p.once.Do(func() { _ = p.stdin.Close() }) }

// Wait blocks until ctx ends (nil) or the child ends by itself (an error).
func (p *process) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-p.ended:
		return fmt.Errorf("%s ended by itself: %v", p.name, p.err)
	}
}
