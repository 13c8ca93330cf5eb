package core_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// done waits until the operation has succeeded.
func (m *member) done(op string) {
	m.t.Helper()
	m.until("operation "+op+" ends", func() bool { return !m.row(op).State.Unfinished() })
	if row := m.row(op); row.State != core.OperationSucceeded {
		m.t.Errorf("the %s %s: %v", row.Verb, row.State, row.Error)
	}
}

// TestTakeOver: a replica that is cut off from the database is dead to the others. They
// take its operation over when its lease ends, and it has stopped its own call by then.
func TestTakeOver(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		m := fleet(t, open, 2, ttl(2*time.Second))
		a, b := m[0], m[1]
		g := a.backend.hold(core.VerbProvision)
		op := a.must("accepted", put("i", true))
		receive(t, g.entered)
		before := a.row(op)
		a.line.cut.Store(true)
		b.done(op)
		after := b.row(op)
		if after.Epoch <= before.Epoch || after.Holder == before.Holder || before.Holder == "" {
			t.Errorf("holder and epoch were %q %d and are %q %d", before.Holder, before.Epoch, after.Holder, after.Epoch)
		}
		if a.line.causes[0] != core.ErrLeaseEnding {
			t.Errorf("the call of the dead replica ended with %v", a.line.causes)
		}
		b.must("unchanged", put("i", true))
		if n := b.backend.made["i"]; n != 1 {
			t.Errorf("it was made %d times", n)
		}
		a.line.cut.Store(false) // it comes back, under a new name
		a.until("it works again", func() bool {
			answer, op := a.do(bind("i", "b", true))
			if answer == "accepted" {
				a.done(op)
			}
			return answer == "created" || answer == "unchanged"
		})
	})
}

// TestReleaseAtClose: what a replica leaves is taken over at once, and whoever waits for
// it is answered with the result, though it is another replica's.
func TestReleaseAtClose(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		m := fleet(t, open, 2)
		a, b := m[0], m[1]
		g := a.backend.hold(core.VerbProvision)
		waits := a.background(put("i", false))
		receive(t, g.entered)
		a.leave()
		a.wants(waits, "created")
		if diff := cmp.Diff([]string{"provision"}, b.line.made()); diff != "" {
			t.Errorf("calls of the other replica (-want +got):\n%s", diff)
		}
		if errors.Is(a.line.causes[0], core.ErrLeaseEnding) {
			t.Errorf("nothing was lost, but the call ended with %v", a.line.causes)
		}
	})
}

// TestRequestWhileOneCloses: a replica that waits for its last answer still takes
// requests, and another one does the work.
func TestRequestWhileOneCloses(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		m := fleet(t, open, 2)
		a, b := m[0], m[1]
		first, second := a.backend.hold(core.VerbProvision), a.backend.hold(core.VerbProvision)
		waits := a.background(put("i", false))
		receive(t, first.entered)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			a.leave()
		}()
		receive(t, second.entered) // the other one has it
		late := a.background(put("late", false))
		a.wants(late, "created")
		close(second.release)
		a.wants(waits, "created")
		receive(t, closed)
		if diff := cmp.Diff([]string{"provision", "provision"}, b.line.made()); diff != "" {
			t.Errorf("calls of the other replica (-want +got):\n%s", diff)
		}
	})
}

// TestLastReplicaCloses: nobody takes over, so nobody is kept waiting.
func TestLastReplicaCloses(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		a := fleet(t, open, 1)[0]
		g := a.backend.hold(core.VerbProvision)
		waits := a.background(put("i", false))
		receive(t, g.entered)
		a.leave()
		a.wants(waits, "still_running")
		again := fleet(t, open, 1)[0] // and the next start goes on
		again.must("accepted", put("i", true))
		again.until("it is done", func() bool { return again.unfinished() == 0 })
	})
}

// TestOneHolderPerInstance: what may run side by side is decided by one replica,
// whichever takes the request.
func TestOneHolderPerInstance(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		for _, lost := range []bool{false, true} { // hints
			m := fleet(t, open, 3)
			a, b, c := m[0], m[1], m[2]
			for _, x := range m {
				x.backend.desc.SerializeInstance = true
				x.line.noHints.Store(lost)
			}
			id := map[bool]string{false: "i", true: "lost"}[lost]
			g := b.backend.hold(core.VerbProvision)
			first := b.must("accepted", put(id, true))
			receive(t, g.entered)
			joined := a.background(put(id, false))
			binds := []string{a.must("accepted", bind(id, "b1", true)), b.must("accepted", bind(id, "b2", true)), c.must("accepted", bind(id, "b3", true))}
			holder := b.row(first).Holder
			for _, op := range binds {
				if row := b.row(op); row.Holder != holder || row.Epoch == 0 {
					t.Errorf("held by %q (epoch %d), want %q", row.Holder, row.Epoch, holder)
				}
			}
			close(g.release)
			a.wants(joined, "unchanged") // it waited for another replica's result
			for _, op := range binds {
				a.done(op)
			}
			if n := len(a.line.made()) + len(c.line.made()); n != 0 || len(b.line.made()) != 4 {
				t.Errorf("calls by others: %v %v", a.line.made(), c.line.made())
			}
			for _, x := range m {
				x.leave()
			}
		}
	})
}

