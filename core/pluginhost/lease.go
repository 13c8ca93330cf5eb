package pluginhost

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/chandler-broker/chandler/core"
)

var _ core.LeaseBound = (*Host)(nil)

// bound is the time after which no plugin process may work, since another broker may.
type bound struct {
	mu      sync.Mutex
	until   atomic.Int64  // of the steady clock, in nanoseconds; 0: never. Changed with mu held
	changed chan struct{} // capacity 1
	keeper  sync.WaitGroup
	kept    bool // the keeper runs
}

// KeepUntil implements core.LeaseBound. At t all processes are killed, by this process or,
// where it is frozen, by the guard, and calls are refused. A later t, told then, lets the
// backends start new processes.
func (h *Host) KeepUntil(t time.Time) {
	var until int64
	if !t.IsZero() {
		now := steady() // before the remaining time is taken: a pause in between makes it shorter
		left := min(t.Sub(h.cfg.Now()), math.MaxInt64-time.Duration(now))
		until = max(now+int64(left), 1)
	}
	b := &h.bound
	b.mu.Lock()
	defer b.mu.Unlock()
	lapsed := h.lapsed()
	if lapsed { // the keeper may not have come to it yet
		h.endLapsed()
	}
	b.until.Store(until)
	h.guard.keepUntil(until)
	if !b.kept {
		b.kept = true
		b.keeper.Go(func() { h.keepBound(h.hard) })
	}
	wake(b.changed)
	if lapsed {
		h.wakeBackends()
	}
}

// keepBound ends the processes at the bound. It runs until ctx ends, at the end of Close.
func (h *Host) keepBound(ctx context.Context) {
	for ended := int64(0); ; {
		var due <-chan time.Time
		h.bound.mu.Lock()
		until := h.bound.until.Load()
		left := until - steady()
		if until != 0 && left <= 0 && ended != until {
			ended = until
			h.endLapsed()
		}
		h.bound.mu.Unlock()
		if left > 0 {
			due = time.After(min(time.Duration(left), longestSleep))
		}
		select {
		case <-ctx.Done():
			return
		case <-h.bound.changed:
		case <-due:
		}
	}
}

// lapsed tells whether the bound has passed.
func (h *Host) lapsed() bool {
	until := h.bound.until.Load()
	return until != 0 && steady() >= until
}

// lapsedWhy is why nothing runs then.
const lapsedWhy = "this broker's lease has ended; another one may work on the same things"

// endLapsed kills every process.
func (h *Host) endLapsed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.alive {
		p.kill(lapsedWhy)
	}
	if len(h.alive) > 0 {
		h.cfg.Log.Error("all plugin processes were ended, since this broker's lease ended before it was renewed", "processes", len(h.alive))
	}
}

// over is called when nothing of a process is left.
func (h *Host) over(p *process) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.alive, p)
}

// wakeBackends makes the supervisors look again.
func (h *Host) wakeBackends() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.backends {
		wake(b.wake)
	}
}

// wake fills a channel of capacity 1.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// clock reads a clock of the system in nanoseconds.
func clock(id int32) int64 {
	var ts unix.Timespec
	if unix.ClockGettime(id, &ts) != nil {
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	}
	return ts.Nano()
}
