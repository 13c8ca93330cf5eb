package core_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// adoption is an operator's adopt; async is accepts_incomplete.
type adoption struct {
	core.AdoptRequest
	async bool
}

func adopt(id string, async bool) adoption {
	return adoption{core.AdoptRequest{InstanceID: id, ServiceID: "service", PlanID: "plan", OrganizationGUID: "org", SpaceGUID: "space"}, async}
}

// onlyVerbs fails the test if the plugin was called for anything else.
func (r *rig) onlyVerbs(verbs ...string) {
	r.t.Helper()
	for _, v := range r.backend.verbs() {
		if !slices.Contains(verbs, v) {
			r.t.Errorf("the plugin was called: %v", r.backend.verbs())
			return
		}
	}
}

// TestAdopt: what an adopted instance is, and what may begin one.
func TestAdopt(t *testing.T) {
	t.Run("afterwards it is like any other instance", func(t *testing.T) {
		r := newRig(t)
		r.must("created", adopt("i", false))
		r.must("unchanged", adopt("i", false))
		r.must("unchanged", put("i", false)) // the platform's own PUT, later
		r.must("conflict", otherPut(false))
		r.wantVerbs("adopt")
		call := r.backend.seen()[0]
		if call.InstanceID != "i" || object(t, call.Inputs)["bucket"] != "b-i" || len(call.Seed) != 32 {
			t.Errorf("the call is %+v", call)
		}
		r.must("created", bind("i", "b", false))
		r.must("done", patch("i", false))
		r.must("done", del("i", false))
		r.wantVerbs("adopt", "bind", "update", "check", "unbind", "deprovision")
	})
	t.Run("its name is reserved", func(t *testing.T) {
		r := newRig(t)
		named := put("other", false)
		named.Parameters = json.RawMessage(`{"bucket":"photos"}`)
		r.must("created", named)
		taken := adopt("i", false)
		taken.Parameters = named.Parameters
		r.must("conflict", taken)
		r.wantVerbs("provision")
		if r.instance("i") != nil {
			t.Error("a row is left")
		}
		r.must("created", adopt("i", false))
		named.InstanceID, named.Parameters = "third", json.RawMessage(`{"bucket":"b-i"}`)
		r.must("conflict", named)
	})
	for name, tc := range map[string]struct {
		why    string
		change func(*adoption)
		want   string
	}{
		"plan":       {"the catalog does not have it", func(q *adoption) { q.PlanID = "none" }, "invalid_input"},
		"parameters": {"the schema holds as for a PUT", func(q *adoption) { q.Parameters = json.RawMessage(`{"unknown":"x"}`) }, "invalid_input"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			q := adopt("i", false)
			tc.change(&q)
			r.must(tc.want, q)
			if len(r.backend.seen()) > 0 || r.instance("i") != nil {
				t.Errorf("it had an effect: %s", tc.why)
			}
		})
	}
	t.Run("without the capability", func(t *testing.T) {
		r := newRig(t)
		r.backend.desc.Capabilities = nil
		r.must("unprocessable", adopt("i", false))
		if r.instance("i") != nil {
			t.Error("a row is left")
		}
	})
	t.Run("a PUT and an adopt join each other", func(t *testing.T) {
		r := newRig(t, slow)
		g := r.backend.hold(core.VerbAdopt)
		op := r.must("accepted", adopt("i", true))
		receive(t, g.entered)
		if again := r.must("accepted", adopt("i", true)); again != op {
			t.Errorf("the same adopt again is %s", again)
		}
		if again := r.must("accepted", put("i", true)); again != op {
			t.Errorf("the platform's PUT is %s", again)
		}
		close(g.release)
		r.settles(op, "succeeded")
		r.wantVerbs("adopt")
	})
	t.Run("not while the instance is being deleted", func(t *testing.T) {
		on := start(newRig(t, slow), core.VerbDeprovision)
		on.must("ConcurrencyError", adopt("i", false))
	})
}

