package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

const (
	pending    = core.OperationPending
	cancelling = core.OperationCancelling
	succeeded  = core.OperationSucceeded
	failed     = core.OperationFailed
)

func (c *suite) operations(t *testing.T) {
	for _, tc := range []struct {
		why          string
		first, again *core.Operation
		busy         bool
	}{
		{"one change of an instance at a time", operation("1", "i", "", pending), operation("2", "i", "", pending), true},
		{"one change of a binding at a time", operation("1", "i", "b", pending), operation("2", "i", "b", pending), true},
		{"what is being cancelled does not count: a delete is inserted behind it", operation("1", "i", "", cancelling), operation("2", "i", "", pending), false},
		{"nor if it comes second", operation("1", "i", "", pending), operation("2", "i", "", cancelling), false},
		{"two of them may be cancelled at once", operation("1", "i", "", cancelling), operation("2", "i", "", cancelling), false},
		{"a success is over", operation("1", "i", "", succeeded), operation("2", "i", "", pending), false},
		{"a failure is over", operation("1", "i", "b", failed), operation("2", "i", "b", pending), false},
		{"binds queue behind a provision", operation("1", "i", "", pending), operation("2", "i", "b", pending), false},
		{"binds run side by side", operation("1", "i", "b", pending), operation("2", "i", "c", pending), false},
		{"instances do not know each other", operation("1", "i", "b", pending), operation("2", "j", "b", pending), false},
		{"an id is given once", operation("1", "i", "", succeeded), operation("1", "j", "", pending), true},
	} {
		t.Run(tc.why, func(t *testing.T) {
			s := c.open(t)
			update(t, s, insert(tc.first))
			update(t, s, func(tx core.Tx) error {
				err := tx.InsertOperation(tc.again)
				if tc.busy {
					wantErr(t, "InsertOperation", err, core.ErrBusy)
					return tx.Put("still", []byte("usable"))
				}
				if err != nil {
					t.Errorf("InsertOperation: %v", err)
				}
				return tx.Put("still", []byte("usable"))
			})
			same(t, "a write after it", "usable", get(t, s, "still"))
			got := read(t, s, func(tx core.Tx) (*core.Operation, error) { return tx.Operation(tc.first.ID) })
			same(t, "the first operation", tc.first.State, got.State)
		})
	}
	t.Run("changes", func(t *testing.T) {
		s := c.open(t)
		wantErr(t, "UpdateOperation of nothing", s.Update(t.Context(), func(tx core.Tx) error {
			return tx.UpdateOperation(operation("no", "i", "", failed))
		}), core.ErrNotFound)
		wantErr(t, "Operation", readErr(s, func(tx core.Tx) (*core.Operation, error) { return tx.Operation("no") }), core.ErrNotFound)
		update(t, s, func(tx core.Tx) error {
			return all(tx, putInstance(&core.Instance{ID: "i"}), insert(operation("1", "i", "", cancelling)), insert(operation("2", "i", "", pending)))
		})
		wantErr(t, "a second pending one by UpdateOperation", s.Update(t.Context(), func(tx core.Tx) error {
			return tx.UpdateOperation(operation("1", "i", "", pending))
		}), core.ErrBusy)
		update(t, s, func(tx core.Tx) error {
			return all(tx, func(tx core.Tx) error { return tx.AddStep(&core.Step{Operation: "2", Text: "old"}) },
				func(tx core.Tx) error { return tx.DeleteOperation("2") },
				func(tx core.Tx) error { return tx.DeleteOperation("2") }, // again
				insert(operation("2", "i", "", pending)))
		})
		steps := read(t, s, func(tx core.Tx) ([]*core.Step, error) { return tx.Steps("2") })
		same(t, "steps after DeleteOperation", 0, len(steps))
	})
}

