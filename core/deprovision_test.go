package core_test

import (
	"context"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// TestTotalDeprovision is the rule of that name, for what the matrix does not hold.
func TestTotalDeprovision(t *testing.T) {
	t.Run("failed provision DEP-01 ORP-03", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbProvision, pends("mine"), fails(core.CodeFailed, "half made"))
		r.must("failed", put("i", false))
		r.must("done", del("i", false))
		last := r.backend.seen()[2]
		if len(last.Attempted) != 1 || string(last.Attempted[0].Handle) != "mine" || len(last.Inputs) == 0 {
			t.Errorf("ownership cannot be proven: %+v", last)
		}
	})
	t.Run("never seen DEP-05 ORP-03 ORP-06", func(t *testing.T) {
		r := newRig(t)
		r.must("gone", del("never", false))
		r.must("gone", unbind("never", "b", false))
	})
	t.Run("used again: a new incarnation, the fence goes on A-2 PRO-17", func(t *testing.T) {
		r := newRig(t)
		for range 2 {
			r.must("created", put("a/b %2F", false))
			r.must("done", del("a/b %2F", false))
			r.must("gone", del("a/b %2F", false))
		}
		r.wantVerbs("provision", "deprovision", "provision", "deprovision") // and every call checks that its fence rises
		if v := r.poll("a/b %2F", "", ""); v.State != "succeeded" {
			t.Errorf("C-3 LOI-03: the poll after the deletion says %q", v.State)
		}
	})
	t.Run("wrong ids DEP-11 UNB-05", func(t *testing.T) {
		r := newRig(t)
		r.must("created", put("i", false))
		r.must("created", bind("i", "b", false))
		q := del("i", false)
		q.PlanID = "large"
		r.must("invalid_input", q)
		u := unbind("i", "b", false)
		u.ServiceID = ""
		r.must("invalid_input", u)
		u.BindingID = "other"
		r.must("gone", u) // C-2
	})
	t.Run("a refusal comes before the bindings are unbound DEP-12 DEP-13", func(t *testing.T) {
		r := newRig(t)
		r.must("created", put("i", false))
		r.must("created", bind("i", "b", false))
		r.backend.on(core.VerbDeprovision, fails(core.CodeConflict, "the bucket is not empty"))
		_, err := r.b.Deprovision(context.Background(), del("i", false))
		if e := core.AsError(err); e.Code != core.CodeConflict || !e.Backend {
			t.Errorf("the error is %+v", e)
		}
		r.must("unchanged", bind("i", "b", false))
		r.must("unchanged", put("i", false))
		if _, keys := r.backend.exists(); len(keys) != 1 {
			t.Error("the binding is gone")
		}
		r.must("done", del("i", false))
		r.wantVerbs("provision", "bind", "check", "check", "unbind", "deprovision")
	})
	t.Run("a refusal after something changed is a 5xx ERR-08", func(t *testing.T) {
		r := newRig(t)
		r.must("created", put("i", false))
		r.must("created", bind("i", "b", false))
		r.backend.desc.ChecksDeprovision = false
		r.backend.on(core.VerbDeprovision, fails(core.CodeConflict, "the bucket is not empty"))
		r.must("failed", del("i", false))
		r.must("done", del("i", false))
		r.wantVerbs("provision", "bind", "unbind", "deprovision", "deprovision")
	})
	t.Run("what an unbind that joined is told stays so LOB-07", func(t *testing.T) {
		for _, c := range []struct {
			why, word string
			checks    bool
			verb      core.Verb // whose calls in the deprovision fail
			first     core.ErrorCode
		}{
			{"refused before the bindings: it was not unbound", "failed", true, core.VerbDeprovision, ""},
			{"refused after the bindings: it was", "succeeded", false, core.VerbDeprovision, ""},
			{"its own unbind failed: it was not", "failed", false, core.VerbUnbind, ""},
			{"its own unbind failed at the second call: it was not", "failed", false, core.VerbUnbind, core.CodeUnavailable},
		} {
			r := newRig(t)
			r.must("created", put("i", false))
			r.must("created", bind("i", "b", false))
			r.backend.desc.ChecksDeprovision = c.checks
			if c.first != "" {
				r.backend.on(c.verb, fails(c.first, "not now"), fails(core.CodeFailed, "no"))
			} else {
				r.backend.on(c.verb, fails(core.CodeFailed, "no"))
			}
			r.do(del("i", true))
			op := r.latest("i", "").ID
			r.settles(op, "failed")
			for _, then := range []any{nil, bind("i", "b", false), unbind("i", "b", false), del("i", false)} {
				if then != nil {
					r.do(then)
				}
				if v := r.poll("i", "b", op); v.State != c.word {
					t.Errorf("%s: after %T the poll says %q", c.why, then, v.State)
				}
			}
		}
	})
	t.Run("what a superseded provision made after all is known DEP-06", func(t *testing.T) {
		r := newRig(t, slow)
		entered, release := make(chan struct{}), make(chan struct{})
		r.backend.on(core.VerbProvision, func(ctx context.Context, c core.Call, p func(core.Progress)) (core.Result, error) {
			close(entered)
			<-release // ignores its cancellation
			return r.backend.done(ctx, c, p)
		})
		op := r.must("accepted", put("i", true))
		receive(t, entered)
		gone := r.must("accepted", del("i", true))
		if v := r.poll("i", "", gone); v.State != "in progress" || r.row(gone).Calls != 0 {
			t.Errorf("the deprovision did not wait for the call: %+v", v)
		}
		close(release)
		r.settles(gone, "succeeded")
		r.settles(op, "failed")
		last := r.backend.seen()[1]
		if last.Instance.Outputs == nil || len(last.Attempted) != 1 {
			t.Errorf("the deprovision gets %+v", last)
		}
	})
}
