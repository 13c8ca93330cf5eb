package core_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// faulty is a store that fails, when it is told to, in ways that a real one can.
type faulty struct {
	core.Store
	refuse  atomic.Bool // writes are refused without effect
	lost    atomic.Bool // the next operation's journaling is durable, but its answer is lost
	secrets atomic.Bool // the next stable secret cannot be read
}

// withFaulty puts a faulty store between the rig's broker and its store. at, if it is
// not nil, is told of every fault point.
func (r *rig) withFaulty(at func(*faulty, core.FaultPoint)) *faulty {
	r.t.Helper()
	r.stop()
	f := &faulty{Store: r.store}
	config := r.config
	config.Store = f
	if at != nil {
		config.Fault = func(p core.FaultPoint) { at(f, p) }
	}
	var err error
	if r.b, err = core.New(config); err != nil {
		r.t.Fatal(err)
	}
	if err := r.b.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (f *faulty) Update(ctx context.Context, fn func(core.Tx) error) error {
	if f.refuse.Load() {
		return core.Errorf(core.CodeOverloaded, "Too many changes wait to be stored.")
	}
	t := &faultyTx{f: f}
	err := f.Store.Update(ctx, func(tx core.Tx) error { t.Tx = tx; return fn(t) })
	if err == nil && t.inserted && f.lost.CompareAndSwap(true, false) {
		return errors.New("the connection was lost during the commit")
	}
	return err
}

type faultyTx struct {
	core.Tx
	f        *faulty
	inserted bool
}

func (t *faultyTx) InsertOperation(op *core.Operation) error {
	t.inserted = true
	return t.Tx.InsertOperation(op)
}

func (t *faultyTx) Secret(instance, binding, name string, value func() (string, error)) (string, error) {
	if t.f.secrets.CompareAndSwap(true, false) {
		return "", core.Errorf(core.CodeUnavailable, "The broker's store could not be used.")
	}
	return t.Tx.Secret(instance, binding, name, value)
}

// TestLostCommit: a commit whose answer is lost may have happened; the work of
// what it journaled must go on all the same.
func TestLostCommit(t *testing.T) {
	r := newRig(t, slow)
	f := r.withFaulty(nil)
	f.lost.Store(true)
	r.must("still_running", put("i", true))
	r.until("the operation that was journaled after all is run", func() bool { return r.unfinished() == 0 })
	r.must("unchanged", put("i", true))
	r.wantVerbs("provision")
}

// TestBusyStoreAfterAccept: 429 promises that there was no effect; once the work is
// journaled, a store that is too busy to note that the caller leaves is no reason for one.
func TestBusyStoreAfterAccept(t *testing.T) {
	for _, async := range []bool{true, false} {
		r := newRig(t, slow)
		f := r.withFaulty(func(f *faulty, p core.FaultPoint) {
			if p == core.FaultBeforeDetach {
				f.refuse.Store(true)
			}
		})
		g := r.backend.hold(core.VerbProvision)
		late := put("i", async)
		late.Started = time.Now().Add(-2 * patience)
		r.must("still_running", late)
		f.refuse.Store(false)
		receive(t, g.entered)
		close(g.release)
		r.until("it ends", func() bool { return r.unfinished() == 0 })
	}
}

// TestStoreFailsInsideTemplate: a stable secret that the store cannot give now is
// no fault of the template, and must not end what was accepted.
func TestStoreFailsInsideTemplate(t *testing.T) {
	t.Run("a queued bind goes on", func(t *testing.T) {
		r := newRig(t, slow, func(r *rig) {
			r.service.Plans[0].Bind = form(func(d core.TemplateData) (any, error) {
				secret, err := d.Secrets.BindingSecret("password", 12)
				return map[string]any{"password": secret}, err
			})
		})
		f := r.withFaulty(nil)
		on := start(r, core.VerbProvision)
		op := on.must("accepted", bind("i", "b", true))
		f.secrets.Store(true)
		on.ends("succeeded")
		r.settles(op, "succeeded")
	})
	t.Run("credentials are rendered again, and the bind is not undone", func(t *testing.T) {
		r := newRig(t)
		f := r.withFaulty(nil)
		r.must("created", put("i", false))
		f.secrets.Store(true)
		r.must("created", bind("i", "b", false))
		r.wantVerbs("provision", "bind")
	})
	t.Run("a request is refused without effect ORP-01", func(t *testing.T) {
		r := newRig(t)
		f := r.withFaulty(nil)
		f.secrets.Store(true)
		r.must("overloaded", put("i", false))
	})
}

// TestRefusedRepeatKeepsAttempts: a bind that failed half way and is refused when it is
// repeated: what the first one may have made is still there, and so must be the row.
func TestRefusedRepeatKeepsAttempts(t *testing.T) {
	broken := false
	r := newRig(t, slow, func(r *rig) {
		p := r.service.Plans[0]
		bind := p.Bind
		p.Bind = form(func(d core.TemplateData) (any, error) {
			if broken {
				return nil, core.Errorf(core.CodeInvalid, "no")
			}
			return bind.Render(d)
		})
	})
	r.must("created", put("i", false))
	r.backend.on(core.VerbBind, fails(core.CodeFailed, "half way"))
	r.must("failed", bind("i", "b", false))
	g := r.backend.hold(core.VerbUpdate)
	op := r.must("accepted", patch("i", true))
	receive(t, g.entered)
	broken = true
	ch := r.background(bind("i", "b", false))
	r.until("the bind is queued", func() bool { return r.unfinished() == 2 })
	close(g.release)
	r.wants(ch, "invalid_input")
	r.settles(op, "succeeded")
	if row := r.binding("i", "b"); row == nil || len(row.Attempted) != 1 {
		t.Fatalf("the attempt is forgotten: %+v", row)
	}
	r.must("done", unbind("i", "b", false))
	r.wantVerbs("provision", "bind", "update", "unbind")
}

// TestSerializedAfterAbandon: a plugin that serialises gets no second call while one
// that an operator abandoned still runs.
func TestSerializedAfterAbandon(t *testing.T) {
	r := newRig(t, slow, func(r *rig) { r.backend.desc.SerializeInstance = true })
	r.must("created", put("i", false))
	entered, release := make(chan struct{}), make(chan struct{})
	r.backend.on(core.VerbBind, func(context.Context, core.Call, func(core.Progress)) (core.Result, error) {
		close(entered)
		<-release // deaf to cancellation
		return core.Result{}, errors.New("late")
	})
	op := r.must("accepted", bind("i", "b", true))
	receive(t, entered)
	if err := r.b.Abandon(context.Background(), core.Caller{}, op); err != nil {
		t.Fatal(err)
	}
	next := r.must("accepted", bind("i", "c", true))
	if n := len(r.backend.seen()); n != 2 { // the script fails the test on two calls at once, too
		t.Errorf("%d calls", n)
	}
	close(release)
	r.settles(next, "succeeded")
}

// TestLateRetryAfter: past its deadline an operation fails; it does not first wait
// for as long as the plugin asked.
func TestLateRetryAfter(t *testing.T) {
	clock := &shift{}
	r := newRig(t, slow, func(r *rig) { r.config.Now = clock.now })
	g := r.backend.hold(core.VerbProvision)
	op := r.must("accepted", put("i", true))
	receive(t, g.entered)
	r.stop()
	clock.by.Store(int64(10 * time.Hour))
	r.backend.every(core.VerbProvision, func(context.Context, core.Call, func(core.Progress)) (core.Result, error) {
		e := core.Errorf(core.CodeUnavailable, "tomorrow")
		e.Backend, e.RetryAfter = true, 24*time.Hour
		return core.Result{}, e
	})
	r.restart()
	r.settles(op, "failed")
}

// TestDeleteAfterCancelledUpdate: platforms that sent the new plan's id with a DELETE
// send it again when they repeat the DELETE.
func TestDeleteAfterCancelledUpdate(t *testing.T) {
	r := newRig(t, slow)
	r.must("created", put("i", false))
	r.must("created", bind("i", "b", false))
	g := r.backend.hold(core.VerbUpdate)
	q := patch("i", true)
	q.PlanID = "large"
	r.must("accepted", q)
	receive(t, g.entered)
	d := del("i", true)
	d.PlanID = "large"
	g = r.backend.hold(core.VerbUnbind, fails(core.CodeFailed, "no"))
	op := r.must("accepted", d)
	receive(t, g.entered)
	if again := r.must("accepted", d); again != op {
		t.Error("the DELETE again is another operation")
	}
	close(g.release)
	r.settles(op, "failed")
	u := unbind("i", "b", false)
	u.PlanID = "large"
	r.must("done", u)
	d.AcceptsIncomplete = false
	r.must("done", d)
}

// TestSameBindAfterPlanChange: the same bind again is the same, whatever plan the
// instance has by now.
func TestSameBindAfterPlanChange(t *testing.T) {
	r := newRig(t, slow)
	r.must("created", put("i", false))
	g := r.backend.hold(core.VerbUpdate)
	q := patch("i", true)
	q.PlanID = "large"
	update := r.must("accepted", q)
	receive(t, g.entered)
	queued := r.backend.hold(core.VerbBind)
	op := r.must("accepted", bind("i", "b", true))
	close(g.release)
	r.settles(update, "succeeded")
	receive(t, queued.entered)
	if again := r.must("accepted", bind("i", "b", true)); again != op { // BND-04 A-8
		t.Error("the same bind is another operation")
	}
	close(queued.release)
	r.settles(op, "succeeded")
	r.must("unchanged", bind("i", "b", false)) // BND-05
	r.must("invalid_input", bind("i", "c", false))
}

// TestQueuedBindOfUnusableInstance: what a bind is refused for when it comes, it is
// refused for when its turn comes.
func TestQueuedBindOfUnusableInstance(t *testing.T) {
	no := false
	r := newRig(t, slow)
	r.must("created", put("i", false))
	g := r.backend.hold(core.VerbUpdate, func(context.Context, core.Call, func(core.Progress)) (core.Result, error) {
		return core.Result{}, &core.Error{Code: core.CodeFailed, Message: "broken", Backend: true, InstanceUsable: &no}
	})
	r.must("accepted", patch("i", true))
	receive(t, g.entered)
	ch := r.background(bind("i", "b", false))
	r.until("the bind is queued", func() bool { return r.unfinished() == 2 })
	close(g.release)
	r.wants(ch, "unprocessable")
	if r.binding("i", "b") != nil {
		t.Error("a row is left")
	}
	r.wantVerbs("provision", "update")
}

// TestToldFailureFreesTheID: a bind that failed with its provision is told with 422,
// so its id is free.
func TestToldFailureFreesTheID(t *testing.T) {
	r := newRig(t, slow)
	g := r.backend.hold(core.VerbProvision, fails(core.CodeFailed, "no"))
	op := r.must("accepted", put("i", true))
	receive(t, g.entered)
	r.must("accepted", bind("i", "b", true))
	close(g.release)
	r.settles(op, "failed")
	r.must("unprocessable", bind("i", "b", false))
	if row := r.binding("i", "b"); row != nil {
		t.Errorf("the id is not free: %+v", row)
	}
}

// TestBindingPollOfDeprovision: what a binding's poll tells is not told to those who
// wait for the instance.
func TestBindingPollOfDeprovision(t *testing.T) {
	r := newRig(t, slow)
	r.must("created", put("i", false))
	r.must("created", bind("i", "b", false))
	g := r.backend.hold(core.VerbUnbind, fails(core.CodeFailed, "no"))
	op := r.must("accepted", del("i", true))
	receive(t, g.entered)
	r.must("accepted", unbind("i", "b", true))
	close(g.release)
	r.until("it failed", func() bool { return r.row(op).State == core.OperationFailed })
	if v := r.poll("i", "b", op); v.State != "failed" {
		t.Errorf("the unbind is %q", v.State)
	}
	if again := r.must("accepted", del("i", true)); again != op {
		t.Error("the failure of the deprovision was told to nobody, but the DELETE again is a new one")
	}
	_, err := r.b.Poll(context.Background(), core.PollRequest{InstanceID: "i", BindingID: "never", Operation: op})
	if core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("LOB-02: the poll of a binding that never was says %v", err)
	}
}

