package core_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// TestUpdate covers section 10 of the checklist on the core's side.
func TestUpdate(t *testing.T) {
	cases := []struct {
		name, why string
		change    func(*core.Service)
		request   func(*core.UpdateRequest)
		want      string
		called    bool
		params    string // afterwards
		plan      string
	}{
		{name: "UPD-01 parameters are merged by top-level key", why: "a PATCH must not fall back to defaults", want: "done", called: true,
			params: `{"bucket":"mine","size":"big"}`},
		{name: "UPD-01 null removes", why: "JSON merge patch", want: "done", called: true, params: `{}`,
			request: func(q *core.UpdateRequest) { q.Parameters = []byte(`{"bucket":null}`) }},
		{name: "UPD-01 nothing would change", why: "200 without a call", want: "unchanged", params: `{"bucket":"mine"}`,
			request: func(q *core.UpdateRequest) { q.Parameters = []byte(`{"bucket":"mine"}`) }},
		{name: "UPD-04 unknown service", why: "catalog", want: "invalid_input", params: `{"bucket":"mine"}`,
			request: func(q *core.UpdateRequest) { q.ServiceID = "none" }},
		{name: "UPD-05 unknown plan", why: "catalog", want: "invalid_input", params: `{"bucket":"mine"}`,
			request: func(q *core.UpdateRequest) { q.PlanID = "none" }},
		{name: "UPD-06 UPD-07 another plan, the parameters stay", why: "plan change", want: "done", called: true, params: `{"bucket":"mine"}`, plan: "large",
			request: func(q *core.UpdateRequest) { q.PlanID, q.Parameters = "large", nil }},
		{name: "UPD-08 bad parameters", why: "schema", want: "invalid_input", params: `{"bucket":"mine"}`,
			request: func(q *core.UpdateRequest) { q.Parameters = []byte(`{"color":"red","size":3}`) }},
		{name: "UPD-09 UPD-22 the current plan is not updateable", why: "the current plan decides", want: "unprocessable", params: `{"bucket":"mine"}`,
			change:  func(s *core.Service) { s.Plans[0].PlanUpdateable = false },
			request: func(q *core.UpdateRequest) { q.PlanID, q.Parameters = "large", nil }},
		{name: "UPD-22 the target need not be updateable", why: "the current plan decides", want: "done", called: true, params: `{"bucket":"mine"}`, plan: "large",
			change:  func(s *core.Service) { s.Plans[1].PlanUpdateable = false },
			request: func(q *core.UpdateRequest) { q.PlanID, q.Parameters = "large", nil }},
		{name: "UPD-11 another maintenance version", why: "the platform's catalog is old", want: "MaintenanceInfoConflict", params: `{"bucket":"mine"}`,
			request: func(q *core.UpdateRequest) { q.Maintenance.Version = "9.0.0" }},
		{name: "UPD-13 a context alone", why: "the service allows it", want: "done", called: true, params: `{"bucket":"mine"}`,
			request: func(q *core.UpdateRequest) { q.Parameters, q.Context = nil, []byte(`{"instance_name":"new"}`) }},
		{name: "UPD-13 a context alone that is not allowed", why: "taken for done, it would be lost", want: "unprocessable", params: `{"bucket":"mine"}`,
			change:  func(s *core.Service) { s.AllowContextUpdates = false },
			request: func(q *core.UpdateRequest) { q.Parameters, q.Context = nil, []byte(`{"instance_name":"new"}`) }},
		{name: "UPD-13 the same context alone, not allowed", why: "it is as asked for", want: "unchanged", params: `{"bucket":"mine"}`,
			change:  func(s *core.Service) { s.AllowContextUpdates = false },
			request: func(q *core.UpdateRequest) { q.Parameters, q.Context = nil, []byte(`{}`) }},
		{name: "UPD-13 a context beside parameters, not allowed", why: "platforms send it with everything", want: "done", called: true,
			params:  `{"bucket":"mine","size":"big"}`,
			change:  func(s *core.Service) { s.AllowContextUpdates = false },
			request: func(q *core.UpdateRequest) { q.Context = []byte(`{"instance_name":"new"}`) }},
		{name: "UPD-21 C-7 unknown instance", why: "404", want: "not_found", params: `{"bucket":"mine"}`,
			request: func(q *core.UpdateRequest) { q.InstanceID = "never" }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(r *rig) {
				if c.change != nil {
					c.change(r.service)
				}
			})
			first := put("i", false)
			first.Parameters = []byte(`{"bucket":"mine"}`)
			r.must("created", first)
			q := patch("i", false)
			if c.request != nil {
				c.request(&q)
			}
			if got, _ := r.do(q); got != c.want {
				t.Errorf("%s: answered %q, want %q", c.why, got, c.want)
			}
			if got := len(r.backend.seen()) == 2; got != c.called {
				t.Errorf("%s: called is %v", c.why, got)
			}
			inst := r.instance("i")
			plan := c.plan
			if plan == "" {
				plan = "plan"
			}
			if diff := cmp.Diff([]string{c.params, plan}, []string{string(inst.Parameters), inst.PlanID}); diff != "" {
				t.Errorf("the instance (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMaintenance: an update with only maintenance_info performs it.
func TestMaintenance(t *testing.T) {
	r := newRig(t)
	r.must("created", put("i", false))
	next := newService()
	next.Plans[0].MaintenanceInfo = &core.MaintenanceInfo{Version: "2.0.0"}
	r.shelf.put(nil, next)
	q := patch("i", false)
	q.Parameters, q.Maintenance.Version = nil, "2.0.0"
	r.must("done", q)
	r.must("unchanged", q)
	view, err := r.b.Instance(context.Background(), "i")
	if err != nil || view.MaintenanceVersion != "2.0.0" {
		t.Errorf("UPD-12 FI-06: %+v %v", view, err)
	}
	p := put("n", false)
	p.Maintenance.Version = "1.0.0"
	r.must("MaintenanceInfoConflict", p) // PRO-13
}

// TestFailedUpdate: applied stays, what the plugin said of usability is told, a repair works.
func TestFailedUpdate(t *testing.T) {
	no := false
	r := newRig(t, slow)
	r.must("created", put("i", false))
	g := r.backend.hold(core.VerbUpdate, func(context.Context, core.Call, func(core.Progress)) (core.Result, error) {
		return core.Result{}, &core.Error{Code: core.CodeFailed, Message: "broken", Backend: true, InstanceUsable: &no, UpdateRepeatable: &no}
	})
	op := r.must("accepted", patch("i", true))
	receive(t, g.entered)
	close(g.release)
	v := r.settled("i", "", op)
	if v.InstanceUsable == nil || *v.InstanceUsable || v.UpdateRepeatable == nil || *v.UpdateRepeatable {
		t.Errorf("LOI-08 UPD-16: the poll says %+v", v)
	}
	if inst := r.instance("i"); string(inst.Parameters) != "{}" || inst.Usable || len(inst.Attempted) != 1 {
		t.Errorf("UPD-15: the instance is %+v", inst)
	}
	r.must("unprocessable", bind("i", "b", false))
	r.must("done", patch("i", false))
	calls := r.backend.seen()
	if repair := calls[len(calls)-1]; len(repair.Attempted) != 1 || repair.Instance.Inputs == nil {
		t.Errorf("UPD-17: the repair gets %+v", repair)
	}
	r.must("created", bind("i", "b", false))
}

// TestPinned: an operation does what was accepted, whatever the catalog says by now.
func TestPinned(t *testing.T) {
	r := newRig(t, slow)
	r.backend.on(core.VerbProvision, pends("one"))
	g := r.backend.hold(core.VerbProvision)
	op := r.must("accepted", put("i", true))
	receive(t, g.entered)
	changed := newService()
	changed.Plans[0].Provision = form(func(core.TemplateData) (any, error) { return map[string]any{"bucket": "changed"}, nil })
	changed.Plans[0].Timeouts[core.VerbProvision] = 1
	r.shelf.put(nil, changed)
	r.restart()
	r.settles(op, "succeeded")
	calls := r.backend.seen()
	if diff := cmp.Diff(string(calls[0].Inputs), string(calls[len(calls)-1].Inputs)); diff != "" {
		t.Errorf("the resumed operation has other inputs (-first +last):\n%s", diff)
	}
	// Retired plans still serve their instances, but take no new ones.
	old := newPlan("plan")
	old.Service = changed
	changed2 := newService()
	changed2.Plans = changed2.Plans[1:]
	r.shelf.put([]*core.Plan{old}, changed2)
	r.must("invalid_input", put("n", false))
	r.must("unchanged", put("i", false))
	r.must("created", bind("i", "b", false))
	r.must("done", patch("i", false))
	r.must("done", unbind("i", "b", false))
	r.must("done", del("i", false))
}
