package core_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// expiring makes the bindings of the rig's plan end when the rig's clock says so.
func expiring(r *rig) {
	end := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	r.service.Plans[0].ExpiresAt = form(func(core.TemplateData) (any, error) { return end, nil })
	r.config.Now = r.now
}

// now is the real time, moved on by what the test has let pass.
func (r *rig) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

// TestRevoke is BND-22: after expires_at the credentials no longer work, and the binding
// is there until its DELETE.
func TestRevoke(t *testing.T) {
	bound := func(t *testing.T) *rig {
		r := newRig(t, expiring)
		r.must("created", put("i", false))
		r.must("created", bind("i", "b", false))
		return r
	}
	alive := func(r *rig) bool {
		_, keys := r.backend.exists()
		return keys["b"] != ""
	}
	t.Run("not before its time", func(t *testing.T) {
		r := bound(t)
		r.b.RevokeOnce()
		if !alive(r) {
			t.Error("revoked too early")
		}
	})
	t.Run("at its end, once, and the row stays", func(t *testing.T) {
		r := bound(t)
		r.ahead.Store(int64(2 * time.Hour))
		r.b.RevokeOnce()
		r.until("the credentials are dead", func() bool { return !alive(r) })
		r.until("the row says so", func() bool { return r.binding("i", "b").RevokeAt.IsZero() })
		r.b.RevokeOnce()
		r.wantVerbs("provision", "bind", "unbind")
		v, err := r.b.Binding(context.Background(), "i", "b")
		if err != nil || v.Result.ExpiresAt == "" {
			t.Errorf("GET gives %+v, %v", v, err)
		}
		if p := r.poll("i", "b", ""); p.Verb != core.VerbBind || p.State != "succeeded" {
			t.Errorf("a poll tells of the broker's own operation: %+v", p)
		}
		if op := r.latest("i", "b"); op.User != "chandler" || op.State != core.OperationSucceeded {
			t.Errorf("the operation is %+v", op)
		}
		r.must("unchanged", bind("i", "b", true))
		r.must("done", unbind("i", "b", false)) // nothing is left to be called for
		r.wantVerbs("provision", "bind", "unbind")
		if r.binding("i", "b") != nil {
			t.Error("the row is left")
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		r := bound(t)
		r.ahead.Store(int64(2 * time.Hour))
		r.restart()
		r.b.RevokeOnce()
		r.until("the credentials are dead", func() bool { return !alive(r) })
	})
	t.Run("a DELETE goes on with it", func(t *testing.T) {
		r := bound(t)
		r.ahead.Store(int64(2 * time.Hour))
		g := r.backend.hold(core.VerbUnbind)
		r.b.RevokeOnce()
		receive(t, g.entered)
		if _, err := r.b.Binding(context.Background(), "i", "b"); err != nil {
			t.Errorf("GET while it is revoked: %v", err)
		}
		op := r.must("accepted", unbind("i", "b", true))
		close(g.release)
		if v := r.settled("i", "b", op); v.State != "succeeded" || v.Verb != core.VerbUnbind {
			t.Errorf("the DELETE ends with %+v", v)
		}
		r.wantVerbs("provision", "bind", "unbind")
		if r.binding("i", "b") != nil {
			t.Error("the row is left")
		}
	})
	t.Run("a failure is tried again later, and is nobody's answer", func(t *testing.T) {
		r := bound(t)
		r.ahead.Store(int64(2 * time.Hour))
		r.backend.on(core.VerbUnbind, fails(core.CodeFailed, "the door is locked"))
		r.b.RevokeOnce()
		r.until("it has failed", func() bool {
			return r.latest("i", "b").State == core.OperationFailed && r.binding("i", "b").RevokeAt.After(r.now())
		})
		if p := r.poll("i", "b", ""); p.State != "succeeded" {
			t.Errorf("a poll tells of the broker's own failure: %+v", p)
		}
		r.ahead.Store(int64(3 * time.Hour))
		r.b.RevokeOnce()
		r.until("the credentials are dead", func() bool { return !alive(r) })
	})
}

// TestRevokeBehindRefused: expired bindings of a backend that has too much to do keep those of
// others waiting neither by their age nor by their number.
func TestRevokeBehindRefused(t *testing.T) {
	r := newRig(t, expiring, slow, func(r *rig) { r.config.MaxUnfinishedPerBackend = 1 })
	other := newService()
	other.ID, other.Name, other.Backend = "other", "other", "second"
	for _, p := range other.Plans {
		p.ID = "other-" + p.ID
		p.ExpiresAt = r.service.Plans[0].ExpiresAt
	}
	r.shelf.put(nil, r.service, other)
	done := func(request any) {
		t.Helper()
		if answer, op := r.do(request); answer == "accepted" {
			r.settles(op, "succeeded")
		} else if answer != "created" {
			t.Fatalf("%+v: %s", request, answer)
		}
		r.until("its place is free", func() bool { return r.b.Held() == 0 })
	}
	done(put("i", false))
	for n := range core.RevokeBatch + 1 {
		done(bind("i", fmt.Sprint(n), false))
	}
	made, bound := put("last", false), bind("last", "b", false) // the last one of its time by its id, too
	made.ServiceID, made.PlanID, bound.ServiceID, bound.PlanID = "other", "other-plan", "other", "other-plan"
	done(made)
	done(bound)
	g := r.backend.hold(core.VerbProvision)
	defer close(g.release)
	r.must("accepted", put("busy", true))
	receive(t, g.entered)
	r.ahead.Store(int64(2 * time.Hour))
	r.b.RevokeOnce()
	r.until("it is revoked", func() bool { return r.binding("last", "b").RevokeAt.IsZero() })
	if r.binding("i", "0").RevokeAt.IsZero() {
		t.Error("the full backend took one more")
	}
}
