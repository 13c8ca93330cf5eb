package plugin

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// groupGrace is how long the process group has to end after SIGTERM, before SIGKILL.
const groupGrace = 500 * time.Millisecond

// watchLifeline ends the process and its group when the pipe whose read end is file
// descriptor fd ends, which is when the last holder of its write end has died: the
// broker, whatever ended it. Its goroutine lives as long as the process. Without a
// number nothing is watched: the plugin was started by something else, a test perhaps.
// The channel is closed when the pipe has ended; nil if nothing is watched.
func watchLifeline(fd string) <-chan struct{} {
	os.Unsetenv(LifelineEnv) // a child must not take its own descriptor for it
	if fd == "" {
		return nil
	}
	n, err := strconv.Atoi(fd)
	if err != nil || n < 3 {
		fmt.Fprintf(os.Stderr, "%s is %q; expected the number of a file descriptor\n", LifelineEnv, fd)
		os.Exit(1)
	}
	syscall.CloseOnExec(n)
	pipe := os.NewFile(uintptr(n), "lifeline")
	ended := make(chan struct{})
	go func() {
		// Nobody writes; an error (not open, not readable) is as good as the end.
		_, _ = io.Copy(io.Discard, pipe)
		close(ended)
		endGroup()
	}()
	return ended
}

// endGroup ends the process. Where it leads its own process group, as the broker
// starts it, everything that it forked ends too: asked first, then killed.
func endGroup() {
	if syscall.Getpgrp() != os.Getpid() {
		os.Exit(1)
	}
	signal.Ignore(syscall.SIGTERM)
	_ = syscall.Kill(0, syscall.SIGTERM)
	time.Sleep(groupGrace)
	_ = syscall.Kill(0, syscall.SIGKILL)
	os.Exit(1) // not reached
}
