package core_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// TestBadRequests: bad input is refused with all that is wrong, and changes nothing.
func TestBadRequests(t *testing.T) {
	r := newRig(t, func(r *rig) { r.service.Plans[1].RequiresApp = true; r.service.Plans[1].Bindable = true })
	r.must("created", put("i", false))
	before := len(r.backend.seen())
	with := func(q core.ProvisionRequest, f func(*core.ProvisionRequest)) any { f(&q); return q }
	cases := []struct {
		name    string
		request any
		want    string
	}{
		{"PRO-08 unknown service", with(put("n", false), func(q *core.ProvisionRequest) { q.ServiceID = "none" }), "invalid_input"},
		{"PRO-08 unknown plan", with(put("n", false), func(q *core.ProvisionRequest) { q.PlanID = "none" }), "invalid_input"},
		{"PRO-09 unknown parameter", with(put("n", false), func(q *core.ProvisionRequest) { q.Parameters = []byte(`{"x":1}`) }), "invalid_input"},
		{"PRO-13 maintenance", with(put("n", false), func(q *core.ProvisionRequest) { q.Maintenance.Version = "0.1.0" }), "MaintenanceInfoConflict"},
		{"BND-08 the instance has another plan", func() any { q := bind("i", "b", false); q.PlanID = "large"; q.AppGUID = "app"; return q }(), "invalid_input"},
		{"BND-08 unknown service", func() any { q := bind("i", "b", false); q.ServiceID = "none"; return q }(), "invalid_input"},
		{"BND-10 no application", func() any { q := bind("i", "b", false); q.PlanID = "large"; return q }(), "RequiresApp"},
		{"BND-13 unknown parameter", func() any { q := bind("i", "b", false); q.Parameters = []byte(`{"x":1}`); return q }(), "invalid_input"},
		{"BND-26 C-7 unknown instance", bind("never", "b", false), "not_found"},
		{"FB-08 UNB-06 the binding of another instance", unbind("never", "b", false), "gone"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			r.must(c.want, c.request)
			if len(r.backend.seen()) != before || r.instance("n") != nil || r.binding("i", "b") != nil || r.unfinished() != 0 {
				t.Error("something changed")
			}
		})
	}
	r.t = t
	bad := put("n", false)
	bad.Parameters = []byte(`{"a":1,"size":2,"zone":3}`)
	_, err := r.b.Provision(context.Background(), bad)
	var pointers []string
	for _, v := range core.AsError(err).Violations {
		pointers = append(pointers, v.Pointer)
	}
	if diff := cmp.Diff([]string{"/parameters/a", "/parameters/size", "/parameters/zone"}, pointers); diff != "" {
		t.Errorf("PRO-09 ERR-10: all violations at once (-want +got):\n%s", diff)
	}
}

// TestUnbindable: BND-01.
func TestUnbindable(t *testing.T) {
	r := newRig(t, func(r *rig) { r.service.Plans[0].Bindable = false })
	r.must("created", put("i", false))
	r.must("invalid_input", bind("i", "b", false))
}

