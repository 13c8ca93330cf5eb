package core_test

import (
	"context"
	"errors"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// TestNoEffect is the rule "4xx means no effect".
func TestNoEffect(t *testing.T) {
	codes := map[core.ErrorCode]string{core.CodeInvalid: "invalid_input", core.CodeConflict: "conflict", core.CodeNotFound: "invalid_input"}
	for code, want := range codes {
		t.Run("provision "+string(code)+" PRO-19 ERR-08 ORP-01", func(t *testing.T) {
			r := newRig(t)
			r.backend.on(core.VerbProvision, pends("mine"), fails(code, "the bucket is taken"))
			_, err := r.b.Provision(context.Background(), put("i", true))
			e := core.AsError(err)
			if string(e.Code) != want || !e.Backend || e.Message != "the bucket is taken" {
				t.Errorf("the error is %+v", e)
			}
			r.wantVerbs("provision", "provision", "deprovision")
			undo := r.backend.seen()[2]
			if len(undo.Attempted) != 1 || string(undo.Attempted[0].Handle) != "mine" || undo.Instance.Inputs != nil {
				t.Errorf("the undo gets %+v", undo)
			}
			if r.instance("i") != nil {
				t.Error("the row is left")
			}
			r.must("gone", del("i", false))
			r.must("created", otherPut(false)) // the id is free
		})
		t.Run("bind "+string(code)+" BND-30 ERR-08", func(t *testing.T) {
			r := newRig(t)
			r.must("created", put("i", false))
			r.backend.on(core.VerbBind, fails(code, "no such role"))
			r.must(want, bind("i", "b", false))
			r.wantVerbs("provision", "bind", "unbind")
			r.must("gone", unbind("i", "b", false))
			r.must("created", bind("i", "b", false))
		})
		t.Run("update "+string(code)+" UPD-15 ERR-08", func(t *testing.T) {
			r := newRig(t)
			r.must("created", put("i", false))
			r.backend.on(core.VerbUpdate, fails(code, "too small"))
			r.must(want, patch("i", false))
			calls := r.backend.seen()
			back := calls[len(calls)-1]
			if back.Verb != core.VerbUpdate || string(back.Inputs) != string(calls[0].Inputs) || len(back.Attempted) != 1 {
				t.Errorf("the undo is %+v", back)
			}
			inst := r.instance("i")
			if string(inst.Parameters) != "{}" || len(inst.Attempted) != 0 || !inst.Usable {
				t.Errorf("the instance is changed: %+v", inst)
			}
		})
	}
	t.Run("answered 202: the row stays for the poll, DELETE cleans up LOI-10", func(t *testing.T) {
		r := newRig(t, slow)
		g := r.backend.hold(core.VerbProvision, fails(core.CodeConflict, "taken"))
		op := r.must("accepted", put("i", true))
		receive(t, g.entered)
		close(g.release)
		r.settles(op, "failed")
		if r.instance("i") == nil {
			t.Error("the row is gone")
		}
		r.must("done", del("i", false))
		r.wantVerbs("provision", "deprovision") // nothing is left, so nothing is called
		r.must("gone", del("i", false))
	})
	t.Run("undo after unavailable is tried again ORP-05", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbProvision, fails(core.CodeConflict, "taken"))
		r.backend.on(core.VerbDeprovision, fails(core.CodeUnavailable, "not now"), pends("x"))
		r.must("conflict", put("i", false))
		r.wantVerbs("provision", "deprovision", "deprovision", "deprovision")
	})
	t.Run("undo that fails is a 5xx ERR-09", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbProvision, fails(core.CodeConflict, "taken"))
		r.backend.on(core.VerbDeprovision, fails(core.CodeFailed, "stuck"))
		r.must("failed", put("i", false))
		r.must("done", del("i", false))
		r.wantVerbs("provision", "deprovision", "deprovision")
		last := r.backend.seen()[2]
		if len(last.Attempted) != 1 {
			t.Errorf("the deprovision does not know what was attempted: %+v", last.Attempted)
		}
	})
	t.Run("credentials that cannot be rendered undo the bind BND-30", func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.service.Plans[0].Credentials = form(func(core.TemplateData) (any, error) { return nil, errors.New("line 3: no value") })
		})
		r.must("created", put("i", false))
		_, err := r.b.Bind(context.Background(), bind("i", "b", false))
		if e := core.AsError(err); e.Code != core.CodeFailed || e.Detail == "" {
			t.Errorf("the error is %+v", e)
		}
		r.wantVerbs("provision", "bind", "unbind")
		if _, keys := r.backend.exists(); len(keys) > 0 {
			t.Errorf("keys are left: %v", keys)
		}
	})
}