// TestAdoptIsNeverUndone: until an adopt has succeeded, what was to be adopted is not the
// broker's, so nothing may lead to a Deprovision, which would remove it.
func TestAdoptIsNeverUndone(t *testing.T) {
	ctx, by := context.Background(), core.Caller{User: "op", RequestID: "r"}
	left := func(t *testing.T, r *rig) {
		t.Helper()
		op := r.latest("i", "")
		if op.Verb != core.VerbDeprovision || len(op.Left) != 1 {
			t.Errorf("the deprovision leaves %q", op.Left)
		}
		r.onlyVerbs("adopt")
		if r.instance("i") != nil {
			t.Error("the row is left")
		}
	}
	for code, want := range map[core.ErrorCode]string{core.CodeConflict: "conflict", core.CodeInvalid: "invalid_input", core.CodeNotFound: "invalid_input"} {
		t.Run("refused: nothing is left to be undone, "+string(code), func(t *testing.T) {
			r := newRig(t)
			r.backend.on(core.VerbAdopt, pends("looked"), fails(code, "another's"))
			r.must(want, adopt("i", false))
			r.wantVerbs("adopt", "adopt")
			if r.instance("i") != nil {
				t.Error("the row is left")
			}
			r.must("gone", del("i", false))
			r.must("created", adopt("i", false))
		})
	}
	t.Run("failed: DELETE forgets", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbAdopt, pends("marked"), fails(core.CodeFailed, "no"))
		r.must("failed", adopt("i", false))
		a := r.instance("i").Attempted
		if len(a) != 1 || a[0].Verb != core.VerbAdopt || string(a[0].Handle) != "marked" {
			t.Errorf("the attempt is %+v", a)
		}
		r.must("done", del("i", false))
		left(t, r)
	})
	t.Run("failed: an adopt goes on, a PUT does not", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbAdopt, pends("marked"), fails(core.CodeFailed, "no"))
		r.must("failed", adopt("i", false))
		r.must("conflict", put("i", false)) // its failure would be undone by a Deprovision
		other := adopt("i", false)
		other.PlanID = "large"
		r.must("conflict", other)
		r.must("created", adopt("i", false))
		if calls := r.backend.seen(); len(calls[2].Attempted) != 1 {
			t.Errorf("the repeat gets %+v", calls[2])
		}
		r.must("unchanged", put("i", false))
	})
	t.Run("failed, then refused: the first attempt is not forgotten", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbAdopt, fails(core.CodeFailed, "no"), fails(core.CodeConflict, "another's"))
		r.must("failed", adopt("i", false))
		r.must("conflict", adopt("i", false))
		if r.instance("i") == nil {
			t.Fatal("the row is gone")
		}
		r.must("done", del("i", false))
		left(t, r)
	})
	t.Run("failed PUT: no adopt goes on with what it made", func(t *testing.T) {
		r := newRig(t)
		r.backend.on(core.VerbProvision, fails(core.CodeFailed, "no"))
		r.must("failed", put("i", false))
		r.must("conflict", adopt("i", false))
		r.must("done", del("i", false))
		r.must("created", adopt("i", false))
	})
	t.Run("DELETE while it runs", func(t *testing.T) {
		r := newRig(t, slow)
		g := r.backend.hold(core.VerbAdopt)
		r.must("accepted", adopt("i", true))
		receive(t, g.entered)
		r.do(del("i", true)) // accepted, or done already: there is nothing to call
		r.until("it is deleted", func() bool { return r.instance("i") == nil })
		left(t, r)
	})
	t.Run("DELETE, and the call is done nevertheless", func(t *testing.T) {
		r := newRig(t, slow)
		entered, release := make(chan struct{}), make(chan struct{})
		r.backend.on(core.VerbAdopt, func(ctx context.Context, call core.Call, p func(core.Progress)) (core.Result, error) {
			close(entered)
			<-release
			return r.backend.done(ctx, call, p)
		})
		r.must("accepted", adopt("i", true))
		receive(t, entered)
		op := r.must("accepted", del("i", true))
		close(release)
		r.settles(op, "succeeded")
		left(t, r)
	})
	t.Run("cancel, abandon, retry", func(t *testing.T) {
		r := newRig(t, slow)
		g := r.backend.hold(core.VerbAdopt)
		op := r.must("accepted", adopt("i", true))
		receive(t, g.entered)
		if err := r.b.Cancel(ctx, by, op); err != nil {
			t.Fatal(err)
		}
		r.settles(op, "failed")
		g = r.backend.hold(core.VerbAdopt)
		op, err := r.b.Retry(ctx, by, op)
		if err != nil {
			t.Fatal(err)
		}
		receive(t, g.entered)
		if err := r.b.Abandon(ctx, by, op); err != nil {
			t.Fatal(err)
		}
		r.settles(op, "failed")
		if op, err = r.b.Retry(ctx, by, op); err != nil {
			t.Fatal(err)
		}
		r.settles(op, "succeeded")
		r.wantVerbs("adopt", "adopt", "adopt")
	})
	t.Run("queued binds fail with it", func(t *testing.T) {
		r := newRig(t, slow)
		g := r.backend.hold(core.VerbAdopt, fails(core.CodeFailed, "no"))
		r.must("accepted", adopt("i", true))
		receive(t, g.entered)
		op := r.must("accepted", bind("i", "b", true))
		close(g.release)
		r.settles(op, "failed")
		r.must("done", del("i", false))
		left(t, r)
	})
}