// TestRefusedAfterUnavailable: a deletion that was interrupted in the middle may have
// deleted something, so that its refusal is no 4xx.
func TestRefusedAfterUnavailable(t *testing.T) {
	r := newRig(t)
	r.must("created", put("i", false))
	r.backend.on(core.VerbDeprovision, fails(core.CodeUnavailable, "lost the gateway"), fails(core.CodeConflict, "an object is locked"))
	r.must("failed", del("i", false))
	if inst := r.instance("i"); len(inst.Attempted) != 1 {
		t.Errorf("the attempt is forgotten: %+v", inst.Attempted)
	}
	r.backend.on(core.VerbDeprovision, fails(core.CodeConflict, "an object is locked"))
	r.must("conflict", del("i", false))
}

// TestLostDefinition: what was accepted under a definition that cannot be read any
// more waits, but it can be cancelled, abandoned and deleted.
func TestLostDefinition(t *testing.T) {
	lose := func(r *rig) { // and the catalog has another one by now
		r.shelf.mu.Lock()
		for digest := range r.shelf.plans { // the digests stay taken
			r.shelf.plans[digest] = nil
		}
		r.shelf.mu.Unlock()
		r.shelf.put(nil, newService())
	}
	ctx := context.Background()
	waiting := func(t *testing.T) (*rig, string) {
		r := newRig(t, slow)
		r.must("created", put("i", false))
		r.must("created", bind("i", "b", false))
		r.backend.hold(core.VerbUpdate)
		op := r.must("accepted", patch("i", true))
		r.stop()
		lose(r)
		r.startBroker()
		return r, op
	}
	t.Run("abandon", func(t *testing.T) {
		r, op := waiting(t)
		if err := r.b.Abandon(ctx, core.Caller{}, op); err != nil {
			t.Fatal(err)
		}
		r.must("done", del("i", false))
	})
	t.Run("cancel", func(t *testing.T) {
		r, op := waiting(t)
		if err := r.b.Cancel(ctx, core.Caller{}, op); err != nil {
			t.Fatal(err)
		}
		r.settles(op, "failed")
		r.must("done", unbind("i", "b", false))
	})
	t.Run("deprovision", func(t *testing.T) {
		r, op := waiting(t)
		r.must("done", del("i", false))
		r.settles(op, "failed")
		if instances, keys := r.backend.exists(); len(instances)+len(keys) > 0 {
			t.Errorf("left behind: %v %v", instances, keys)
		}
	})
	t.Run("list", func(t *testing.T) {
		r, _ := waiting(t)
		list, err := r.b.Instances(ctx, core.InstanceFilter{})
		if err != nil || len(list) != 1 || list[0].Parameters != nil {
			t.Errorf("%+v %v", list, err)
		}
		if _, bindings, err := r.b.InstanceDetail(ctx, "i"); err != nil || len(bindings) != 1 {
			t.Errorf("%+v %v", bindings, err)
		}
	})
}

