package core_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// TestTemplatesThatFail: what cannot be rendered leaves nothing behind, whenever it is noticed.
func TestTemplatesThatFail(t *testing.T) {
	invalid := form(func(core.TemplateData) (any, error) {
		return nil, core.Errorf(core.CodeInvalid, "bucket must be lower case")
	})
	broken := form(func(core.TemplateData) (any, error) { return nil, errors.New("line 7: no such name") })
	list := form(func(core.TemplateData) (any, error) { return []any{"a list"}, nil })
	for name, c := range map[string]struct {
		template core.Template
		want     string
	}{"the user's fault": {invalid, "invalid_input"}, "the catalog's": {broken, "failed"}, "the wrong type": {list, "failed"}} {
		t.Run("provision, "+name+" ERR-08", func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.service.Plans[0].Provision = c.template })
			r.must(c.want, put("i", true))
			if r.instance("i") != nil || r.latest("i", "") != nil || len(r.backend.seen()) > 0 {
				t.Error("something is left")
			}
		})
		t.Run("bind, "+name+" BND-30", func(t *testing.T) {
			r := newRig(t, func(r *rig) { r.service.Plans[0].Bind = c.template })
			r.must("created", put("i", false))
			r.must(c.want, bind("i", "b", true))
			if r.binding("i", "b") != nil {
				t.Error("a row is left")
			}
		})
		t.Run("a queued bind, "+name+" BND-30", func(t *testing.T) {
			for _, async := range []bool{true, false} {
				on := start(newRig(t, slow, func(r *rig) { r.service.Plans[0].Bind = c.template }), core.VerbProvision)
				if async {
					op := on.must("accepted", bind("i", "b", true))
					on.ends("succeeded")
					on.settles(op, "failed")
				} else {
					ch := on.background(bind("i", "b", false))
					on.until("it is queued", func() bool { return on.latest("i", "b") != nil })
					on.ends("succeeded")
					on.wants(ch, c.want)
					if on.binding("i", "b") != nil {
						t.Error("a row is left")
					}
				}
				on.wantVerbs("provision")
			}
		})
	}
	t.Run("a deprovision or unbind template that fails stops nothing DEP-01 UNB-01", func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.service.Plans[0].Deprovision, r.service.Plans[0].Unbind = broken, broken })
		r.must("created", put("i", false))
		r.must("created", bind("i", "b", false))
		r.must("done", unbind("i", "b", false))
		r.must("done", del("i", false))
		calls := r.backend.seen()
		for i, j := range map[int]int{2: 1, 3: 0} {
			if diff := cmp.Diff(string(calls[j].Inputs), string(calls[i].Inputs)); diff != "" {
				t.Errorf("the inputs of the %s are not the last ones:\n%s", calls[i].Verb, diff)
			}
		}
	})
}

// TestFailedInstanceTakesNothing: what was never provisioned completely.
func TestFailedInstanceTakesNothing(t *testing.T) {
	r := newRig(t)
	r.backend.on(core.VerbProvision, fails(core.CodeFailed, "no"))
	r.must("failed", put("i", false))
	r.must("unprocessable", bind("i", "b", false))
	r.must("unprocessable", patch("i", false))
	if _, err := r.b.Instance(context.Background(), "i"); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("FI-02: %v", err)
	}
}

// TestHalfDeletedBinding: after an unbind that failed half way the credentials may be dead.
func TestHalfDeletedBinding(t *testing.T) {
	r := newRig(t)
	r.must("created", put("i", false))
	r.must("created", bind("i", "b", false))
	r.backend.on(core.VerbUnbind, fails(core.CodeFailed, "no"))
	r.must("failed", unbind("i", "b", false))
	r.must("conflict", bind("i", "b", false))
	r.must("done", unbind("i", "b", false))
	calls := r.backend.seen()
	if last := calls[len(calls)-1]; len(last.Attempted) != 1 || last.Attempted[0].Verb != core.VerbUnbind {
		t.Errorf("the second unbind gets %+v", last)
	}
}

