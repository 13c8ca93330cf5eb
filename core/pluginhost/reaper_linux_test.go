package pluginhost

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReaperReapsOrphansAndLeavesOwnChildren(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) }()
	// The shell, in a group of its own, orphans a process that ends at once.
	orphaner := exec.Command("/bin/sh", "-c", "(true &) ; (true &) ; exit 0")
	orphaner.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := orphaner.Run(); err != nil {
		t.Fatal(err)
	}
	// A zombie of ours in a group of its own, known; and one in our group, unknown.
	known, ours := exec.Command("/bin/true"), exec.Command("/bin/true")
	known.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for _, c := range []*exec.Cmd{known, ours} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	var r reaper
	reaped := 0
	deadline, tick := time.After(30*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for waiting := true; waiting && reaped < 2; {
		reaped += r.reap(func(pid int) bool { return pid == known.Process.Pid })
		select {
		case <-deadline:
			waiting = false
		case <-tick.C:
		}
	}
	for range 3 {
		reaped += r.reap(func(pid int) bool { return pid == known.Process.Pid })
	}
	if reaped != 2 {
		t.Errorf("%d reaped; want the 2 orphans", reaped)
	}
	for _, c := range []*exec.Cmd{known, ours} {
		if err := c.Wait(); err != nil {
			t.Errorf("somebody else waited for our child: %v", err)
		}
	}
}

func TestGuardKillsOnlyWhatItWasTold(t *testing.T) {
	start := func() *exec.Cmd {
		c := exec.Command("/bin/sleep", "3600")
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
		return c
	}
	told, untold, taken := start(), start(), start()
	runGuard(strings.NewReader(strings.Join([]string{
		"+ " + strconv.Itoa(told.Process.Pid) + " 0123", "nonsense", "+ 0 x", "+ 1 x", "+ -5 x",
		"+ " + strconv.Itoa(taken.Process.Pid) + " 4567", "- " + strconv.Itoa(taken.Process.Pid), "= x", "= 0"}, "\n")))
	if err := told.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("told: %v", err)
	}
	for _, c := range []*exec.Cmd{untold, taken} {
		if err := c.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("process %d: %v", c.Process.Pid, err)
		}
	}
}
