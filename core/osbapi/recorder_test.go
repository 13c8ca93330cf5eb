package osbapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// recorder is a Broker that notes what it is asked and answers what the test says.
// It is for what the real Broker cannot be made to do on demand: the conformance
// tests (package osbapi_test) run against the real one.
type recorder struct {
	snapshot *core.Snapshot
	asked    []any // requests in their order

	instance  core.InstanceAnswer
	binding   core.BindingAnswer
	view      core.InstanceView
	bindView  core.BindingView
	operation core.OperationView
	err       error // of every verb and read
	panics    any

	instances  []*core.Instance
	bindings   []*core.Binding
	operations []*core.Operation
	steps      []*core.Step
	purge      core.PurgeReport
	drift      []core.Drift
	inventory  core.InventoryPage
	adopted    core.AdoptAnswer
}

func (r *recorder) note(req any) error {
	r.asked = append(r.asked, req)
	if r.panics != nil {
		panic(r.panics)
	}
	return r.err
}

func (r *recorder) Catalog() *core.Snapshot {
	if r.snapshot == nil {
		return core.NewSnapshot("empty", time.Unix(0, 0), nil, nil)
	}
	return r.snapshot
}

func (r *recorder) Provision(_ context.Context, q core.ProvisionRequest) (core.InstanceAnswer, error) {
	return r.instance, r.note(q)
}

func (r *recorder) Update(_ context.Context, q core.UpdateRequest) (core.InstanceAnswer, error) {
	return r.instance, r.note(q)
}

func (r *recorder) Deprovision(_ context.Context, q core.DeprovisionRequest) (core.InstanceAnswer, error) {
	return r.instance, r.note(q)
}

func (r *recorder) Bind(_ context.Context, q core.BindRequest) (core.BindingAnswer, error) {
	return r.binding, r.note(q)
}

func (r *recorder) Unbind(_ context.Context, q core.UnbindRequest) (core.BindingAnswer, error) {
	return r.binding, r.note(q)
}

func (r *recorder) Instance(_ context.Context, id string) (core.InstanceView, error) {
	return r.view, r.note("instance " + id)
}

func (r *recorder) Binding(_ context.Context, instance, id string) (core.BindingView, error) {
	return r.bindView, r.note("binding " + instance + " " + id)
}

func (r *recorder) Poll(_ context.Context, q core.PollRequest) (core.OperationView, error) {
	return r.operation, r.note(q)
}

func (r *recorder) Instances(_ context.Context, f core.InstanceFilter) ([]*core.Instance, error) {
	return r.instances, r.note(f)
}

func (r *recorder) InstanceDetail(_ context.Context, id string) (*core.Instance, []*core.Binding, error) {
	if err := r.note("detail " + id); err != nil {
		return nil, nil, err
	}
	for _, i := range r.instances {
		if i.ID == id {
			return i, r.bindings, nil
		}
	}
	return nil, nil, core.Errorf(core.CodeNotFound, "The instance %q does not exist.", id)
}

func (r *recorder) Operations(_ context.Context, f core.OperationFilter) ([]*core.Operation, error) {
	return r.operations, r.note(f)
}

func (r *recorder) Timeline(_ context.Context, id string) (*core.Operation, []*core.Step, error) {
	if err := r.note("timeline " + id); err != nil || len(r.operations) == 0 {
		return nil, nil, core.Errorf(core.CodeNotFound, "The operation %q does not exist.", id)
	}
	return r.operations[0], r.steps, nil
}

func (r *recorder) Cancel(_ context.Context, _ core.Caller, id string) error {
	return r.note("cancel " + id)
}

func (r *recorder) Retry(_ context.Context, _ core.Caller, id string) (string, error) {
	return "new-" + id, r.note("retry " + id)
}

func (r *recorder) Abandon(_ context.Context, _ core.Caller, id string) error {
	return r.note("abandon " + id)
}

func (r *recorder) Purge(_ context.Context, _ core.Caller, id string) (core.PurgeReport, error) {
	return r.purge, r.note("purge " + id)
}

func (r *recorder) Inspect(_ context.Context, id string) (core.InspectReport, error) {
	return core.InspectReport{InstanceID: id, Backend: "b", Exists: true, Drift: r.drift}, r.note("inspect " + id)
}

func (r *recorder) Inventory(_ context.Context, backend, page string) (core.InventoryPage, error) {
	return r.inventory, r.note("inventory " + backend + " after " + page)
}

func (r *recorder) Adopt(_ context.Context, _ core.Caller, q core.AdoptRequest) (core.AdoptAnswer, error) {
	return r.adopted, r.note(q)
}

func (r *recorder) Dispatcher(context.Context) (core.DispatcherState, error) {
	return core.DispatcherState{}, r.err
}
func (r *recorder) Pause(_ context.Context, by core.Caller, why string) (core.DispatcherState, error) {
	return core.DispatcherState{Paused: true, Why: why, By: by.User}, r.err
}
func (r *recorder) Resume(_ context.Context, by core.Caller) (core.DispatcherState, error) {
	return core.DispatcherState{By: by.User}, r.err
}
func (r *recorder) Replicas(context.Context) ([]core.ReplicaView, error) {
	return []core.ReplicaView{{Replica: core.Replica{Holder: "h1", Name: "a/1", Version: "v1", Keys: 3}, Self: true}, {Replica: core.Replica{Name: "b/2"}}}, r.err
}

func (r *recorder) Counts(context.Context) (core.Counts, error) {
	return core.Counts{Instances: 1, Bindings: 2, Unfinished: map[core.Verb]int64{core.VerbBind: 3}}, r.err
}

// serve gives a handler over r that serves everybody, changed by change (which may be nil).
func serve(t testing.TB, r *recorder, change func(*Config)) http.Handler {
	t.Helper()
	cfg := Config{Broker: r, Anonymous: true, NewID: func() string { return "request-1" }}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// answer is an HTTP answer that was read to its end.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// send makes a request of version 2.17 and reads the answer, which must be a JSON
// object whatever its status is. Headers are pairs; an empty value removes one.
func send(t testing.TB, h http.Handler, method, target, body string, headers ...string) answer {
	t.Helper()
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set(headerVersion, "2.17")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Del(headers[i])
		if headers[i+1] != "" {
			req.Header.Add(headers[i], headers[i+1])
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return read(t, rec.Result())
}

func read(t testing.TB, res *http.Response) answer {
	t.Helper()
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: raw}
	if res.StatusCode == http.StatusNotModified || res.Header.Get("Content-Encoding") != "" {
		return a
	}
	if got := res.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("status %d: Content-Type is %q, want application/json", a.status, got)
	}
	if err := json.Unmarshal(raw, &a.body); err != nil {
		t.Fatalf("status %d: the body %q is not a JSON object: %v", a.status, raw, err)
	}
	return a
}

func (a answer) description() string {
	s, _ := a.body["description"].(string)
	return s
}

// The smallest complete bodies.
const (
	goodProvision = `{"service_id":"s","plan_id":"p","organization_guid":"o","space_guid":"sp"}`
	goodUpdate    = `{"service_id":"s"}`
	goodBind      = `{"service_id":"s","plan_id":"p"}`
	goodRotation  = `{"predecessor_binding_id":"b0"}`
)
