// Package storetest is the conformance suite of core.Store: what its comments
// promise, every implementation must pass. It knows no implementation.
package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chandler-broker/chandler/core"
)

// suite is one run against one implementation.
type suite struct {
	open   func(t *testing.T) core.Store
	reopen func(t *testing.T, s core.Store) core.Store
	peer   func(t *testing.T, s core.Store) core.Store
}

// Option adds what not every implementation can do in a test.
type Option func(*suite)

// Reopen also runs the tests of durability. reopen closes the store and opens the same data again.
func Reopen(reopen func(t *testing.T, s core.Store) core.Store) Option {
	return func(c *suite) { c.reopen = reopen }
}

// Run runs the suite. open gives an empty store each time and closes it at the
// end of the test, unless the test has done so (a second Close must be harmless).
func Run(t *testing.T, open func(t *testing.T) core.Store, options ...Option) {
	c := &suite{open: open}
	for _, o := range options {
		o(c)
	}
	t.Run("transactions", c.transactions)
	t.Run("concurrency", c.concurrency)
	t.Run("isolation", c.isolation)
	t.Run("round trip", c.roundTrip)
	t.Run("instances", c.instances)
	t.Run("bindings", c.bindings)
	t.Run("operations", c.operations)
	t.Run("operation lists", c.operationLists)
	t.Run("held operations and states", c.held)
	t.Run("bindings to revoke", c.revoke)
	t.Run("deletion", c.deletion)
	t.Run("trimming", c.trim)
	t.Run("steps and fences", c.stepsAndFences)
	t.Run("secrets", c.secrets)
	t.Run("reservations", c.reservations)
	t.Run("definitions", c.definitions)
	t.Run("documents and counts", c.documentsAndCounts)
	t.Run("leases", c.leases)
	t.Run("durability", c.durability)
}

// ignoreCause leaves out what an Error does not store: the error it wraps.
var ignoreCause = cmpopts.IgnoreUnexported(core.Error{})

// update runs fn in an Update that must succeed.
func update(t *testing.T, s core.Store, fn func(core.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// read gives the result of fn in a View that must succeed.
func read[T any](t *testing.T, s core.Store, fn func(core.Tx) (T, error)) T {
	t.Helper()
	var v T
	err := s.View(context.Background(), func(tx core.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	if err != nil {
		t.Fatalf("View: %v", err)
	}
	return v
}

// readErr gives the error of fn in a View.
func readErr[T any](s core.Store, fn func(core.Tx) (T, error)) error {
	return s.View(context.Background(), func(tx core.Tx) error {
		_, err := fn(tx)
		return err
	})
}

func same(t *testing.T, what string, want, got any) {
	t.Helper()
	if reflect.DeepEqual(want, got) {
		return // cmp takes seconds for a megabyte
	}
	if diff := cmp.Diff(want, got, ignoreCause); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// all runs several writes in one transaction.
func all(tx core.Tx, steps ...func(core.Tx) error) error {
	for _, s := range steps {
		if err := s(tx); err != nil {
			return err
		}
	}
	return nil
}

func putInstance(in *core.Instance) func(core.Tx) error {
	return func(tx core.Tx) error { return tx.PutInstance(in) }
}

func putBinding(instance, id string) func(core.Tx) error {
	return func(tx core.Tx) error { return tx.PutBinding(&core.Binding{InstanceID: instance, ID: id}) }
}

func insert(op *core.Operation) func(core.Tx) error {
	return func(tx core.Tx) error { return tx.InsertOperation(op) }
}

// operation is one with the fields that most tests need.
func operation(id, instance, binding string, state core.OperationState) *core.Operation {
	verb := core.VerbProvision
	if binding != "" {
		verb = core.VerbBind
	}
	return &core.Operation{ID: id, Verb: verb, InstanceID: instance, BindingID: binding, State: state}
}

func operationIDs(list []*core.Operation) []string {
	ids := []string{}
	for _, op := range list {
		ids = append(ids, op.ID)
	}
	return ids
}

func instanceIDs(list []*core.Instance) []string {
	ids := []string{}
	for _, in := range list {
		ids = append(ids, in.ID)
	}
	return ids
}