// TestBindingCarries: what a bind gives, and that it is its own.
func TestBindingCarries(t *testing.T) {
	r := newRig(t, func(r *rig) {
		p := r.service.Plans[0]
		r.service.Requires = []string{"volume_mount"}
		list := func(core.TemplateData) (any, error) {
			return []any{map[string]any{"host": "h", "ports": []any{"443"}}}, nil
		}
		p.Endpoints, p.VolumeMounts = form(list), form(list)
		p.SyslogDrainURL = form(func(core.TemplateData) (any, error) { return "syslog://x", nil })
		p.ExpiresAt = form(func(core.TemplateData) (any, error) { return "2999-01-02T03:04:05+01:00", nil })
		p.RenewBefore = form(func(core.TemplateData) (any, error) { return "2998-01-02T03:04:05.678Z", nil })
	})
	r.must("created", put("i", false))
	seen := map[string]bool{}
	for _, id := range []string{"b", "c"} {
		a, err := r.b.Bind(context.Background(), bind("i", id, false))
		if err != nil {
			t.Fatal(err)
		}
		if a.Result.ExpiresAt != "2999-01-02T02:04:05.0Z" || a.Result.RenewBefore != "2998-01-02T03:04:05.6Z" {
			t.Errorf("BND-19 BND-20 BND-21: %q %q", a.Result.ExpiresAt, a.Result.RenewBefore)
		}
		if a.Result.Endpoints == nil || a.Result.VolumeMounts == nil || a.Result.SyslogDrainURL != "" {
			t.Errorf("BND-18 BND-23 BND-25 FB-04: %+v", a.Result)
		}
		var c map[string]string
		if err := json.Unmarshal(a.Result.Credentials, &c); err != nil || len(c["token"]) != 16 {
			t.Errorf("BND-14: %v %v", c, err)
		}
		if seen[c["token"]] || seen[c["key"]] {
			t.Error("BND-15: two bindings share something")
		}
		seen[c["token"]], seen[c["key"]] = true, true
	}
}

// TestRotation covers the ROT numbers.
func TestRotation(t *testing.T) {
	rotate := func(id, old string, async bool) core.BindRequest {
		return core.BindRequest{Caller: caller(async), InstanceID: "i", BindingID: id, Predecessor: old}
	}
	r := newRig(t, slow)
	r.must("created", put("i", false))
	first := bind("i", "old", false)
	first.Parameters = []byte(`{"access":"ro"}`)
	r.must("created", first)
	t.Run("ROT-01 ROT-02 ROT-03 ROT-06", func(t *testing.T) {
		r.t = t
		g := r.backend.hold(core.VerbBind)
		op := r.must("accepted", rotate("new", "old", true))
		if again := r.must("accepted", rotate("new", "old", true)); again != op {
			t.Error("the same rotation again is another operation")
		}
		close(g.release)
		r.settles(op, "succeeded")
		calls := r.backend.seen()
		if last := calls[len(calls)-1]; string(last.Inputs) != `{"access":"ro"}` {
			t.Errorf("the parameters do not carry over: %s", last.Inputs)
		}
		if _, keys := r.backend.exists(); len(keys) != 2 {
			t.Errorf("both must be valid: %v", keys)
		}
		r.must("unchanged", rotate("new", "old", false))
		r.must("conflict", bind("i", "new", false)) // the same id by a plain bind
		r.must("done", unbind("i", "old", false))
		r.must("unchanged", rotate("new", "old", false)) // the predecessor may be gone by then
	})
	t.Run("ROT-04 unknown predecessor", func(t *testing.T) { r.t = t; r.must("invalid_input", rotate("x", "never", false)) })
	t.Run("ROT-07 unknown instance", func(t *testing.T) {
		r.t = t
		q := rotate("x", "new", false)
		q.InstanceID = "never"
		r.must("not_found", q)
	})
	t.Run("ROT-05 not rotatable", func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.service.Plans[0].BindingRotatable = false })
		r.must("created", put("i", false))
		r.must("created", bind("i", "old", false))
		r.must("invalid_input", rotate("x", "old", false))
	})
	t.Run("ROT-04 BND-22 expired", func(t *testing.T) {
		r := newRig(t, func(r *rig) {
			r.service.Plans[0].ExpiresAt = form(func(core.TemplateData) (any, error) { return "2001-01-01T00:00:00Z", nil })
		})
		r.must("created", put("i", false))
		r.must("created", bind("i", "old", false))
		r.must("invalid_input", rotate("x", "old", false))
	})
	t.Run("ROT-02 what carries over must fit the plan of today", func(t *testing.T) {
		r := newRig(t)
		r.must("created", put("i", false))
		q := bind("i", "old", false)
		q.Parameters = []byte(`{"access":"ro"}`)
		r.must("created", q)
		next := newService()
		next.Plans[0].SchemaBind = fields{known: []string{"mode"}}
		r.shelf.put(nil, next)
		_, err := r.b.Bind(context.Background(), rotate("x", "old", false))
		e := core.AsError(err)
		if e.Code != core.CodeInvalid || len(e.Violations) != 1 || e.Violations[0].Pointer != "/parameters/access" {
			t.Errorf("not refused with a pointer: %+v", e)
		}
		if r.binding("i", "x") != nil {
			t.Error("something is left")
		}
		app := newService()
		app.Plans[0].RequiresApp = true
		r.shelf.put(nil, app)
		r.must("RequiresApp", rotate("x", "old", false))
	})
	t.Run("ROT-06 async required", func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.service.Plans[0].Async[core.VerbBind] = core.AsyncRequired })
		r.must("created", put("i", false))
		r.must("created", bind("i", "old", true))
		r.must("AsyncRequired", rotate("x", "old", false))
	})
}