// TestUndoneHints: nobody is told to delete an instance because an update failed.
func TestUndoneHints(t *testing.T) {
	r := newRig(t)
	r.must("created", put("i", false))
	r.backend.on(core.VerbUpdate, fails(core.CodeInvalid, "no"), fails(core.CodeFailed, "cannot go back"))
	_, err := r.b.Update(context.Background(), patch("i", false))
	if e := core.AsError(err); e.Code != core.CodeFailed || e.Hint != "What was begun could not be undone; send the update again, or one that repairs it." {
		t.Errorf("%q %q", e.Code, e.Hint)
	}
}

// TestPendingWithoutPause: a plugin that asks to be called again at once, with nothing
// new to say, does not fill the journal.
func TestPendingWithoutPause(t *testing.T) {
	r := newRig(t, slow, func(r *rig) { r.config.BackoffMin, r.config.BackoffMax = time.Hour, time.Hour })
	r.backend.every(core.VerbProvision, pends("same"))
	op := r.must("accepted", put("i", true))
	r.until("it pauses", func() bool { return r.row(op).NextAt.After(time.Now().Add(time.Minute)) })
	if n := len(r.backend.seen()); n != 2 {
		t.Errorf("%d calls", n)
	}
	if verbs := r.backend.verbs(); slices.Contains(verbs, "deprovision") {
		t.Error(verbs)
	}
}

