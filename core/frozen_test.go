package core_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// TestFrozen: a replica that was stopped for longer than its lease lived, and then goes
// on, neither overwrites its successor's work nor works beside it. It is frozen at
// every fault point of every verb, and the platform asks the other one meanwhile.
func TestFrozen(t *testing.T) {
	for _, j := range jobs() {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			times := 100
			if raced { // ten times slower
				times = 1
			}
			freezeEverywhere(t, j, beside, openSQLite, times)
			freezeEverywhere(t, j, after, openSQLite, 1)
			freezeEverywhere(t, j, never, openSQLite, 1)
		})
	}
}

// TestFrozenOnPostgres is the same over a database with a clock and connections of its
// own; a new one for each case takes its time, so these are fewer.
func TestFrozenOnPostgres(t *testing.T) {
	for _, j := range jobs() {
		if j.name == "bind" || j.name == "deprovision with a binding left" {
			t.Run(j.name, func(t *testing.T) {
				t.Parallel()
				freezeEverywhere(t, j, beside, openPostgres, 1)
			})
		}
	}
}

// freezeEverywhere freezes at each point's first, second, … time, until it is not reached.
func freezeEverywhere(t *testing.T, j job, back comeback, open func(*testing.T) func() shared, times int) {
	for _, point := range core.FaultPoints {
		for nth := 1; nth <= times; nth++ {
			reached := false
			t.Run(fmt.Sprintf("%s %s/%d", back, point, nth), func(t *testing.T) { reached = freezeOnce(t, open(t), j, point, nth, back) })
			if !reached {
				break
			}
		}
	}
}

// comeback says when the frozen replica goes on.
type comeback string

const (
	after  comeback = "after"  // when its successor has done the work
	beside comeback = "beside" // while its successor makes a plugin call
	never  comeback = "never"  // it is dead
)

// freezing stops a replica at one fault point.
type freezing struct {
	line  *line
	point core.FaultPoint
	left  int

	mu      sync.Mutex
	reached chan struct{}
}

func (f *freezing) fault(p core.FaultPoint) {
	f.mu.Lock()
	if p == f.point {
		if f.left--; f.left == 0 {
			f.line.freeze()
			close(f.reached)
		}
	}
	f.mu.Unlock()
	f.line.pass()
}

// freezeOnce gives false if the point was never reached for the nth time.
func freezeOnce(t *testing.T, open func() shared, j job, point core.FaultPoint, nth int, back comeback) bool {
	f := &freezing{point: point, left: nth, reached: make(chan struct{})}
	armed := make(chan struct{})
	m := fleet(t, open, 2, func(r *rig) {
		if f.line == nil {
			f.line = r.config.Leases.(*line)
			r.config.Fault = func(p core.FaultPoint) {
				select {
				case <-armed:
					f.fault(p)
				default: // it prepares
				}
			}
		}
	})
	a, b := m[0], m[1]
	j.prepare(a.rig)
	close(armed)
	ended, reached := f.stops(a, j)
	if reached {
		a.late(b, back, j)
	}
	if ended != nil {
		receive(t, ended)
	}
	b.until("the work ends", func() bool { return b.unfinished() == 0 })
	b.repeat(j)
	j.check(b.rig)
	return reached
}

// stops sends the request, and once more if it is answered 202, until the replica is
// frozen (or has done its work without that). ended gets the answer that is still to come.
func (f *freezing) stops(a *member, j job) (ended <-chan answer, reached bool) {
	for range 2 {
		ended = a.background(j.request(true))
		select {
		case <-f.reached:
			return ended, true
		case last := <-ended:
			if last.word != "accepted" {
				return nil, false
			}
		case <-time.After(patience):
			a.t.Fatal("the request is not answered")
		}
		a.until("the work ends or freezes", func() bool { return f.done() || a.unfinished() == 0 })
	}
	return nil, f.done()
}

func (f *freezing) done() bool {
	select {
	case <-f.reached:
		return true
	default:
		return false
	}
}

// late lets the frozen replica's lease end, its plugin processes end with it, and the
// other one take over.
func (m *member) late(b *member, back comeback, j job) {
	m.t.Helper()
	m.until("its plugin processes are killed", func() bool { return m.line.inFlight() == 0 })
	gate := make(chan struct{})
	if back == beside {
		b.line.hold(gate)
	}
	m.line.expire(m.t)
	b.do(j.request(true))
	b.until("the other one is at work, or done", func() bool {
		return b.unfinished() == 0 || back == beside && b.line.inFlight() > 0
	})
	m.line.cut.Store(back == never)
	m.line.ahead.Store(int64(2 * long))
	m.line.thaw()
	if back == beside {
		left := make(chan struct{})
		go func() {
			defer close(left)
			m.leave()
		}()
		m.until("whatever it was about to do is done", func() bool { return m.line.released.Load() > 0 })
		close(gate)
		receive(m.t, left)
	}
}