// TestHintLost: an operation that one replica accepts for another, which never hears of it, begins
// all the same, while the call that the other one is busy with goes on.
func TestHintLost(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		m := fleet(t, open, 2, ttl(3*time.Second))
		a, b := m[0], m[1]
		b.must("created", put("i", false))
		g := b.backend.hold(core.VerbBind)
		long := b.must("accepted", bind("i", "long", true))
		receive(t, g.entered)
		a.line.noHints.Store(true)
		op := a.must("accepted", bind("i", "b", true))
		if holder := b.row(long).Holder; a.row(op).Holder != holder {
			t.Fatalf("held by %q, not by %q", a.row(op).Holder, holder)
		}
		b.done(op)
		close(g.release)
		b.done(long)
	})
}

// TestCancelElsewhere: a DELETE, a cancel, an abandon and a purge at one replica end the
// plugin call that another one makes, with and without hints.
func TestCancelElsewhere(t *testing.T) {
	for name, end := range map[string]func(a *member, op string){
		"DELETE": func(a *member, _ string) { a.done(a.must("accepted", del("i", true))) },
		"cancel": func(a *member, op string) {
			if err := a.b.Cancel(context.Background(), caller(true), op); err != nil {
				a.t.Error(err)
			}
		},
		"abandon": func(a *member, op string) {
			if err := a.b.Abandon(context.Background(), caller(true), op); err != nil {
				a.t.Error(err)
			}
		},
		"purge": func(a *member, _ string) {
			if _, err := a.b.Purge(context.Background(), caller(true), "i"); err != nil {
				a.t.Error(err)
			}
		},
	} {
		for _, lost := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " without hints"}[lost], func(t *testing.T) {
				eachStore(t, func(t *testing.T, open func() shared) {
					m := fleet(t, open, 2)
					a, b := m[0], m[1]
					a.line.noHints.Store(lost)
					g := b.backend.hold(core.VerbProvision)
					op := b.must("accepted", put("i", true))
					receive(t, g.entered)
					end(a, op)
					b.until("the call has ended", func() bool {
						b.line.mu.Lock()
						defer b.line.mu.Unlock()
						return len(b.line.causes) == 1
					})
					b.until("nothing is left to do", func() bool { return b.unfinished() == 0 })
					a.until("the id is free", func() bool {
						a.do(del("i", true))
						return a.instance("i") == nil
					})
					a.wants(a.background(put("i", false)), "created")
				})
			})
		}
	}
}

// TestRenewalsFail: without renewals the plugin calls end while the lease still lives, and
// the plugin processes were told the same bound; then the replica begins again.
func TestRenewalsFail(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		a := fleet(t, open, 1, ttl(2*time.Second))[0]
		g := a.backend.hold(core.VerbProvision)
		op := a.must("accepted", put("i", true))
		receive(t, g.entered)
		before := a.row(op).Holder
		a.line.noLease.Store(true)
		a.until("the call is cancelled", func() bool {
			a.line.mu.Lock()
			defer a.line.mu.Unlock()
			return len(a.line.causes) == 1
		})
		a.line.mu.Lock()
		kept := slices.Clone(a.line.kept)
		a.line.mu.Unlock()
		if len(kept) == 0 || !slices.IsSortedFunc(kept, time.Time.Compare) {
			t.Errorf("the processes may run until %v", kept)
		}
		if row := a.row(op); row.State != core.OperationPending || row.Holder != before {
			t.Errorf("%s %q", row.State, row.Holder)
		}
		a.line.noLease.Store(false)
		a.done(op)
		if a.row(op).Holder == before {
			t.Error("the lost lease's name is used again")
		}
	})
}

// TestAcceptWithoutLease: a replica that has no lease takes requests all the same; another one does the work.
func TestAcceptWithoutLease(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		m := fleet(t, open, 2, ttl(2*time.Second))
		a, b := m[0], m[1]
		g := a.backend.hold(core.VerbProvision)
		first := a.must("accepted", put("first", true))
		receive(t, g.entered)
		a.line.noLease.Store(true)
		b.done(first)
		a.wants(a.background(put("i", false)), "created")
		if !slices.Equal(b.line.made(), []string{"provision", "provision"}) {
			t.Errorf("the other replica called %v", b.line.made())
		}
	})
}

// TestOutage: while the database is away, requests are refused without effect and
// operations wait; afterwards they go on. Nothing is failed.
func TestOutage(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		m := fleet(t, open, 2, ttl(2*time.Second))
		var ops []string
		for i, id := range []string{"i", "j", "k"} {
			g := m[0].backend.hold(core.VerbProvision)
			ops = append(ops, m[i%2].must("accepted", put(id, true)))
			receive(t, g.entered)
		}
		for _, x := range m {
			x.line.cut.Store(true)
		}
		m[0].until("the call is given up", func() bool {
			m[0].line.mu.Lock()
			defer m[0].line.mu.Unlock()
			return len(m[0].line.causes) > 0
		})
		for _, x := range m {
			x.must("overloaded", put("n", true))
			_, err := x.b.Poll(context.Background(), core.PollRequest{Caller: caller(true), InstanceID: "i"})
			if e := core.AsError(err); e.Code != core.CodeOverloaded || e.RetryAfter <= 0 {
				t.Errorf("a poll is answered %v", err)
			}
		}
		for _, x := range m {
			x.line.cut.Store(false)
		}
		for _, op := range ops {
			m[1].done(op)
		}
		if m[0].instance("n") != nil {
			t.Error("a refused request had an effect")
		}
	})
}
