package core_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// running is a rig in which an operation's plugin call is held open.
type running struct {
	*rig
	gate *gate
	op   string // the id of the operation
}

// start gets the rig to where verb runs on instance i (and binding b).
func start(r *rig, verb core.Verb) running {
	r.t.Helper()
	if verb != core.VerbProvision {
		r.must("created", put("i", false))
	}
	if verb == core.VerbUnbind || verb == core.VerbDeprovision {
		r.must("created", bind("i", "b", false))
	}
	on := running{rig: r}
	if verb == core.VerbDeprovision {
		on.gate = r.backend.hold(core.VerbUnbind) // it begins with the binding left behind
	} else {
		on.gate = r.backend.hold(verb)
	}
	request := map[core.Verb]any{core.VerbProvision: put("i", true), core.VerbUpdate: patch("i", true), core.VerbBind: bind("i", "b", true),
		core.VerbUnbind: unbind("i", "b", true), core.VerbDeprovision: del("i", true)}[verb]
	on.op = r.must("accepted", request)
	receive(r.t, on.gate.entered)
	return on
}

// ends lets the held call go on and waits for the operation's end.
func (on running) ends(want string) {
	on.t.Helper()
	close(on.gate.release)
	on.settles(on.op, want)
}

// settles waits for an operation and checks how it ended.
func (r *rig) settles(op, want string) {
	r.t.Helper()
	row := r.row(op)
	if v := r.settled(row.InstanceID, row.BindingID, op); v.State != want {
		r.t.Fatalf("the %s ended %s (%s), want %s", row.Verb, v.State, v.Description, want)
	}
}

// other requests that differ from what start sends.
func otherPut(async bool) core.ProvisionRequest {
	q := put("i", async)
	q.Parameters = []byte(`{"bucket":"other"}`)
	return q
}

func otherPatch(async bool) core.UpdateRequest {
	q := patch("i", async)
	q.Parameters = []byte(`{"size":"huge"}`)
	return q
}

