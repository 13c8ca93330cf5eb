package core_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// TestSameRequestAgain is the rule of that name, for what is finished.
func TestSameRequestAgain(t *testing.T) {
	t.Run("done: 200 with the full body PRO-04 BND-05 C-8 A-10", func(t *testing.T) {
		r := newRig(t)
		first, err := r.b.Provision(context.Background(), put("i", false))
		if err != nil {
			t.Fatal(err)
		}
		again, err := r.b.Provision(context.Background(), put("i", true))
		if err != nil || again.Outcome != core.Unchanged {
			t.Fatalf("%v %v", again, err)
		}
		again.Outcome = first.Outcome
		if diff := cmp.Diff(first, again); diff != "" || first.DashboardURL == "" || first.Metadata.Labels == nil {
			t.Errorf("the body differs or lacks something: %+v (-first +again):\n%s", first, diff)
		}
		made, err := r.b.Bind(context.Background(), bind("i", "b", false))
		if err != nil {
			t.Fatal(err)
		}
		same, err := r.b.Bind(context.Background(), bind("i", "b", false))
		if err != nil || same.Outcome != core.Unchanged {
			t.Fatalf("%v %v", same, err)
		}
		if diff := cmp.Diff(made.Result, same.Result); diff != "" || made.Result.Credentials == nil {
			t.Errorf("the credentials differ (-first +again):\n%s", diff)
		}
	})
	t.Run("done, but different: 409 PRO-06 BND-06 C-9", func(t *testing.T) {
		r := newRig(t)
		r.must("created", put("i", false))
		for name, change := range map[string]func(*core.ProvisionRequest){
			"plan":         func(q *core.ProvisionRequest) { q.PlanID = "large" },
			"parameters":   func(q *core.ProvisionRequest) { q.Parameters = []byte(`{"size":"s"}`) },
			"organization": func(q *core.ProvisionRequest) { q.OrganizationGUID = "other" },
			"space":        func(q *core.ProvisionRequest) { q.SpaceGUID = "other" },
		} {
			q := put("i", false)
			change(&q)
			if got, _ := r.do(q); got != "conflict" {
				t.Errorf("another %s is answered %q", name, got)
			}
		}
		for name, change := range map[string]func(*core.ProvisionRequest){
			"empty parameters": func(q *core.ProvisionRequest) { q.Parameters = []byte(` { } `) },
			"null":             func(q *core.ProvisionRequest) { q.Parameters = []byte(`null`) },
			"a null in them":   func(q *core.ProvisionRequest) { q.Parameters = []byte(`{"size":null}`) },
			"another context":  func(q *core.ProvisionRequest) { q.Context = []byte(`{"platform":"x"}`) },
		} {
			q := put("i", false)
			change(&q)
			if got, _ := r.do(q); got != "unchanged" {
				t.Errorf("PRO-10: %s is answered %q", name, got)
			}
		}
	})
	failing := []struct {
		name   string
		verb   core.Verb
		before []any
		send   any
		again  string // the sync answer when it works at last
	}{
		{"provision", core.VerbProvision, nil, put("i", true), "created"},
		{"update", core.VerbUpdate, []any{put("i", false)}, patch("i", true), "done"},
		{"bind", core.VerbBind, []any{put("i", false)}, bind("i", "b", true), "created"},
		{"unbind", core.VerbUnbind, []any{put("i", false), bind("i", "b", false)}, unbind("i", "b", true), "done"},
		{"deprovision", core.VerbDeprovision, []any{put("i", false)}, del("i", true), "done"},
	}
	for _, c := range failing {
		t.Run(c.name+" failed: the same operation until somebody was told OPK-02 A-7 A-8", func(t *testing.T) {
			r := newRig(t, slow)
			for _, q := range c.before {
				r.must("created", q)
			}
			g := r.backend.hold(c.verb, fails(core.CodeFailed, "no"))
			op := r.must("accepted", c.send)
			receive(t, g.entered)
			close(g.release)
			r.until("it failed", func() bool { return r.row(op).State == core.OperationFailed })
			if again := r.must("accepted", c.send); again != op {
				t.Errorf("before anybody was told there is another operation")
			}
			row := r.row(op)
			if v := r.poll("i", row.BindingID, op); v.State != "failed" || !r.row(op).Reported {
				t.Errorf("the poll: %+v", v)
			}
			r.backend.every(c.verb, r.backend.done)
			g = r.backend.hold(c.verb)
			again := r.must("accepted", c.send)
			receive(t, g.entered)
			if again == op {
				t.Errorf("after the poll it is still the same operation")
			}
			close(g.release)
			r.settles(again, "succeeded")
		})
	}
	t.Run("failed: a different PUT waits for the DELETE PRO-06 A-2", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbProvision, fails(core.CodeFailed, "no"))
		r.must("failed", put("i", false))
		r.must("conflict", otherPut(false))
		r.must("done", del("i", false))
		r.must("created", otherPut(false))
	})
	t.Run("failed, told by an error response: the same PUT starts anew A-3", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbProvision, fails(core.CodeFailed, "no"))
		r.must("failed", put("i", false))
		first := r.latest("i", "")
		r.must("created", put("i", false))
		calls := r.backend.seen()
		last := calls[len(calls)-1]
		if len(last.Attempted) != 1 || last.Attempted[0].Operation != first.ID {
			t.Errorf("the new operation does not know the old attempt: %+v", last.Attempted)
		}
	})
}

