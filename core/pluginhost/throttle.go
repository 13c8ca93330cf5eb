package pluginhost

import (
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// throttle passes progress on, at most one event in every; the last one is never lost.
type throttle struct {
	every   time.Duration
	deliver func(core.Progress) // one at a time

	mu      sync.Mutex
	waiting *core.Progress
	timer   *time.Timer // nil before the first event
	quiet   bool        // until the timer's end nothing may be delivered
	over    bool
}

func (t *throttle) take(p core.Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.quiet {
		t.waiting = &p
		return
	}
	t.pass(p)
}

// pass delivers and begins the pause; t.mu is held.
func (t *throttle) pass(p core.Progress) {
	t.waiting = nil
	t.deliver(p)
	t.quiet = true
	if t.timer == nil {
		t.timer = time.AfterFunc(t.every, t.due)
	} else {
		t.timer.Reset(t.every)
	}
}

// due delivers what waits, at the pause's end.
func (t *throttle) due() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return
	}
	t.quiet = false
	if t.waiting != nil {
		t.pass(*t.waiting)
	}
}

// finish delivers what waits; nothing is delivered after it.
func (t *throttle) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.waiting != nil {
		t.deliver(*t.waiting)
		t.waiting = nil
	}
	if t.timer != nil {
		t.timer.Stop()
	}
}
