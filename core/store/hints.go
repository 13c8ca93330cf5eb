package store

import (
	"context"
	"sync"

	"github.com/chandler-broker/chandler/core"
)

// maxHints is how many hints wait for a listener before it is told that it missed some.
const maxHints = 4096

// hearers passes hints on to those who listen in this process.
type hearers struct {
	mu  sync.Mutex
	all map[*hearer]struct{}
}

// hearer is one call of Listen.
type hearer struct {
	mu      sync.Mutex
	waiting []core.Hint
	missed  bool
	wake    chan struct{} // holds one
}

// tell gives the hints to everybody who listens now. It never waits for them.
func (h *hearers) tell(hints ...core.Hint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.all {
		l.add(hints)
	}
}

func (l *hearer) add(hints []core.Hint) {
	l.mu.Lock()
	if len(l.waiting)+len(hints) > maxHints {
		l.waiting, l.missed = nil, true
	} else if !l.missed {
		l.waiting = append(l.waiting, hints...)
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it is awake already
	}
}

// take gives what waits and empties it.
func (l *hearer) take() []core.Hint {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.waiting
	if l.missed {
		list = []core.Hint{{Kind: core.HintMissed}}
	}
	l.waiting, l.missed = nil, false
	return list
}

// open begins to gather hints for a listener, close ends it.
func (h *hearers) open() *hearer {
	l := &hearer{wake: make(chan struct{}, 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[*hearer]struct{}{}
	}
	h.all[l] = struct{}{}
	return l
}

func (h *hearers) close(l *hearer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, l)
}

// hear calls heard for every hint until ctx ends.
func (l *hearer) hear(ctx context.Context, heard func(core.Hint)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.wake:
		}
		for _, hint := range l.take() {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			heard(hint)
		}
	}
}