// TestMatrix is the second table of section 6: while the row's operation runs, the
// column's request comes. Every cell once with accepts_incomplete and once without.
func TestMatrix(t *testing.T) {
	const (
		provision, update, binding = core.VerbProvision, core.VerbUpdate, core.VerbBind
		unbinding, deprovision     = core.VerbUnbind, core.VerbDeprovision
		busy                       = "ConcurrencyError"
	)
	cells := []struct {
		runs        core.Verb
		comes       string
		covers, why string
		check       func(on running, async bool)
	}{
		{provision, "same PUT", "PRO-05 OPK-02", "Korifi re-sends on every poll; the work must not start again", func(on running, async bool) {
			if async {
				if op := on.must("accepted", put("i", true)); op != on.op {
					on.t.Errorf("another operation: %s, want %s", op, on.op)
				}
				on.ends("succeeded")
			} else {
				joins(on, put("i", false), "unchanged")
			}
			on.wantVerbs("provision")
		}},
		{provision, "other PUT", "PRO-06", "the id is taken by something different", func(on running, async bool) {
			on.must("conflict", otherPut(async))
			on.ends("succeeded")
		}},
		{provision, "update", "UPD-20 CON-01", "one change at a time", func(on running, async bool) {
			on.must(busy, patch("i", async))
			on.ends("succeeded")
			on.wantVerbs("provision")
		}},
		{provision, "bind", "CON-02 A-4 A-5", "Korifi binds without waiting for the instance", func(on running, async bool) {
			queues(on, bind("i", "b", async), async)
			on.wantVerbs("provision", "bind")
		}},
		{provision, "unbind", "UNB-06", "there is no such binding", func(on running, async bool) {
			on.must("gone", unbind("i", "b", async))
			on.ends("succeeded")
		}},
		{provision, "deprovision", "DEP-06 DEP-07 DEP-08 ORP-03", "creation is halted and deletion begins", func(on running, async bool) {
			supersedes(on, del("i", async), async)
			on.wantVerbs("provision", "deprovision")
		}},
		{update, "same PUT", "PRO-04", "what is applied is what it asks for", func(on running, async bool) {
			on.must("unchanged", put("i", async))
			on.ends("succeeded")
		}},
		{update, "other PUT", "PRO-06", "also what the update is about to apply is different from what there is", func(on running, async bool) {
			on.must("conflict", otherPut(async))
			wanted := put("i", async)
			wanted.Parameters = []byte(`{"size":"big"}`)
			on.must("conflict", wanted)
			on.ends("succeeded")
		}},
		{update, "same update", "UPD-02 OPK-02", "the same request again joins", func(on running, async bool) {
			if async {
				if op := on.must("accepted", patch("i", true)); op != on.op {
					on.t.Errorf("another operation: %s, want %s", op, on.op)
				}
				on.ends("succeeded")
			} else {
				joins(on, patch("i", false), "done")
			}
			on.wantVerbs("provision", "update")
		}},
		{update, "other update", "UPD-20 CON-01", "one change at a time", func(on running, async bool) {
			on.must(busy, otherPatch(async))
			on.ends("succeeded")
		}},
		{update, "bind", "A-4", "svc-cat takes any error to a bind as final", func(on running, async bool) {
			queues(on, bind("i", "b", async), async)
			on.wantVerbs("provision", "update", "bind")
		}},
		{update, "deprovision", "ORP-03", "a deprovision is accepted in any state", func(on running, async bool) {
			supersedes(on, del("i", async), async)
			on.wantVerbs("provision", "update", "deprovision")
		}},
		{binding, "same PUT of the instance", "PRO-04", "a bind does not change the instance", func(on running, async bool) {
			on.must("unchanged", put("i", async))
			on.ends("succeeded")
		}},
		{binding, "update", "UPD-20", "an update under a bind would change what it reads", func(on running, async bool) {
			on.must(busy, patch("i", async))
			on.ends("succeeded")
		}},
		{binding, "same bind", "BND-04 OPK-02", "the same request again joins", func(on running, async bool) {
			if async {
				if op := on.must("accepted", bind("i", "b", true)); op != on.op {
					on.t.Errorf("another operation: %s, want %s", op, on.op)
				}
				on.ends("succeeded")
			} else {
				joins(on, bind("i", "b", false), "unchanged")
			}
			on.wantVerbs("provision", "bind")
		}},
		{binding, "other bind of the id", "BND-06", "the id is taken by something different", func(on running, async bool) {
			q := bind("i", "b", async)
			q.Parameters = []byte(`{"access":"ro"}`)
			on.must("conflict", q)
			on.ends("succeeded")
		}},
		{binding, "bind", "BND-11", "bindings of one instance do not wait for each other", func(on running, async bool) {
			sideBySide(on, bind("i", "c", async), async)
		}},
		{binding, "unbind", "UNB-09 UNB-10 UNB-11", "creation is halted and deletion begins", func(on running, async bool) {
			supersedes(on, unbind("i", "b", async), async)
			on.wantVerbs("provision", "bind", "unbind")
			if _, keys := on.backend.exists(); len(keys) > 0 {
				on.t.Errorf("UNB-01: keys are left: %v", keys)
			}
		}},
		{binding, "deprovision", "ORP-03 DEP-12", "the deprovision takes the half-made binding along", func(on running, async bool) {
			supersedes(on, del("i", async), async)
			on.wantVerbs("provision", "bind", "check", "unbind", "deprovision")
		}},
		{unbinding, "same PUT of the instance", "PRO-04", "an unbind does not change the instance", func(on running, async bool) {
			on.must("unchanged", put("i", async))
			on.ends("succeeded")
		}},
		{unbinding, "update", "UPD-20", "one change at a time", func(on running, async bool) {
			on.must(busy, patch("i", async))
			on.ends("succeeded")
		}},
		{unbinding, "bind of the id", "CON-01", "the id is about to be free, but is not yet", func(on running, async bool) {
			on.must(busy, bind("i", "b", async))
			on.ends("succeeded")
		}},
		{unbinding, "bind", "A-4", "bindings of one instance do not wait for each other", func(on running, async bool) {
			sideBySide(on, bind("i", "c", async), async)
		}},
		{unbinding, "unbind", "UNB-03 OPK-02", "a re-sent DELETE must not restart it", func(on running, async bool) {
			if async {
				if op := on.must("accepted", unbind("i", "b", true)); op != on.op {
					on.t.Errorf("another operation: %s, want %s", op, on.op)
				}
				on.ends("succeeded")
			} else {
				joins(on, unbind("i", "b", false), "done")
			}
			on.wantVerbs("provision", "bind", "unbind")
		}},
		{unbinding, "deprovision", "DEP-12", "an unbind in progress is waited for, not cancelled", func(on running, async bool) {
			if async {
				op := on.must("accepted", del("i", true))
				on.ends("succeeded")
				on.settles(op, "succeeded")
			} else {
				ch := on.background(del("i", false))
				on.until("the deprovision is queued", func() bool { return on.latest("i", "").Verb == deprovision })
				on.ends("succeeded")
				on.wants(ch, "done")
			}
			on.wantVerbs("provision", "bind", "unbind", "deprovision")
		}},
		{deprovision, "same PUT", "PRO-18 CON-01", "it is being deleted", func(on running, async bool) {
			on.must(busy, put("i", async))
			on.ends("succeeded")
		}},
		{deprovision, "other PUT", "PRO-18 CON-01", "it is being deleted", func(on running, async bool) {
			on.must(busy, otherPut(async))
			on.ends("succeeded")
		}},
		{deprovision, "update", "UPD-20", "it is being deleted", func(on running, async bool) {
			on.must(busy, patch("i", async))
			on.ends("succeeded")
		}},
		{deprovision, "bind", "BND-11", "it is being deleted", func(on running, async bool) {
			on.must(busy, bind("i", "c", async))
			on.ends("succeeded")
		}},
		{deprovision, "unbind", "UNB-03 ORP-04", "the deprovision unbinds it anyway", func(on running, async bool) {
			if async {
				if op := on.must("accepted", unbind("i", "b", true)); op != on.op {
					on.t.Errorf("another operation: %s, want %s", op, on.op)
				}
				if v := on.poll("i", "b", on.op); v.State != "in progress" {
					on.t.Errorf("the unbind is %q", v.State)
				}
				on.ends("succeeded")
				if v := on.poll("i", "b", on.op); v.State != "succeeded" {
					on.t.Errorf("LOB-07: the unbind is %q", v.State)
				}
			} else {
				joins(on, unbind("i", "b", false), "done")
			}
			on.wantVerbs("provision", "bind", "check", "unbind", "deprovision")
		}},
		{deprovision, "deprovision", "DEP-03 OPK-02 A-7", "a re-sent DELETE must not restart it", func(on running, async bool) {
			if async {
				if op := on.must("accepted", del("i", true)); op != on.op {
					on.t.Errorf("another operation: %s, want %s", op, on.op)
				}
				on.ends("succeeded")
			} else {
				joins(on, del("i", false), "done")
			}
			on.wantVerbs("provision", "bind", "check", "unbind", "deprovision")
		}},
	}
	for _, cell := range cells {
		for _, async := range []bool{true, false} {
			name := string(cell.runs) + " runs, " + cell.comes + " comes, " + map[bool]string{true: "async ", false: "sync "}[async] + cell.covers
			t.Run(name, func(t *testing.T) {
				cell.check(start(newRig(t, slow), cell.runs), async)
				if t.Failed() {
					t.Logf("why: %s", cell.why)
				}
			})
		}
	}
}