// TestNotOurs: an operation that another replica holds is left to it, without looking
// at it again and again.
func TestNotOurs(t *testing.T) {
	r := newRig(t, slow)
	r.backend.hold(core.VerbProvision)
	op := r.must("accepted", put("i", true))
	r.stop()
	err := r.store.Update(context.Background(), func(tx core.Tx) error {
		row, err := tx.Operation(op)
		if err != nil {
			return err
		}
		row.Holder = "another replica"
		return tx.UpdateOperation(row)
	})
	if err != nil {
		t.Fatal(err)
	}
	var looks atomic.Int64
	r.withFaulty(func(_ *faulty, p core.FaultPoint) {
		if p == core.FaultBeforeStart {
			looks.Add(1)
		}
	})
	r.must("created", put("n", false))
	if n := looks.Load(); n != 0 {
		t.Errorf("it was taken up %d times", n)
	}
}

// deafInventory answers only when it is cancelled.
type deafInventory struct {
	core.Inventory
	entered chan struct{}
}

func (d *deafInventory) Inspect(ctx context.Context, _ core.InspectCall) (core.Inspection, error) {
	close(d.entered)
	<-ctx.Done()
	return core.Inspection{}, cancelled(ctx)
}

// TestCloseEndsQuestions: a question to a plugin does not hold up the end of the broker.
func TestCloseEndsQuestions(t *testing.T) {
	d := &deafInventory{entered: make(chan struct{})}
	r := newRig(t, func(r *rig) { d.Inventory, r.config.Inventory = r.backend, d })
	r.must("created", put("i", false))
	answered := make(chan error, 1)
	go func() {
		_, err := r.b.Inspect(context.Background(), "i")
		answered <- err
	}()
	receive(t, d.entered)
	r.stop()
	if err := receive(t, answered); err == nil {
		t.Error("there is an answer")
	}
}

// TestMovedService: after a failure that left nothing the same PUT follows the service
// to the backend that it has by then.
func TestMovedService(t *testing.T) {
	r := newRig(t, slow)
	g := r.backend.hold(core.VerbProvision, fails(core.CodeInvalid, "no"))
	op := r.must("accepted", put("i", true))
	receive(t, g.entered)
	close(g.release)
	r.settles(op, "failed")
	moved := newService()
	moved.Backend = "elsewhere"
	r.shelf.put(nil, moved)
	r.must("created", put("i", false))
	calls := r.backend.seen()
	if last := calls[len(calls)-1]; last.Backend != "elsewhere" || r.instance("i").Backend != "elsewhere" {
		t.Errorf("it was made at %q", last.Backend)
	}
}
