package pluginhost

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ownExecutable is the running broker, also when its file was replaced or deleted.
func ownExecutable() string {
	const self = "/proc/self/exe"
	if _, err := os.Readlink(self); err == nil {
		return self
	}
	path, _ := os.Executable() // a root without /proc
	return path
}

// pluginAttributes put the plugin into a process group of its own and let the kernel
// send it SIGTERM when the thread that started it ends. Not SIGKILL: the SDK answers
// with the end of the whole group; what ignores it is the guard's.
func pluginAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// waitChild waits for the started cmd. beforeReap runs when it has ended and is a
// zombie, so that its pid and process group cannot be given to somebody else yet.
func waitChild(cmd *exec.Cmd, beforeReap func()) error {
	for unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	beforeReap()
	return cmd.Wait()
}

// steady is a clock in nanoseconds that nobody sets, that goes on while the machine sleeps, and that all its
// processes share.
func steady() int64 { return clock(unix.CLOCK_BOOTTIME) }

// processes lists the ids of all processes.
func processes() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killMarked kills every process that carries the mark in its environment. It looks again
// until none is found: they may fork meanwhile. In the middle of an exec a process has no
// environment at all; as long as there is such a one it looks again, too, within bounds, since some
// processes never have one.
func killMarked(mark string) {
	if mark == "" {
		return
	}
	const rounds, pause, patience = 200, 5 * time.Millisecond, 40
	bare := map[int]int{} // how often a process had no environment
	for range rounds {
		again := false
		for _, pid := range processes() {
			switch environ, ok := environment(pid); {
			case !ok:
			case hasMark(environ, mark):
				again = true
				_ = syscall.Kill(pid, syscall.SIGKILL)
			case environ == "":
				if bare[pid]++; bare[pid] < patience {
					again = true
				}
			}
		}
		if !again {
			return
		}
		time.Sleep(pause) // a killed process keeps its environment for a moment
	}
}

// environment reads the environment of a process that could be a plugin's; false for others.
func environment(pid int) (string, bool) {
	if pid == 1 || pid == os.Getpid() {
		return "", false
	}
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return "", false
	}
	if len(raw) == 0 { // a kernel thread, a zombie, or in the middle of an exec
		const kthreadd = 2
		if state, parent, _, ok := procStat(pid); !ok || state == "Z" || pid == kthreadd || parent == kthreadd {
			return "", false
		}
	}
	return string(raw), true
}

// reaper reaps what was orphaned by plugins and given to the broker as process 1. It
// leaves alone what the broker started itself: known children and everything in its own process group.
type reaper struct{ seen map[int]bool }

// reap looks once; a zombie is reaped when it was there the last time, too.
func (r *reaper) reap(known func(pid int) bool) (reaped int) {
	self, group := os.Getpid(), syscall.Getpgrp()
	seen := map[int]bool{}
	for _, pid := range processes() {
		state, parent, pgrp, ok := procStat(pid)
		if !ok || state != "Z" || parent != self || pgrp == group || known(pid) {
			continue
		}
		if !r.seen[pid] {
			seen[pid] = true
			continue
		}
		if got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); err == nil && got == pid {
			reaped++
		}
	}
	r.seen = seen
	return reaped
}

// waiting tells whether the last look found zombies that the next one may reap.
func (r *reaper) waiting() bool { return len(r.seen) > 0 }

// procStat reads state, parent and process group of a process.
func procStat(pid int) (state string, parent, pgrp int, ok bool) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", 0, 0, false
	}
	end := strings.LastIndexByte(string(raw), ')') // the name before it may hold anything
	fields := strings.Fields(string(raw[end+1:]))
	if len(fields) < 3 {
		return "", 0, 0, false
	}
	parent, err1 := strconv.Atoi(fields[1])
	pgrp, err2 := strconv.Atoi(fields[2])
	return fields[0], parent, pgrp, err1 == nil && err2 == nil
}

// changeTime is when the inode last changed, in nanoseconds.
func changeTime(st *syscall.Stat_t) int64 { return st.Ctim.Nano() }