// TestFastAnswer is the rule of that name.
func TestFastAnswer(t *testing.T) {
	t.Run("quick work is answered 201 ASY-05", func(t *testing.T) {
		newRig(t).must("created", put("i", true))
	})
	t.Run("a bind is 202 only where bindings are retrievable FB-01", func(t *testing.T) {
		r := newRig(t, slow, func(r *rig) { r.service.BindingsRetrievable = false })
		r.must("created", put("i", false))
		g := r.backend.hold(core.VerbBind)
		ch := r.background(bind("i", "b", true))
		receive(t, g.entered)
		close(g.release)
		r.wants(ch, "created")
	})
	t.Run("async: never waits ASY-06", func(t *testing.T) {
		r := newRig(t, slow, func(r *rig) { r.service.Plans[0].Async[core.VerbProvision] = core.AsyncNever })
		g := r.backend.hold(core.VerbProvision)
		ch := r.background(put("i", true))
		receive(t, g.entered)
		close(g.release)
		r.wants(ch, "created")
	})
	t.Run("the dashboard and the metadata are in the 202 PRO-15 PRO-16 MET-03", func(t *testing.T) {
		r := newRig(t, slow)
		g := r.backend.hold(core.VerbProvision)
		a, err := r.b.Provision(context.Background(), put("i", true))
		if err != nil || a.Outcome != core.Accepted || a.DashboardURL == "" || a.Metadata.Labels == nil {
			t.Errorf("%+v %v", a, err)
		}
		close(g.release)
		r.settles(a.Operation, "succeeded")
	})
}

// TestLimit is the rule "the limit".
func TestLimit(t *testing.T) {
	t.Run("the work goes on, a repeat joins it ORP-07 ASY-02", func(t *testing.T) {
		r := newRig(t)
		g := r.backend.hold(core.VerbProvision)
		late := put("i", false)
		late.Started = time.Now().Add(-2 * patience)
		r.must("still_running", late)
		receive(t, g.entered)
		ch := r.background(put("i", false))
		r.until("the repeat waits", func() bool { return core.Watchers(r.b, r.latest("i", "").ID) > 0 })
		close(g.release)
		r.wants(ch, "unchanged")
		r.wantVerbs("provision")
	})
	t.Run("a DELETE cancels it ORP-03", func(t *testing.T) {
		r := newRig(t)
		g := r.backend.hold(core.VerbProvision)
		late := put("i", false)
		late.Started = time.Now().Add(-2 * patience)
		r.must("still_running", late)
		receive(t, g.entered)
		r.must("done", del("i", false))
		r.wantVerbs("provision", "deprovision")
	})
	for _, verb := range core.Verbs {
		t.Run("async: required of "+string(verb)+" ASY-03 PRO-12 UPD-10 BND-12 UNB-07 DEP-09", func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.service.Plans[0].Async[verb] = core.AsyncRequired })
			requests := map[core.Verb]func(bool) any{
				core.VerbProvision: func(a bool) any { return put("i", a) }, core.VerbUpdate: func(a bool) any { return patch("i", a) },
				core.VerbBind: func(a bool) any { return bind("i", "b", a) }, core.VerbUnbind: func(a bool) any { return unbind("i", "b", a) },
				core.VerbDeprovision: func(a bool) any { return del("i", a) }}
			for _, v := range []core.Verb{core.VerbProvision, core.VerbBind, core.VerbUpdate, core.VerbUnbind, core.VerbDeprovision} {
				if v == verb {
					calls := len(r.backend.seen())
					r.must("AsyncRequired", requests[v](false))
					if len(r.backend.seen()) != calls {
						t.Error("ERR-08: a plugin was called")
					}
				}
				if got, _ := r.do(requests[v](v == verb)); got != "created" && got != "done" {
					t.Errorf("the %s is answered %q", v, got)
				}
			}
		})
	}
}

// TestDisconnect: the work belongs to the journal, not to the HTTP request.
func TestDisconnect(t *testing.T) {
	for _, async := range []bool{true, false} {
		r := newRig(t)
		g := r.backend.hold(core.VerbProvision)
		ctx, hangUp := context.WithCancel(context.Background())
		answered := make(chan error, 1)
		go func() {
			_, err := r.b.Provision(ctx, put("i", async))
			answered <- err
		}()
		receive(t, g.entered)
		hangUp()
		if err := receive(t, answered); core.CodeOf(err) != core.CodeStillRunning {
			t.Errorf("answered %v", err)
		}
		op := r.latest("i", "")
		if !op.Detached {
			t.Error("nobody is there any more, but the operation is not detached")
		}
		close(g.release)
		r.settles(op.ID, "succeeded")
		r.must("unchanged", put("i", false))
	}
}
