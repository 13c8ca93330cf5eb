package pluginhost

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// launcher starts processes from one operating system thread that lives as long as
// the host: Pdeathsig follows the thread that forked, and Go ends threads as it likes.
type launcher struct {
	requests chan launch
	done     chan struct{}
}

type launch struct {
	cmd    *exec.Cmd
	result chan error
}

func startLauncher() launcher {
	l := launcher{requests: make(chan launch), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for r := range l.requests {
			r.result <- startNotBusy(r.cmd)
		}
	}()
	return l
}

// startNotBusy starts a fresh copy of cmd. A binary that was written a moment ago can
// be "busy": another fork holds its descriptor until its exec.
func startNotBusy(cmd *exec.Cmd) error {
	for pause := time.Millisecond; ; pause *= 2 {
		try := *cmd
		err := try.Start()
		if !errors.Is(err, syscall.ETXTBSY) || pause > 200*time.Millisecond {
			*cmd = try //nolint:govet // cmd was never started
			return err
		}
		time.Sleep(pause)
	}
}

// start starts cmd, which must use only files (no readers or writers) for its streams.
func (l launcher) start(cmd *exec.Cmd) error {
	result := make(chan error, 1)
	l.requests <- launch{cmd, result}
	return <-result
}

// close waits for the thread; no start may follow.
func (l launcher) close() {
	close(l.requests)
	<-l.done
}