// joins sends a synchronous request that must wait for the running operation.
func joins(on running, request any, want string) {
	on.t.Helper()
	ch := on.background(request)
	on.until("the request waits", func() bool { return core.Watchers(on.b, on.op) > 0 })
	on.ends("succeeded")
	on.wants(ch, want)
}

// queues sends a bind that must wait for the running operation of the instance.
func queues(on running, request core.BindRequest, async bool) {
	on.t.Helper()
	if !async {
		ch := on.background(request)
		on.until("the bind is queued", func() bool { return on.latest("i", request.BindingID) != nil })
		on.ends("succeeded")
		on.wants(ch, "created")
		return
	}
	op := on.must("accepted", request)
	if again := on.must("accepted", request); again != op {
		on.t.Errorf("BND-04: the queued bind has two operations, %s and %s", op, again)
	}
	if v := on.poll("i", request.BindingID, op); v.State != "in progress" {
		on.t.Errorf("the queued bind is %s", v.State)
	}
	if len(on.backend.seen()) == 0 || on.row(op).Calls > 0 {
		on.t.Error("the queued bind was called")
	}
	_, steps, err := on.b.Timeline(on.t.Context(), op)
	if err != nil || len(steps) != 2 || steps[1].Kind != core.StepQueued {
		on.t.Errorf("the timeline has no queued step: %v %v", steps, err)
	}
	on.ends("succeeded")
	on.settles(op, "succeeded")
}

// supersedes sends a DELETE that must cancel the running operation.
func supersedes(on running, request any, async bool) {
	on.t.Helper()
	if async {
		answer, op := on.do(request) // "done" if it was quick
		if op == on.op || answer != "accepted" && answer != "done" {
			on.t.Errorf("the DELETE is answered %q with operation %q", answer, op)
		}
		if answer == "accepted" {
			on.settles(op, "succeeded")
		}
	} else {
		on.must("done", request)
	}
	row := on.row(on.op)
	if row.State != core.OperationFailed || core.CodeOf(row.Error) != core.CodeCancelled || row.CancelledBy == "" {
		on.t.Errorf("the superseded operation: %s %v by %q", row.State, row.Error, row.CancelledBy)
	}
	calls := on.backend.seen()
	last := calls[len(calls)-1]
	var verbs []core.Verb
	for _, a := range last.Attempted {
		verbs = append(verbs, a.Verb)
	}
	if want := []core.Verb{row.Verb}; row.BindingID == last.BindingID && !cmp.Equal(want, verbs) {
		on.t.Errorf("the deletion gets the attempts %v, want %v", verbs, want)
	}
}

// sideBySide sends a bind that must not wait, then the same with a plugin that serialises.
func sideBySide(on running, request core.BindRequest, async bool) {
	on.t.Helper()
	if async {
		g := on.backend.hold(core.VerbBind)
		op := on.must("accepted", request)
		receive(on.t, g.entered)
		close(g.release)
		on.settles(op, "succeeded")
	} else {
		on.must("created", request)
	}
	if v := on.poll("i", "b", on.op); v.State != "in progress" {
		on.t.Errorf("the first one is %s", v.State)
	}
	on.ends("succeeded")
}