// TestDeprovisionThatFailsHalfWay: the bindings that it unbound are gone, the others are not.
func TestDeprovisionThatFailsHalfWay(t *testing.T) {
	r := newRig(t, slow)
	r.must("created", put("i", false))
	r.must("created", bind("i", "b", false))
	r.must("created", bind("i", "c", false))
	r.backend.on(core.VerbUnbind, r.backend.done)
	g := r.backend.hold(core.VerbUnbind, fails(core.CodeFailed, "no"))
	op := r.must("accepted", del("i", true))
	receive(t, g.entered)
	if v := r.poll("i", "b", op); v.State != "succeeded" {
		t.Errorf("binding b is unbound, but its poll says %q", v.State)
	}
	if joined := r.must("accepted", unbind("i", "c", true)); joined != op {
		t.Errorf("the unbind did not join: %s", joined)
	}
	ch := r.background(unbind("i", "c", false))
	r.until("the unbind waits", func() bool { return core.Watchers(r.b, op) > 0 })
	close(g.release)
	r.wants(ch, "failed")
	r.settles(op, "failed")
	row := r.binding("i", "c")
	if r.binding("i", "b") != nil || row == nil || len(row.Attempted) != 1 {
		t.Errorf("the rows are wrong: %+v", row)
	}
	r.must("done", del("i", false))
	r.must("gone", unbind("i", "c", false))
}

// TestDeleteNamesEitherPlan: while the plan changes, platforms send the old or the new one.
func TestDeleteNamesEitherPlan(t *testing.T) {
	for _, plan := range []string{"plan", "large"} {
		r := newRig(t, slow)
		r.must("created", put("i", false))
		g := r.backend.hold(core.VerbUpdate)
		q := patch("i", true)
		q.PlanID = "large"
		r.must("accepted", q)
		receive(t, g.entered)
		d := del("i", false)
		d.PlanID = plan
		r.must("done", d)
	}
}

// TestMetadata: the plugin's labels lie over the catalog's (MET-01, MET-02).
func TestMetadata(t *testing.T) {
	r := newRig(t)
	r.backend.on(core.VerbProvision, func(ctx context.Context, c core.Call, p func(core.Progress)) (core.Result, error) {
		res, err := r.backend.done(ctx, c, p)
		res.Labels, res.Attributes = map[string]any{"zone": "a"}, map[string]any{"nodes": int64(3)}
		return res, err
	})
	a, err := r.b.Provision(context.Background(), put("i", false))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{string(a.Metadata.Labels), string(a.Metadata.Attributes)}
	if diff := cmp.Diff([]string{`{"size":"small","zone":"a"}`, `{"nodes":3}`}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	v, err := r.b.Instance(context.Background(), "i")
	if err != nil || string(v.Metadata.Labels) != got[0] {
		t.Errorf("MET-03: %+v %v", v, err)
	}
}

// TestLists: what operators list, and what metrics are told.
func TestLists(t *testing.T) {
	seen := &observer{calls: map[core.Verb]int{}, ended: map[core.Verb]core.ErrorCode{}}
	r := newRig(t, func(r *rig) { r.config.Observe = seen })
	r.must("created", put("i", false))
	r.must("created", put("j", false))
	r.backend.on(core.VerbBind, fails(core.CodeUnavailable, "no"), fails(core.CodeFailed, "no"))
	r.must("failed", bind("i", "b", false))
	ctx := context.Background()
	list, err := r.b.Instances(ctx, core.InstanceFilter{ServiceID: "service"})
	if err != nil || len(list) != 2 || list[0].ID != "i" || list[0].Applied.Inputs != nil {
		t.Errorf("%+v %v", list, err)
	}
	counts, err := r.b.Counts(ctx)
	if err != nil || counts.Instances != 2 || counts.Bindings != 1 {
		t.Errorf("%+v %v", counts, err)
	}
	if _, _, err := r.b.InstanceDetail(ctx, "never"); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("unknown: %v", err)
	}
	if _, _, err := r.b.Timeline(ctx, "never"); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("unknown: %v", err)
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	wantCalls := map[core.Verb]int{core.VerbProvision: 2, core.VerbBind: 2}
	wantEnded := map[core.Verb]core.ErrorCode{core.VerbProvision: "", core.VerbBind: core.CodeFailed}
	if diff := cmp.Diff(wantCalls, seen.calls) + cmp.Diff(wantEnded, seen.ended); diff != "" {
		t.Errorf("the observer (-want +got):\n%s", diff)
	}
}

type observer struct {
	mu    sync.Mutex
	calls map[core.Verb]int
	ended map[core.Verb]core.ErrorCode
}

func (o *observer) OperationFinished(_ string, verb core.Verb, code core.ErrorCode, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended[verb] = code
}

func (o *observer) CallFinished(_ string, verb core.Verb, _ core.ErrorCode, _ time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls[verb]++
}