func object(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	m, err := core.JSONObject(raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestInventory: what the store knows of the things that a plugin found.
func TestInventory(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	r.must("created", put("i", false))
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	r.backend.pages = map[string]core.FoundPage{
		"": {Next: "two", Found: []core.Found{
			{Name: "b-i", InstanceID: "i", Marked: true, Attributes: raw(`{"size":3}`)},
			{Name: "b-gone", InstanceID: "gone", Marked: true},
			{Name: "unreadable", Marked: true, Inputs: raw(`{"bucket":"unreadable"}`)},
		}},
		"two": {Found: []core.Found{
			{Name: "b-i", Inputs: raw(`{"bucket":"b-i"}`)},
			{Name: "b-i marked", Marked: true, Inputs: raw(`{"bucket":"b-i"}`)},
			{Name: "nobody's", Inputs: raw(`{"bucket":"photos"}`)},
			{Name: "nameless"},
		}},
	}
	pages := func(free core.InventoryState) {
		t.Helper()
		first, err := r.b.Inventory(ctx, "backend", "")
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.b.Inventory(ctx, "backend", first.Next)
		if err != nil {
			t.Fatal(err)
		}
		want := []core.InventoryPage{{Next: "two", Items: []core.InventoryItem{
			{Name: "b-i", State: core.InventoryKnown, InstanceID: "i", Attributes: raw(`{"size":3}`)},
			{Name: "b-gone", State: core.InventoryOrphan, InstanceID: "gone"},
			{Name: "unreadable", State: core.InventoryOrphan, Inputs: raw(`{"bucket":"unreadable"}`)},
		}}, {Items: []core.InventoryItem{
			{Name: "b-i", State: core.InventoryKnown, InstanceID: "i", Inputs: raw(`{"bucket":"b-i"}`)},
			{Name: "b-i marked", State: core.InventoryKnown, InstanceID: "i", Inputs: raw(`{"bucket":"b-i"}`)},
			{Name: "nobody's", State: free, Inputs: raw(`{"bucket":"photos"}`)},
			{Name: "nameless", State: free},
		}}}
		if diff := cmp.Diff(want, []core.InventoryPage{first, second}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	pages(core.InventoryAdoptable)
	r.backend.desc.Capabilities = []string{core.CapabilityList}
	pages(core.InventoryForeign)
	if _, err := r.b.Inventory(ctx, "backend", "three"); core.CodeOf(err) != core.CodeInvalid {
		t.Errorf("the plugin's refusal is %v", err)
	}
	if _, err := r.b.Inventory(ctx, "none", ""); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("an unknown backend: %v", err)
	}
	r.backend.desc.Capabilities = nil
	if _, err := r.b.Inventory(ctx, "backend", ""); core.CodeOf(err) != core.CodeUnprocessable {
		t.Errorf("without the capability: %v", err)
	}
}

// TestInspect: the plugin's word, and the outputs compared with those that are stored.
func TestInspect(t *testing.T) {
	ctx := context.Background()
	r := newRig(t)
	versioning := core.Drift{Pointer: "/versioning", Message: "it is off"}
	var asked core.InspectCall
	r.backend.inspect = func(call core.InspectCall) (core.Inspection, error) {
		asked = call
		return core.Inspection{Exists: true, Outputs: json.RawMessage(`{"host":"elsewhere","port":1}`), Drift: []core.Drift{versioning}}, nil
	}
	if _, err := r.b.Inspect(ctx, "i"); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("an unknown instance: %v", err)
	}
	r.must("created", put("i", false))
	got, err := r.b.Inspect(ctx, "i")
	if err != nil {
		t.Fatal(err)
	}
	want := core.InspectReport{InstanceID: "i", Backend: "backend", Exists: true, Drift: []core.Drift{versioning,
		{Message: "The output host is not what it was when it was applied; an update renews it."},
		{Message: "The output port is not what it was when it was applied; an update renews it."}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if asked.InstanceID != "i" || asked.Backend != "backend" || string(asked.Applied.Inputs) != string(r.instance("i").Applied.Inputs) || len(asked.Secrets) == 0 {
		t.Errorf("the plugin was asked %+v", asked)
	}
	r.backend.inspect = func(core.InspectCall) (core.Inspection, error) { return core.Inspection{}, nil }
	if got, err := r.b.Inspect(ctx, "i"); err != nil || got.Exists || len(got.Drift) != 0 {
		t.Errorf("of what does not exist: %+v %v", got, err)
	}
	r.backend.inspect = func(core.InspectCall) (core.Inspection, error) {
		return core.Inspection{}, core.Errorf(core.CodeUnavailable, "not now")
	}
	if _, err := r.b.Inspect(ctx, "i"); core.CodeOf(err) != core.CodeUnavailable {
		t.Errorf("the plugin's failure: %v", err)
	}
	r.backend.desc.Capabilities = nil
	if _, err := r.b.Inspect(ctx, "i"); core.CodeOf(err) != core.CodeUnprocessable {
		t.Errorf("without the capability: %v", err)
	}
	on := start(newRig(t, slow), core.VerbUpdate)
	if _, err := on.b.Inspect(ctx, "i"); core.CodeOf(err) != core.CodeConcurrency {
		t.Errorf("while it is updated: %v", err)
	}
}
