package core_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// patience bounds every wait of the tests; it is never an expectation.
const patience = time.Minute

// rig is a broker over a real store with a scripted backend.
type rig struct {
	t       testing.TB
	path    string
	store   core.Store
	backend *script
	shelf   *shelf
	service *core.Service
	config  core.Config
	b       *core.Broker
	ahead   atomic.Int64 // how far the clock of expiring is moved on
}

// newRig starts one; change may adapt the configuration.
func newRig(t testing.TB, change ...func(*rig)) *rig {
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "store.db"), backend: newScript(t), shelf: &shelf{}, service: newService()}
	r.config = core.Config{Catalog: r.shelf, Backends: r.backend, FastAnswer: patience, SyncBudget: patience,
		BackoffMin: time.Millisecond, BackoffMax: 4 * time.Millisecond}
	for _, f := range change {
		f(r)
	}
	r.shelf.put(nil, r.service)
	r.open()
	t.Cleanup(r.close)
	return r
}

// slow makes requests with accepts_incomplete answer 202 at once.
func slow(r *rig) { r.config.FastAnswer = -1 }

func (r *rig) open() {
	r.t.Helper()
	s, err := store.OpenSQLite(context.Background(), store.SQLiteConfig{Path: r.path})
	if err != nil {
		r.t.Fatal(err)
	}
	r.store, r.config.Store = s, s
	r.startBroker()
}

// startBroker starts a broker over the open store.
func (r *rig) startBroker() {
	r.t.Helper()
	var err error
	if r.b, err = core.New(r.config); err != nil {
		r.t.Fatal(err)
	}
	if err := r.b.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) close() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.b.Close(ctx); err != nil {
		r.t.Error(err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

// restart is a graceful stop and a new start over the same file.
func (r *rig) restart() {
	r.t.Helper()
	r.close()
	r.open()
}

func caller(async bool) core.Caller {
	return core.Caller{User: "tester", RequestID: "request", AcceptsIncomplete: async, Started: time.Now()}
}

// Requests of the tests. async is accepts_incomplete.

func put(id string, async bool) core.ProvisionRequest {
	return core.ProvisionRequest{Caller: caller(async), InstanceID: id, ServiceID: "service", PlanID: "plan",
		OrganizationGUID: "org", SpaceGUID: "space"}
}

func patch(id string, async bool) core.UpdateRequest {
	return core.UpdateRequest{Caller: caller(async), InstanceID: id, ServiceID: "service", Parameters: json.RawMessage(`{"size":"big"}`)}
}

func del(id string, async bool) core.DeprovisionRequest {
	return core.DeprovisionRequest{Caller: caller(async), InstanceID: id, ServiceID: "service", PlanID: "plan"}
}

func bind(id, binding string, async bool) core.BindRequest {
	return core.BindRequest{Caller: caller(async), InstanceID: id, BindingID: binding, ServiceID: "service", PlanID: "plan"}
}

func unbind(id, binding string, async bool) core.UnbindRequest {
	return core.UnbindRequest{Caller: caller(async), InstanceID: id, BindingID: binding, ServiceID: "service", PlanID: "plan"}
}

// word is an answer in one word: the outcome or the error's code.
func word(outcome core.Outcome, err error) string {
	if err != nil {
		return string(core.CodeOf(err))
	}
	return map[core.Outcome]string{core.Created: "created", core.Unchanged: "unchanged", core.Done: "done", core.Accepted: "accepted"}[outcome]
}

// do sends a request and gives the answer in one word, and the operation of a 202.
func (r *rig) do(request any) (answer, operation string) {
	r.t.Helper()
	ctx := context.Background()
	switch q := request.(type) {
	case core.ProvisionRequest:
		a, err := r.b.Provision(ctx, q)
		return word(a.Outcome, err), a.Operation
	case adoption:
		a, err := r.b.Adopt(ctx, caller(q.async), q.AdoptRequest)
		if a.Outcome != core.Accepted {
			a.Operation = ""
		}
		return word(a.Outcome, err), a.Operation
	case core.UpdateRequest:
		a, err := r.b.Update(ctx, q)
		return word(a.Outcome, err), a.Operation
	case core.DeprovisionRequest:
		a, err := r.b.Deprovision(ctx, q)
		return word(a.Outcome, err), a.Operation
	case core.BindRequest:
		a, err := r.b.Bind(ctx, q)
		return word(a.Outcome, err), a.Operation
	case core.UnbindRequest:
		a, err := r.b.Unbind(ctx, q)
		return word(a.Outcome, err), a.Operation
	}
	r.t.Fatalf("no request: %T", request)
	return "", ""
}

// must sends a request and fails the test unless the answer is want; it gives the operation.
func (r *rig) must(want string, request any) string {
	r.t.Helper()
	answer, operation := r.do(request)
	if answer != want {
		r.t.Fatalf("%T is answered %q, want %q", request, answer, want)
	}
	return operation
}

// answer is what a request in the background came to.
type answer struct{ word, operation string }

// background sends a request in a goroutine of its own.
func (r *rig) background(request any) <-chan answer {
	ch := make(chan answer, 1)
	go func() {
		w, op := r.do(request)
		ch <- answer{w, op}
	}()
	return ch
}

func (r *rig) wants(ch <-chan answer, want string) {
	r.t.Helper()
	if got := receive(r.t, ch); got.word != want {
		r.t.Fatalf("answered %q, want %q", got.word, want)
	}
}

func receive[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came in time")
		panic("unreachable")
	}
}

// poll gives the state of an instance's or binding's operation.
func (r *rig) poll(instance, binding, operation string) core.OperationView {
	r.t.Helper()
	v, err := r.b.Poll(context.Background(), core.PollRequest{Caller: caller(true), InstanceID: instance, BindingID: binding, Operation: operation})
	if err != nil {
		r.t.Fatalf("poll: %v", err)
	}
	if v.Description == "" {
		r.t.Errorf("LOI-07: the description of %q is empty", v.State)
	}
	return v
}

// settled polls until the operation is finished.
func (r *rig) settled(instance, binding, operation string) core.OperationView {
	r.t.Helper()
	var v core.OperationView
	r.until("the operation is finished", func() bool {
		v = r.poll(instance, binding, operation)
		return v.State != "in progress"
	})
	return v
}

// until waits for a condition.
func (r *rig) until(what string, cond func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("not in time: %s", what)
		}
	}
}

