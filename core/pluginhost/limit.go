package pluginhost

import (
	"context"
	"errors"
	"sync"
)

// errMoved says that a process takes no more calls: ask for the backend's current one again.
var errMoved = errors.New("the process takes no more calls")

// slots bound the calls of one process: in total, and those on instances, so that
// long provisions leave room for binds. First come, first served within a kind.
type slots struct {
	mu       sync.Mutex
	total    int // 0: no limit
	instance int // 0: no limit of its own
	running  [2]int
	queue    [2][]*waiter
	arrivals uint64
	closed   bool
	idle     chan struct{} // closed when closed and nothing runs
}

// The kinds of calls.
const (
	kindInstance = 0
	kindBinding  = 1
)

type waiter struct {
	arrival uint64
	granted chan struct{} // closed when it may go, or when the slots are closed
	ok      bool          // guarded by slots.mu; true if it may go
}

func newSlots() *slots { return &slots{idle: make(chan struct{})} }

// defaultConcurrency bounds the calls of a process where neither its plugin nor the
// configuration does. Each call in flight costs some 60 KiB; one that waits costs a tenth.
const defaultConcurrency = 256

// resize sets the limits: the plugin's own and the configured ones, 0 meaning none.
func (s *slots) resize(plugin int, l Limits) {
	total := plugin
	if l.MaxConcurrency > 0 && (total == 0 || l.MaxConcurrency < total) {
		total = l.MaxConcurrency
	}
	if total == 0 {
		total = defaultConcurrency
	}
	instance := l.MaxInstanceCalls
	if total > 1 {
		reserved := max(1, total/4)
		if instance == 0 || instance > total-reserved {
			instance = total - reserved
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total, s.instance = total, instance
	s.grant()
}

// acquire waits for a free slot of the kind; errMoved if the process ends or drains, ctx's error if that ends.
func (s *slots) acquire(ctx context.Context, kind int) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errMoved
	}
	if len(s.queue[0])+len(s.queue[1]) == 0 && s.room(kind) {
		s.running[kind]++
		s.mu.Unlock()
		return nil
	}
	w := &waiter{arrival: s.arrivals, granted: make(chan struct{})}
	s.arrivals++
	s.queue[kind] = append(s.queue[kind], w)
	s.grant()
	s.mu.Unlock()

	select {
	case <-w.granted:
	case <-ctx.Done():
		return s.giveUp(ctx, w, kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !w.ok {
		return errMoved
	}
	return nil
}

func (s *slots) giveUp(ctx context.Context, w *waiter, kind int) error {
	s.mu.Lock()
	ok := w.ok
	for i, other := range s.queue[kind] {
		if other == w {
			s.queue[kind] = append(s.queue[kind][:i:i], s.queue[kind][i+1:]...)
			break
		}
	}
	s.grant()
	s.mu.Unlock()
	if ok { // the slot came at the same moment
		s.release(kind)
	}
	return ctx.Err()
}

// release gives a slot back.
func (s *slots) release(kind int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[kind]--
	s.grant()
	s.checkIdle()
}

// close lets no more calls in; those that wait get errMoved. idle is closed once the running ones are done.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for kind := range s.queue {
		for _, w := range s.queue[kind] {
			close(w.granted)
		}
		s.queue[kind] = nil
	}
	s.checkIdle()
}

func (s *slots) checkIdle() {
	if s.closed && s.running[0]+s.running[1] == 0 {
		select {
		case <-s.idle:
		default:
			close(s.idle)
		}
	}
}

// grant lets in who may go, the longest waiting first; s.mu is held.
func (s *slots) grant() {
	for !s.closed {
		best := -1
		for kind, q := range s.queue {
			if len(q) > 0 && s.room(kind) && (best < 0 || q[0].arrival < s.queue[best][0].arrival) {
				best = kind
			}
		}
		if best < 0 {
			return
		}
		w := s.queue[best][0]
		s.queue[best] = s.queue[best][1:]
		s.running[best]++
		w.ok = true
		close(w.granted)
	}
}

func (s *slots) room(kind int) bool {
	if s.total > 0 && s.running[0]+s.running[1] >= s.total {
		return false
	}
	return kind != kindInstance || s.instance == 0 || s.running[kindInstance] < s.instance
}

// counts gives how many calls run and how many wait.
func (s *slots) counts() (running, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[0] + s.running[1], len(s.queue[0]) + len(s.queue[1])
}

// isClosed tells whether it takes no more calls.
func (s *slots) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
