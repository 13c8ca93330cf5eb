package core

import (
	"context"
	"errors"
	"time"
)

// ErrNotFound is what the getters of Tx return for a row that does not exist.
var ErrNotFound = errors.New("not found")

// ErrBusy is what Insert methods of Tx return when a uniqueness that the database
// enforces would be broken: a second unfinished operation, a reserved value, an id.
var ErrBusy = errors.New("taken")

// Store keeps everything durable. core/store implements it for SQLite and
// PostgreSQL; both pass the same conformance suite. Safe for concurrent use.
type Store interface {
	// View runs fn over one consistent state; Tx's writing methods fail inside.
	View(ctx context.Context, fn func(Tx) error) error
	// Update runs fn in one transaction: committed and durable when Update returns nil, without
	// effect when fn or the commit fails. fn may run more than once and must have no
	// other effects. An error of fn is returned as it is. Updates are serialisable.
	Update(ctx context.Context, fn func(Tx) error) error
	// Ping fails if the store cannot be used now.
	Ping(ctx context.Context) error
	// Close ends the store; unfinished calls fail.
	Close() error
}

// Tx is one transaction. Rows that come out of it are the caller's to change; Put
// writes them back. Byte and time values survive exactly (times in UTC, to the microsecond).
type Tx interface {
	Instance(id string) (*Instance, error)
	// PutInstance inserts or replaces.
	PutInstance(*Instance) error
	// DeleteInstance removes the row, its bindings, stable secrets and reservations,
	// and the secrets of its finished operations (Wanted except the ids of service and
	// plan, Handle, Seed), which stay as tombstones; of those that are still unfinished
	// when they finish. Its fence counter stays. Deleting what does not exist is fine.
	DeleteInstance(id string) error
	// Instances lists by id, ascending, after the cursor.
	Instances(InstanceFilter) ([]*Instance, error)

	Binding(instanceID, id string) (*Binding, error)
	// PutBinding inserts or replaces; ErrNotFound if the instance does not exist.
	PutBinding(*Binding) error
	// DeleteBinding removes the row, its stable secrets, and the secrets of its finished operations.
	DeleteBinding(instanceID, id string) error
	// Bindings lists an instance's bindings by id, ascending.
	Bindings(instanceID string) ([]*Binding, error)
	// ToRevoke lists up to limit bindings whose RevokeAt is set and not after the time, by
	// RevokeAt and their ids, ascending; only those behind after, unless it is nil. Those with an unfinished operation of their own or of their
	// instance are left out, so that they do not stand before others.
	ToRevoke(at time.Time, after *Binding, limit int) ([]*Binding, error)

	Operation(id string) (*Operation, error)
	// InsertOperation fails with ErrBusy if the instance (BindingID "") or the binding
	// already has a pending operation. Operations being cancelled do not count.
	InsertOperation(*Operation) error
	// UpdateOperation replaces the row; ErrNotFound if it is gone. An operation's
	// verb, instance and binding never change.
	UpdateOperation(*Operation) error
	// DeleteOperation removes an operation and its steps as if never accepted.
	DeleteOperation(id string) error
	// LatestOperation is the newest operation of the instance (bindingID "") or of the
	// binding, finished or not, tombstones included.
	LatestOperation(instanceID, bindingID string) (*Operation, error)
	// Unfinished lists the unfinished operations of an instance and all its
	// bindings, oldest first; of everything if instanceID is "".
	Unfinished(instanceID string) ([]*Operation, error)
	// Held lists the instances that have unfinished operations of the holder, by id, ascending.
	Held(holder string) (instances []string, err error)
	// HeldOperations gives the unfinished operations of the holder with their instances,
	// by operation id. It is quick: it reads nothing else.
	HeldOperations(holder string) (instances map[string]string, err error)
	// States gives the states of those of the operations that exist. It is quick: it
	// reads nothing else.
	States(operations []string) (map[string]OperationState, error)
	// Operations lists newest first, before the cursor; ErrNotFound if the cursor's
	// operation is gone.
	Operations(OperationFilter) ([]*Operation, error)
	// DeleteTombstones removes finished operations of instances or bindings that are
	// gone, if they finished before the time; at most limit. It returns how many.
	DeleteTombstones(before time.Time, limit int) (int, error)

	// AddStep appends to the timeline and sets Seq; ErrNotFound if the operation does
	// not exist.
	AddStep(*Step) error
	Steps(operation string) ([]*Step, error)

	// NextFence raises and returns the instance id's fence; the first is 1. It
	// survives DeleteInstance.
	NextFence(instanceID string) (int64, error)

	// Secret gives a stable secret, inserting value if there is none. The row
	// belongs to the instance (bindingID "") or to the binding and goes with it.
	Secret(instanceID, bindingID, name string, value func() (string, error)) (string, error)

	// Reserve reserves value for the instance under (backend, field); reserving what
	// the instance holds already is fine; ErrBusy if another instance holds it.
	Reserve(backend, field, value, instanceID string) error
	// Reserved gives the instance that holds value under (backend, field); ErrNotFound
	// if none does.
	Reserved(backend, field, value string) (instanceID string, err error)
	// Release frees what the instance holds under (backend, field) except keep.
	Release(backend, field, instanceID string, keep ...string) error

	// PutDefinition inserts if absent.
	PutDefinition(Definition) error
	Definition(digest string) (Definition, error)
	// PlansInUse lists the plans that instances have or unfinished operations want.
	PlansInUse() ([]PlanUse, error)

	// Put and Get keep small named documents: the last good catalog, plugin
	// descriptions. Get gives ErrNotFound for a key that was never put.
	Put(key string, value []byte) error
	Get(key string) ([]byte, error)

	// Counts are for metrics and status pages.
	Counts() (Counts, error)
}

// InstanceFilter selects instances; zero fields select all.
type InstanceFilter struct {
	ServiceID, PlanID string
	Backend           string
	After             string // ids greater than this
	Limit             int    // 0 means 100; at most 1000
}

// OperationFilter selects operations; zero fields select all.
type OperationFilter struct {
	InstanceID, BindingID string
	Verb                  Verb
	States                []OperationState
	Before                string // operations older than the one with this id
	Limit                 int    // 0 means 100; at most 1000
}

// Counts are sizes of the store's tables.
type Counts struct {
	Instances, Bindings int64
	Unfinished          map[Verb]int64
}

// Trimmer is a Store that can shorten what grows with time. Both stores of core/store
// are. Safe for concurrent use, by several replicas, too.
type Trimmer interface {
	// Trim deletes, in transactions of its own, finished operations of living instances
	// and bindings that finished before the time and have keep (at least 1) newer ones
	// of the same instance or binding, and definitions that nothing refers to any
	// more. It looks at the whole store: once in some hours is enough. On an error it
	// gives what was done before.
	Trim(ctx context.Context, before time.Time, keep int) (Trimmed, error)
}

// Trimmed says how many rows a Trim has deleted.
type Trimmed struct{ Operations, Definitions int }