// TestFetch covers FI and FB.
func TestFetch(t *testing.T) {
	get := func(r *rig) (string, string) {
		_, ierr := r.b.Instance(context.Background(), "i")
		_, berr := r.b.Binding(context.Background(), "i", "b")
		return string(core.CodeOf(ierr)), string(core.CodeOf(berr))
	}
	cases := []struct {
		runs              core.Verb
		instance, binding string
		covers            string
	}{
		{core.VerbProvision, "not_found", "not_found", "FI-02"},
		{core.VerbUpdate, "ConcurrencyError", "not_found", "FI-03"},
		{core.VerbBind, "", "not_found", "FB-02"},
		{core.VerbUnbind, "", "not_found", "FB-09"},
		{core.VerbDeprovision, "ConcurrencyError", "", "FI-09"},
	}
	for _, c := range cases {
		t.Run("while "+string(c.runs)+" runs "+c.covers, func(t *testing.T) {
			on := start(newRig(t, slow), c.runs)
			if i, b := get(on.rig); i != c.instance || b != c.binding {
				t.Errorf("instance %q, binding %q, want %q and %q", i, b, c.instance, c.binding)
			}
			on.ends("succeeded")
			i, b := get(on.rig)
			if c.runs == core.VerbDeprovision && (i != "not_found" || b != "not_found") {
				t.Errorf("after it: %q %q", i, b)
			}
			if c.runs == core.VerbProvision && i != "" || c.runs == core.VerbBind && b != "" {
				t.Errorf("FI-01 FB-01 LOI-11 LOB-08: at once after succeeded: %q %q", i, b)
			}
		})
	}
	t.Run("without secrets FI-05 FB-06 FI-08", func(t *testing.T) {
		r := newRig(t)
		p := put("i", false)
		p.Parameters = []byte(`{"password":"hunter2","size":"x"}`)
		r.must("created", p)
		q := bind("i", "b", false)
		q.Parameters = []byte(`{"pin":"1234"}`)
		r.must("created", q)
		inst, err := r.b.Instance(context.Background(), "i")
		if err != nil || string(inst.Parameters) != `{"size":"x"}` || inst.PlanID != "plan" || inst.DashboardURL == "" {
			t.Errorf("%+v %v", inst, err)
		}
		row, err := r.b.Binding(context.Background(), "i", "b")
		if err != nil || string(row.Parameters) != `{}` || row.Result.Credentials == nil {
			t.Errorf("FB-03: %+v %v", row, err)
		}
		if _, err := r.b.Binding(context.Background(), "other", "b"); core.CodeOf(err) != core.CodeNotFound {
			t.Errorf("FB-08: %v", err)
		}
	})
	t.Run("not retrievable", func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.service.InstancesRetrievable, r.service.BindingsRetrievable = false, false })
		r.must("created", put("i", false))
		r.must("created", bind("i", "b", false))
		if i, b := get(r); i != "invalid_input" || b != "invalid_input" {
			t.Errorf("%q %q", i, b)
		}
	})
}

