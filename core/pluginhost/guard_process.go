package pluginhost

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
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
//
// The guard is a dead man's switch, too: the broker tells it until when plugins may work, and
// where no later time is told before that, it kills them while the broker itself is
// frozen (SIGSTOP, a debugger, a machine that swaps).

// guardName is argv[0] of the guard, by which init recognises it.
const guardName = "chandler-plugin-guard"

func init() {
	if len(os.Args) == 1 && os.Args[0] == guardName {
		signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
		runGuard(os.Stdin)
		os.Exit(0)
	}
}

// runGuard follows the broker's messages until their end, which is the broker's.
func runGuard(in io.Reader) {
	w := guarded{groups: map[int]string{}, now: steady, kill: killGroups}
	messages := make(chan string)
	go func() {
		defer close(messages)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			messages <- lines.Text()
		}
	}()
	for {
		var due <-chan time.Time
		if wait := w.look(); wait > 0 {
			due = time.After(wait)
		}
		select {
		case m, ok := <-messages:
			if !ok {
				w.kill(w.groups)
				return
			}
			w.follow(m)
		case <-due:
		}
	}
}

// guarded is what the guard knows. Times are nanoseconds of the steady clock, which all
// processes of the machine share: a time that was told late is not a later time.
type guarded struct {
	groups map[int]string // marks by process group
	until  int64          // when they are killed; 0: never
	over   bool           // that has happened
	now    func() int64
	kill   func(map[int]string)
}

// follow takes a message: "+ pgid mark" and "- pgid" of a group that begins or has ended, "= time"
// of until. What is none of these is ignored.
func (w *guarded) follow(message string) {
	w.look() // a time that has passed has passed, whatever comes now
	var pgid int
	var mark string
	var until int64
	if _, err := fmt.Sscanf(message, "+ %d %s", &pgid, &mark); err == nil && pgid > 1 {
		w.groups[pgid] = mark
		if w.over {
			w.kill(map[int]string{pgid: mark})
		}
	} else if _, err := fmt.Sscanf(message, "- %d", &pgid); err == nil {
		delete(w.groups, pgid)
	} else if _, err := fmt.Sscanf(message, "= %d", &until); err == nil {
		w.until, w.over = until, false
	}
}

// look kills what is known once until has passed, and says when to look again; 0: at the next message.
func (w *guarded) look() time.Duration {
	if w.until == 0 || w.over {
		return 0
	}
	left := w.until - w.now()
	if left > 0 {
		return min(time.Duration(left), longestSleep)
	}
	w.over = true
	w.kill(w.groups)
	return 0
}

// longestSleep bounds the sleep before a look at the steady clock: timers stand still while the machine sleeps.
const longestSleep = time.Second

// killGroups kills groups, by their ids, and then what has left them.
func killGroups(groups map[int]string) {
	for pgid := range groups {
		_ = syscall.Kill(-pgid, syscall.SIGKILL)
	}
	for _, mark := range groups {
		killMarked(mark)
	}
}
