//go:build unix && !linux

package pluginhost

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownExecutable is the running broker.
func ownExecutable() string {
	path, _ := os.Executable()
	return path
}

// pluginAttributes put the plugin into a process group of its own. There is no
// Pdeathsig here: the lifeline and the guard are what ends it.
func pluginAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// waitChild waits for the started cmd and runs beforeReap, here a moment after it was reaped.
func waitChild(cmd *exec.Cmd, beforeReap func()) error {
	err := cmd.Wait()
	beforeReap()
	return err
}

// steady is a clock in nanoseconds that nobody sets and that all processes of the machine share.
func steady() int64 { return clock(unix.CLOCK_MONOTONIC) }

// killMarked needs /proc; elsewhere the process group is all that is killed.
func killMarked(string) {}

// reaper does nothing: a broker that is process 1 runs on Linux.
type reaper struct{}

func (*reaper) reap(func(int) bool) int { return 0 }

func (*reaper) waiting() bool { return false }

// changeTime is not told the same way everywhere; size and modification time must do.
func changeTime(*syscall.Stat_t) int64 { return 0 }