// TestPoll covers LOI and LOB.
func TestPoll(t *testing.T) {
	r := newRig(t, slow)
	if _, err := r.b.Poll(context.Background(), core.PollRequest{InstanceID: "never"}); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("LOI-02: %v", err)
	}
	if _, err := r.b.Poll(context.Background(), core.PollRequest{InstanceID: "never", BindingID: "b"}); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("LOB-02: %v", err)
	}
	r.must("created", put("other", false))
	foreign := r.latest("other", "").ID
	g := r.backend.hold(core.VerbProvision, func(context.Context, core.Call, func(core.Progress)) (core.Result, error) {
		return core.Result{Pending: &core.Pending{Handle: []byte("h"), RetryAfter: 1500 * time.Millisecond, Text: "copying"}}, nil
	})
	op := r.must("accepted", put("i", true))
	receive(t, g.entered)
	for _, words := range []string{op, "", "provision", foreign} {
		if v := r.poll("i", "", words); v.State != "in progress" || v.Verb != core.VerbProvision || v.RetryAfter != 2*time.Second {
			t.Errorf("LOI-01 LOI-05 LOI-09 A-15: the poll of %q says %+v", words, v)
		}
	}
	close(g.release)
	r.until("the plugin's words are told", func() bool { return strings.Contains(r.poll("i", "", op).Description, "copying") })
	r.settles(op, "succeeded")
	r.restart()
	for range 2 {
		if v := r.poll("i", "", op); v.State != "succeeded" || v.InstanceUsable != nil {
			t.Errorf("LOI-10: %+v", v)
		}
	}
	if v := r.poll("i", "", "foreign"); v.State != "succeeded" {
		t.Errorf("A-15: %+v", v)
	}
}

// TestPollOfRefused: what was refused with a 4xx has never been, to a poll.
func TestPollOfRefused(t *testing.T) {
	poll := func(r *rig, binding, operation string) string {
		v, err := r.b.Poll(context.Background(), core.PollRequest{Caller: caller(true), InstanceID: "i", BindingID: binding, Operation: operation})
		if err != nil {
			return string(core.CodeOf(err))
		}
		return string(v.Verb) + " " + v.State
	}
	t.Run("LOI-02 ERR-08 provision", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbProvision, fails(core.CodeInvalid, "no such region"))
		r.must("invalid_input", put("i", false))
		for _, op := range []string{"", r.latest("i", "").ID} {
			if got := poll(r, "", op); got != "not_found" {
				t.Errorf("a poll of %q says %q", op, got)
			}
		}
	})
	t.Run("LOI-10 ERR-08 what was before is still told", func(t *testing.T) {
		r := newRig(t)
		r.must("created", put("i", false))
		r.must("done", del("i", false))
		r.backend.on(core.VerbProvision, fails(core.CodeInvalid, "no such region"))
		r.must("invalid_input", put("i", false))
		if got := poll(r, "", ""); got != "deprovision succeeded" {
			t.Errorf("a poll says %q", got)
		}
	})
	t.Run("LOB-02 ERR-08 bind", func(t *testing.T) {
		r := newRig(t)
		r.must("created", put("i", false))
		r.backend.on(core.VerbBind, fails(core.CodeInvalid, "no such user"))
		r.must("invalid_input", bind("i", "b", false))
		if got := poll(r, "b", ""); got != "not_found" {
			t.Errorf("a poll says %q", got)
		}
	})
	t.Run("LOI-10 whoever was told 202 is told the failure", func(t *testing.T) {
		r := newRig(t, slow)
		g := r.backend.hold(core.VerbProvision, fails(core.CodeInvalid, "no such region"))
		op := r.must("accepted", put("i", true))
		close(g.release)
		r.settles(op, "failed")
		for range 2 {
			if got := poll(r, "", op); got != "provision failed" {
				t.Errorf("a poll says %q", got)
			}
		}
	})
}