func (c *suite) operationLists(t *testing.T) {
	s := c.open(t)
	at := time.Unix(1, 0).UTC()
	rows := []*core.Operation{ // in this order, all at the same time
		operation("z", "i", "", succeeded), operation("y", "i", "b", failed), operation("x", "j", "", succeeded),
		operation("w", "i", "", cancelling), operation("v", "i", "", pending), operation("u", "i", "b", pending),
		operation("t", "j", "b", cancelling),
	}
	update(t, s, func(tx core.Tx) error {
		if err := all(tx, putInstance(&core.Instance{ID: "i"}), putInstance(&core.Instance{ID: "j"}), putBinding("i", "b"), putBinding("j", "b")); err != nil {
			return err
		}
		for _, op := range rows {
			op.CreatedAt = at
			if err := tx.InsertOperation(op); err != nil {
				return err
			}
		}
		return nil
	})
	for _, tc := range []struct {
		why               string
		instance, binding string
		want              string
	}{
		{"newest by insertion, though all have one time", "i", "", "v"},
		{"of the binding", "i", "b", "u"},
		{"finished ones count", "j", "", "x"},
		{"of the other instance's binding", "j", "b", "t"},
	} {
		got := read(t, s, func(tx core.Tx) (*core.Operation, error) { return tx.LatestOperation(tc.instance, tc.binding) })
		same(t, tc.why, tc.want, got.ID)
	}
	wantErr(t, "LatestOperation", readErr(s, func(tx core.Tx) (*core.Operation, error) { return tx.LatestOperation("i", "no") }), core.ErrNotFound)

	for instance, want := range map[string][]string{"i": {"w", "v", "u"}, "j": {"t"}, "": {"w", "v", "u", "t"}, "no": {}} {
		got := read(t, s, func(tx core.Tx) ([]*core.Operation, error) { return tx.Unfinished(instance) })
		same(t, fmt.Sprintf("unfinished of %q, oldest first", instance), want, operationIDs(got))
	}

	for _, tc := range []struct {
		why  string
		f    core.OperationFilter
		want []string
	}{
		{"all, newest first", core.OperationFilter{}, []string{"t", "u", "v", "w", "x", "y", "z"}},
		{"of an instance and its bindings", core.OperationFilter{InstanceID: "i"}, []string{"u", "v", "w", "y", "z"}},
		{"of a binding", core.OperationFilter{InstanceID: "i", BindingID: "b"}, []string{"u", "y"}},
		{"of a binding id of any instance", core.OperationFilter{BindingID: "b"}, []string{"t", "u", "y"}},
		{"by verb", core.OperationFilter{Verb: core.VerbBind}, []string{"t", "u", "y"}},
		{"failed", core.OperationFilter{States: []core.OperationState{failed}}, []string{"y"}},
		{"pending", core.OperationFilter{States: []core.OperationState{pending}}, []string{"u", "v"}},
		{"unfinished", core.OperationFilter{States: []core.OperationState{cancelling, pending}}, []string{"t", "u", "v", "w"}},
		{"mixed states", core.OperationFilter{States: []core.OperationState{failed, cancelling, succeeded}}, []string{"t", "w", "x", "y", "z"}},
		{"no such state", core.OperationFilter{States: []core.OperationState{"no"}}, []string{}},
		{"everything at once", core.OperationFilter{InstanceID: "i", BindingID: "b", Verb: core.VerbBind, States: []core.OperationState{failed}}, []string{"y"}},
		{"before the cursor", core.OperationFilter{Before: "v"}, []string{"w", "x", "y", "z"}},
		{"a page", core.OperationFilter{InstanceID: "i", Before: "v", Limit: 2}, []string{"w", "y"}},
		{"before the oldest", core.OperationFilter{Before: "z"}, []string{}},
	} {
		got := read(t, s, func(tx core.Tx) ([]*core.Operation, error) { return tx.Operations(tc.f) })
		same(t, tc.why, tc.want, operationIDs(got))
	}
	wantErr(t, "a cursor that is gone", readErr(s, func(tx core.Tx) ([]*core.Operation, error) {
		return tx.Operations(core.OperationFilter{Before: "no"})
	}), core.ErrNotFound)
	c.operationLimits(t)
}

func (c *suite) operationLimits(t *testing.T) {
	s := c.open(t)
	update(t, s, func(tx core.Tx) error {
		for i := range 1001 {
			if err := tx.InsertOperation(operation(fmt.Sprint(i), "i", "", succeeded)); err != nil {
				return err
			}
		}
		return nil
	})
	for limit, want := range map[int]int{0: 100, -1: 100, 3: 3, 5000: 1000} {
		got := read(t, s, func(tx core.Tx) ([]*core.Operation, error) {
			return tx.Operations(core.OperationFilter{InstanceID: "i", Limit: limit})
		})
		if len(got) != want {
			t.Errorf("limit %d gave %d rows, want %d", limit, len(got), want)
		}
	}
}
