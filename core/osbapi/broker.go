package osbapi

import (
	"context"

	"github.com/chandler-broker/chandler/core"
)

// Broker is what the handlers call; *core.Broker is it. Errors are *core.Error.
// A cancelled context means that the client hung up: work that was accepted goes on.
type Broker interface {
	Catalog() *core.Snapshot

	Provision(context.Context, core.ProvisionRequest) (core.InstanceAnswer, error)
	Update(context.Context, core.UpdateRequest) (core.InstanceAnswer, error)
	Deprovision(context.Context, core.DeprovisionRequest) (core.InstanceAnswer, error)
	Bind(context.Context, core.BindRequest) (core.BindingAnswer, error)
	Unbind(context.Context, core.UnbindRequest) (core.BindingAnswer, error)
	Instance(ctx context.Context, instanceID string) (core.InstanceView, error)
	Binding(ctx context.Context, instanceID, bindingID string) (core.BindingView, error)
	Poll(context.Context, core.PollRequest) (core.OperationView, error)

	Operator
}

// Operator is what the operators' API (/admin/v1) calls.
type Operator interface {
	// Instances lists by id; InstanceDetail gives one with its bindings. Rows come without secrets:
	// no inputs, outputs, handles, seeds, credentials or writeOnly parameters.
	Instances(context.Context, core.InstanceFilter) ([]*core.Instance, error)
	InstanceDetail(ctx context.Context, id string) (*core.Instance, []*core.Binding, error)
	// Operations lists newest first; Timeline gives one with its steps.
	Operations(context.Context, core.OperationFilter) ([]*core.Operation, error)
	Timeline(ctx context.Context, operation string) (*core.Operation, []*core.Step, error)
	// Cancel ends an unfinished operation: its call is cancelled, it fails with CodeCancelled.
	Cancel(ctx context.Context, by core.Caller, operation string) error
	// Retry starts a new operation that wants the same as a failed one (never of a bind); it gives the new id.
	Retry(ctx context.Context, by core.Caller, operation string) (string, error)
	// Abandon fails an unfinished operation without calling the plugin again.
	Abandon(ctx context.Context, by core.Caller, operation string) error
	// Purge forgets an instance, its bindings and reservations without calling the
	// plugin, and says what may be left behind.
	Purge(ctx context.Context, by core.Caller, instanceID string) (core.PurgeReport, error)
	// Inspect says how what exists at the backend for an instance differs from what was applied.
	Inspect(ctx context.Context, instanceID string) (core.InspectReport, error)
	// Inventory lists what exists at a backend; page is Next of the page before.
	Inventory(ctx context.Context, backend, page string) (core.InventoryPage, error)
	// Adopt makes something that exists at a backend an instance.
	Adopt(ctx context.Context, by core.Caller, req core.AdoptRequest) (core.AdoptAnswer, error)
	// Replicas lists the brokers that work over the store now.
	Replicas(ctx context.Context) ([]core.ReplicaView, error)
	// Dispatcher says whether operations may start; Pause and Resume change it for all brokers.
	Dispatcher(ctx context.Context) (core.DispatcherState, error)
	Pause(ctx context.Context, by core.Caller, why string) (core.DispatcherState, error)
	Resume(ctx context.Context, by core.Caller) (core.DispatcherState, error)
	// Counts are sizes for metrics and status.
	Counts(ctx context.Context) (core.Counts, error)
}