// row reads an operation from the journal.
func (r *rig) row(id string) *core.Operation {
	r.t.Helper()
	var op *core.Operation
	err := r.store.View(context.Background(), func(tx core.Tx) (err error) {
		op, err = tx.Operation(id)
		return err
	})
	if err != nil {
		r.t.Fatalf("read operation %s: %v", id, err)
	}
	return op
}

// latest reads the newest operation of an instance or binding; nil if there is none.
func (r *rig) latest(instance, binding string) *core.Operation {
	r.t.Helper()
	var op *core.Operation
	err := r.store.View(context.Background(), func(tx core.Tx) (err error) {
		op, err = tx.LatestOperation(instance, binding)
		return err
	})
	if err != nil && err != core.ErrNotFound {
		r.t.Fatal(err)
	}
	return op
}

// instance reads the row of an instance; nil if there is none.
func (r *rig) instance(id string) *core.Instance {
	r.t.Helper()
	var inst *core.Instance
	err := r.store.View(context.Background(), func(tx core.Tx) (err error) {
		inst, err = tx.Instance(id)
		return err
	})
	if err != nil && err != core.ErrNotFound {
		r.t.Fatal(err)
	}
	return inst
}

// binding reads the row of a binding; nil if there is none.
func (r *rig) binding(instance, id string) *core.Binding {
	r.t.Helper()
	var row *core.Binding
	err := r.store.View(context.Background(), func(tx core.Tx) (err error) {
		row, err = tx.Binding(instance, id)
		return err
	})
	if err != nil && err != core.ErrNotFound {
		r.t.Fatal(err)
	}
	return row
}

func (r *rig) wantVerbs(want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.backend.verbs()); diff != "" {
		r.t.Errorf("plugin calls (-want +got):\n%s", diff)
	}
}
