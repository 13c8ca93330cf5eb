package core_test

import (
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// TestQueuedTooLong: a queued request whose caller's time is over leaves nothing behind.
func TestQueuedTooLong(t *testing.T) {
	cases := []struct {
		name, covers, why string
		runs              core.Verb
		serialize         bool
		binding           string
		request           func(c core.Caller) any
		left              bool // the binding's row stays
	}{
		{name: "bind behind a provision", covers: "BND-11 ORP-08", why: "422 promises no effect", runs: core.VerbProvision, binding: "q",
			request: func(c core.Caller) any { q := bind("i", "q", false); q.Caller = c; return q }},
		{name: "bind behind an update", covers: "BND-11 ORP-08", why: "422 promises no effect", runs: core.VerbUpdate, binding: "q",
			request: func(c core.Caller) any { q := bind("i", "q", false); q.Caller = c; return q }},
		{name: "bind behind a bind", covers: "BND-11", why: "the plugin serialises", runs: core.VerbBind, serialize: true, binding: "q",
			request: func(c core.Caller) any { q := bind("i", "q", false); q.Caller = c; return q }},
		{name: "unbind behind an unbind", covers: "UNB-08", why: "the binding is still there for the next DELETE", runs: core.VerbUnbind,
			serialize: true, binding: "old", left: true,
			request: func(c core.Caller) any { q := unbind("i", "old", false); q.Caller = c; return q }},
	}
	for _, c := range cases {
		t.Run(c.name+" "+c.covers, func(t *testing.T) {
			r := newRig(t, slow, func(r *rig) { r.backend.desc.SerializeInstance = c.serialize })
			if c.left {
				r.must("created", put("i", false))
				r.must("created", bind("i", "old", false))
				r.must("created", bind("i", "b", false))
			}
			var on running
			if c.left {
				on = running{rig: r, gate: r.backend.hold(core.VerbUnbind)}
				on.op = r.must("accepted", unbind("i", "b", true))
				receive(t, on.gate.entered)
			} else {
				on = start(r, c.runs)
			}
			before := r.latest("i", c.binding)
			late := caller(false)
			late.Started = time.Now().Add(-2 * patience) // the budget is over
			on.must("ConcurrencyError", c.request(late))
			after := r.latest("i", c.binding)
			if (before == nil) != (after == nil) || before != nil && before.ID != after.ID {
				t.Errorf("%s: the operation is left: %+v", c.why, after)
			}
			if row := r.binding("i", c.binding); (row != nil) != c.left {
				t.Errorf("%s: the binding's row: %+v", c.why, row)
			}
			on.ends("succeeded")
			for _, call := range r.backend.seen() {
				if call.BindingID == c.binding && !c.left {
					t.Errorf("the plugin was called: %s", call.Verb)
				}
			}
			if c.left {
				r.must("done", unbind("i", "old", false))
			}
		})
	}
}

// TestSerializedPlugin: binds and unbinds of one instance wait for each other where the plugin says so.
func TestSerializedPlugin(t *testing.T) {
	for _, runs := range []core.Verb{core.VerbBind, core.VerbUnbind} {
		for _, async := range []bool{true, false} {
			t.Run("a bind behind a "+string(runs)+map[bool]string{true: " async", false: " sync"}[async]+" BND-11 A-4", func(t *testing.T) {
				r := newRig(t, slow, func(r *rig) { r.backend.desc.SerializeInstance = true })
				queues(start(r, runs), bind("i", "c", async), async) // the script fails the test on two calls at once
			})
		}
	}
	t.Run("an unbind behind a bind, async UNB-08", func(t *testing.T) {
		r := newRig(t, slow, func(r *rig) { r.backend.desc.SerializeInstance = true })
		r.must("created", put("i", false))
		r.must("created", bind("i", "old", false))
		g := r.backend.hold(core.VerbBind)
		first := r.must("accepted", bind("i", "new", true))
		receive(t, g.entered)
		second := r.must("accepted", unbind("i", "old", true))
		if r.row(second).Calls != 0 {
			t.Error("the unbind did not wait")
		}
		close(g.release)
		r.settles(first, "succeeded")
		r.settles(second, "succeeded")
	})
	t.Run("an unbind behind an update UNB-08", func(t *testing.T) {
		for _, async := range []bool{true, false} {
			r := newRig(t, slow)
			r.must("created", put("i", false))
			r.must("created", bind("i", "b", false))
			g := r.backend.hold(core.VerbUpdate)
			first := r.must("accepted", patch("i", true))
			receive(t, g.entered)
			if async {
				second := r.must("accepted", unbind("i", "b", true))
				close(g.release)
				r.settles(second, "succeeded")
			} else {
				ch := r.background(unbind("i", "b", false))
				r.until("the unbind is queued", func() bool { return r.latest("i", "b").Verb == core.VerbUnbind })
				close(g.release)
				r.wants(ch, "done")
			}
			r.settles(first, "succeeded")
			r.wantVerbs("provision", "bind", "update", "unbind")
		}
	})
}

// TestQueuedBindFailsWithItsProvision is the matrix's "fails with it".
func TestQueuedBindFailsWithItsProvision(t *testing.T) {
	cases := []struct {
		name, why string
		code      core.ErrorCode
		cancel    bool
	}{
		{"failed", "the instance's row stays, half made", core.CodeFailed, false},
		{"the user's fault", "the provision is undone first", core.CodeConflict, false},
		{"cancelled by a DELETE", "the deprovision takes it along", "", true},
	}
	for _, c := range cases {
		for _, async := range []bool{true, false} {
			t.Run(c.name+map[bool]string{true: " async", false: " sync"}[async], func(t *testing.T) {
				r := newRig(t, slow)
				after := fails(c.code, "no")
				g := r.backend.hold(core.VerbProvision, after)
				r.must("accepted", put("i", true))
				receive(t, g.entered)
				var op string
				var ch <-chan answer
				if async {
					op = r.must("accepted", bind("i", "b", true))
				} else {
					ch = r.background(bind("i", "b", false))
					r.until("the bind is queued", func() bool { return r.latest("i", "b") != nil })
				}
				if c.cancel {
					r.must("done", del("i", false))
				} else {
					close(g.release)
				}
				switch {
				case async:
					r.until("the bind has failed", func() bool { return r.poll("i", "b", op).State == "failed" })
				case c.cancel:
					r.wants(ch, "cancelled")
				default:
					r.wants(ch, "unprocessable")
				}
				if !async && r.binding("i", "b") != nil {
					t.Errorf("%s: the bind was answered and its row is left", c.why)
				}
				for _, call := range r.backend.seen() {
					if call.Verb == core.VerbBind {
						t.Error("the plugin was called for the bind")
					}
				}
			})
		}
	}
}

// TestUnbindOfAQueuedBind: what never called the plugin needs no plugin to go.
func TestUnbindOfAQueuedBind(t *testing.T) {
	for _, async := range []bool{true, false} {
		on := start(newRig(t, slow), core.VerbProvision)
		op := on.must("accepted", bind("i", "b", true))
		answer, _ := on.do(unbind("i", "b", async))
		if answer != "done" {
			t.Errorf("UNB-09: the unbind is answered %q", answer)
		}
		if v := on.poll("i", "b", op); v.State != "failed" {
			t.Errorf("UNB-11: the bind is %q", v.State)
		}
		if on.binding("i", "b") != nil {
			t.Error("UNB-01: the row is left")
		}
		on.must("gone", unbind("i", "b", async))
		on.ends("succeeded")
		on.wantVerbs("provision")
	}
}

// A queued bind whose caller waits when the broker closes is taken back: its time was not over, so
// the answer is the one of a broker that takes no requests, and nothing is left.
func TestQueuedWhileClosing(t *testing.T) {
	r := newRig(t, slow)
	r.must("created", put("i", false))
	r.backend.hold(core.VerbUpdate)
	r.must("accepted", patch("i", true))
	waits := r.background(bind("i", "b", false))
	r.until("the bind is queued", func() bool { return r.latest("i", "b") != nil })
	r.stop()
	r.wants(waits, "overloaded")
	if r.latest("i", "b") != nil || r.binding("i", "b") != nil {
		t.Error("something is left")
	}
}
