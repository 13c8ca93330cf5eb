package core_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// TestOperators covers cancel, retry, abandon and purge.
func TestOperators(t *testing.T) {
	ctx, by := context.Background(), core.Caller{User: "op", RequestID: "r"}
	t.Run("cancel", func(t *testing.T) {
		on := start(newRig(t, slow), core.VerbUpdate)
		if err := on.b.Cancel(ctx, by, on.op); err != nil {
			t.Fatal(err)
		}
		on.settles(on.op, "failed")
		if e := on.row(on.op).Error; e.Code != core.CodeCancelled {
			t.Errorf("it ended with %v", e)
		}
		if err := on.b.Cancel(ctx, by, on.op); core.CodeOf(err) != core.CodeUnprocessable {
			t.Errorf("cancelled twice: %v", err)
		}
		if err := on.b.Cancel(ctx, by, "never"); core.CodeOf(err) != core.CodeNotFound {
			t.Errorf("unknown: %v", err)
		}
		on.must("done", patch("i", false))
	})
	t.Run("cancel of a queued bind", func(t *testing.T) {
		on := start(newRig(t, slow), core.VerbProvision)
		op := on.must("accepted", bind("i", "b", true))
		if err := on.b.Cancel(ctx, by, op); err != nil {
			t.Fatal(err)
		}
		on.settles(op, "failed")
		on.ends("succeeded")
		on.wantVerbs("provision")
	})
	t.Run("retry", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbProvision, pends("mine"), fails(core.CodeFailed, "no"))
		r.must("failed", put("i", false))
		old := r.latest("i", "").ID
		id, err := r.b.Retry(ctx, by, old)
		if err != nil || id == old {
			t.Fatal(id, err)
		}
		r.settles(id, "succeeded")
		calls := r.backend.seen()
		if last := calls[len(calls)-1]; len(last.Attempted) != 1 || !bytes.Equal(last.Inputs, calls[0].Inputs) {
			t.Errorf("the retry gets %+v", last)
		}
		r.must("unchanged", put("i", false))
		if _, err := r.b.Retry(ctx, by, old); core.CodeOf(err) != core.CodeUnprocessable {
			t.Errorf("not the newest: %v", err)
		}
		if _, err := r.b.Retry(ctx, by, id); core.CodeOf(err) != core.CodeUnprocessable {
			t.Errorf("not failed: %v", err)
		}
		r.backend.on(core.VerbBind, fails(core.CodeFailed, "no"))
		r.must("failed", bind("i", "b", false))
		if _, err := r.b.Retry(ctx, by, r.latest("i", "b").ID); core.CodeOf(err) != core.CodeUnprocessable {
			t.Errorf("a bind: %v", err)
		}
		r.backend.on(core.VerbDeprovision, fails(core.CodeFailed, "no"))
		r.backend.on(core.VerbUnbind, fails(core.CodeFailed, "no"))
		r.must("failed", unbind("i", "b", false))
		id, err = r.b.Retry(ctx, by, r.latest("i", "b").ID)
		if err != nil {
			t.Fatal(err)
		}
		r.settles(id, "succeeded")
		r.must("failed", del("i", false))
		if id, err = r.b.Retry(ctx, by, r.latest("i", "").ID); err != nil {
			t.Fatal(err)
		}
		r.settles(id, "succeeded")
		r.must("gone", del("i", false))
	})
	t.Run("abandon does not wait for the plugin, but the next call does", func(t *testing.T) {
		r := newRig(t, slow)
		entered, release := make(chan struct{}), make(chan struct{})
		r.backend.on(core.VerbProvision, func(context.Context, core.Call, func(core.Progress)) (core.Result, error) {
			close(entered)
			<-release
			return core.Result{}, errors.New("late")
		})
		op := r.must("accepted", put("i", true))
		receive(t, entered)
		if err := r.b.Abandon(ctx, by, op); err != nil {
			t.Fatal(err)
		}
		r.settles(op, "failed")
		gone := r.must("accepted", del("i", true))
		if n := len(r.backend.seen()); n != 1 {
			t.Errorf("%d calls beside the one that is still running", n)
		}
		close(release)
		r.settles(gone, "succeeded")
		if calls := r.backend.seen(); len(calls[1].Attempted) != 1 {
			t.Errorf("the attempt is forgotten: %+v", calls[1])
		}
	})
	t.Run("purge", func(t *testing.T) {
		on := start(newRig(t, slow), core.VerbBind)
		report, err := on.b.Purge(ctx, by, "i")
		if err != nil || len(report.MayBeLeft) != 2 || len(report.Bindings) != 1 {
			t.Errorf("%+v %v", report, err)
		}
		if on.instance("i") != nil || on.row(on.op).State != core.OperationFailed {
			t.Error("something is left in the store")
		}
		if _, err := on.b.Purge(ctx, by, "i"); core.CodeOf(err) != core.CodeNotFound {
			t.Errorf("twice: %v", err)
		}
		if err := on.backend.quiet(ctx); err != nil {
			t.Error(err)
		}
		on.must("created", put("i", false))
	})
}
