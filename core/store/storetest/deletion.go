package storetest

import (
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// secretOperation carries everything that a tombstone must not.
func secretOperation(id, instance, binding string, state core.OperationState) *core.Operation {
	op := operation(id, instance, binding, state)
	op.Wanted = core.Wanted{ServiceID: "s", PlanID: "p", Inputs: []byte(`{"a":1}`), Secrets: []string{"hush"}}
	op.Handle, op.Seed = []byte("handle"), []byte("seed")
	op.Error = &core.Error{Code: core.CodeFailed, Message: "no"}
	if !state.Unfinished() {
		op.FinishedAt = time.Unix(10, 0).UTC()
	}
	return op
}

// tombstone is what is left of such an operation. The ids of service and plan are no secrets.
func tombstone(op *core.Operation) *core.Operation {
	c := *op
	c.Wanted = core.Wanted{ServiceID: op.Wanted.ServiceID, PlanID: op.Wanted.PlanID}
	c.Handle, c.Seed = nil, nil
	return &c
}

func (c *suite) deletion(t *testing.T) {
	getOp := func(t *testing.T, s core.Store, id string) *core.Operation {
		t.Helper()
		return read(t, s, func(tx core.Tx) (*core.Operation, error) { return tx.Operation(id) })
	}
	value := func(v string) func() (string, error) { return func() (string, error) { return v, nil } }
	setup := func(tx core.Tx) error {
		for _, id := range []string{"i", "j"} {
			if err := all(tx, putInstance(&core.Instance{ID: id}), putBinding(id, "b"), putBinding(id, "c"),
				insert(secretOperation(id+"-provision", id, "", succeeded)),
				insert(secretOperation(id+"-bind-b", id, "b", succeeded)),
				insert(secretOperation(id+"-bind-c", id, "c", failed)),
				func(tx core.Tx) error { return tx.Reserve("be", "bucket", "photos of "+id, id) }); err != nil {
				return err
			}
			for _, binding := range []string{"", "b", "c"} {
				if _, err := tx.Secret(id, binding, "admin", value("first "+binding)); err != nil {
					return err
				}
			}
			if _, err := tx.NextFence(id); err != nil {
				return err
			}
		}
		return nil
	}
	t.Run("of an instance", func(t *testing.T) {
		s := c.open(t)
		update(t, s, setup)
		update(t, s, func(tx core.Tx) error { return tx.DeleteInstance("i") })
		wantErr(t, "Instance", readErr(s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance("i") }), core.ErrNotFound)
		wantErr(t, "Binding", readErr(s, func(tx core.Tx) (*core.Binding, error) { return tx.Binding("i", "b") }), core.ErrNotFound)
		same(t, "tombstone", tombstone(secretOperation("i-provision", "i", "", succeeded)), getOp(t, s, "i-provision"))
		same(t, "tombstone of a binding", tombstone(secretOperation("i-bind-c", "i", "c", failed)), getOp(t, s, "i-bind-c"))
		latest := read(t, s, func(tx core.Tx) (*core.Operation, error) { return tx.LatestOperation("i", "b") })
		same(t, "latest operation", "i-bind-b", latest.ID)
		update(t, s, func(tx core.Tx) error {
			fence, err := tx.NextFence("i")
			same(t, "fence goes on", int64(2), fence)
			return err
		})
		update(t, s, func(tx core.Tx) error { return tx.Reserve("be", "bucket", "photos of i", "k") })
		for _, binding := range []string{"", "b"} {
			update(t, s, func(tx core.Tx) error {
				got, err := tx.Secret("i", binding, "admin", value("second"))
				same(t, "secret of the next incarnation", "second", got)
				return err
			})
		}
		same(t, "the other instance's operation", secretOperation("j-bind-b", "j", "b", succeeded), getOp(t, s, "j-bind-b"))
		same(t, "the other's bindings", 2, len(read(t, s, func(tx core.Tx) ([]*core.Binding, error) { return tx.Bindings("j") })))
		wantErr(t, "the other's reservation", s.Update(t.Context(), func(tx core.Tx) error {
			return tx.Reserve("be", "bucket", "photos of j", "k")
		}), core.ErrBusy)
	})
	t.Run("of a binding", func(t *testing.T) {
		s := c.open(t)
		update(t, s, setup)
		update(t, s, func(tx core.Tx) error { return tx.DeleteBinding("i", "b") })
		same(t, "tombstone", tombstone(secretOperation("i-bind-b", "i", "b", succeeded)), getOp(t, s, "i-bind-b"))
		same(t, "the instance's operation", secretOperation("i-provision", "i", "", succeeded), getOp(t, s, "i-provision"))
		same(t, "the other binding's operation", secretOperation("i-bind-c", "i", "c", failed), getOp(t, s, "i-bind-c"))
		for binding, want := range map[string]string{"": "first ", "b": "second", "c": "first c"} {
			update(t, s, func(tx core.Tx) error {
				got, err := tx.Secret("i", binding, "admin", value("second"))
				same(t, "secret of "+binding, want, got)
				return err
			})
		}
	})
	t.Run("the operation that deletes is a tombstone, too", func(t *testing.T) {
		for name, order := range map[string][]string{"row first": {"row", "operation"}, "operation first": {"operation", "row"}} {
			s := c.open(t)
			update(t, s, setup)
			update(t, s, func(tx core.Tx) error {
				return all(tx, insert(secretOperation("delete", "i", "", pending)), insert(secretOperation("unbind", "i", "b", pending)))
			})
			steps := map[string]func(core.Tx) error{
				"row": func(tx core.Tx) error { return tx.DeleteInstance("i") },
				"operation": func(tx core.Tx) error {
					if err := tx.UpdateOperation(secretOperation("unbind", "i", "b", succeeded)); err != nil {
						return err
					}
					return tx.UpdateOperation(secretOperation("delete", "i", "", succeeded))
				},
			}
			update(t, s, func(tx core.Tx) error { return all(tx, steps[order[0]], steps[order[1]]) })
			same(t, name, tombstone(secretOperation("delete", "i", "", succeeded)), getOp(t, s, "delete"))
			same(t, name, tombstone(secretOperation("unbind", "i", "b", succeeded)), getOp(t, s, "unbind"))
		}
	})
	t.Run("unfinished operations keep what they need", func(t *testing.T) {
		s := c.open(t)
		op := secretOperation("running", "i", "", cancelling)
		update(t, s, func(tx core.Tx) error { return all(tx, putInstance(&core.Instance{ID: "i"}), insert(op)) })
		update(t, s, func(tx core.Tx) error { return tx.DeleteInstance("i") })
		same(t, "operation", op, getOp(t, s, "running"))
		// It finishes in the next incarnation, as a tombstone of the last one.
		update(t, s, func(tx core.Tx) error {
			return all(tx, putInstance(&core.Instance{ID: "i"}), func(tx core.Tx) error {
				return tx.UpdateOperation(secretOperation("running", "i", "", failed))
			})
		})
		same(t, "when it finished", tombstone(secretOperation("running", "i", "", failed)), getOp(t, s, "running"))
	})
	t.Run("tombstones are removed by age", c.deleteTombstones)
}

func (c *suite) deleteTombstones(t *testing.T) {
	s := c.open(t)
	at := func(op *core.Operation, second int64) *core.Operation {
		op.FinishedAt = time.Unix(second, 0).UTC()
		return op
	}
	update(t, s, func(tx core.Tx) error {
		return all(tx, putInstance(&core.Instance{ID: "gone"}), putInstance(&core.Instance{ID: "lives"}), putBinding("lives", "gone"),
			insert(at(operation("1", "gone", "", succeeded), 1)), insert(at(operation("2", "gone", "b", failed), 2)),
			insert(at(operation("3", "lives", "gone", succeeded), 3)), insert(at(operation("4", "lives", "", succeeded), 1)),
			insert(at(operation("5", "gone", "", succeeded), 5)), insert(operation("6", "gone", "", cancelling)),
			func(tx core.Tx) error { return tx.AddStep(&core.Step{Operation: "1"}) })
	})
	sweep := func(before int64, limit int) (n int) {
		update(t, s, func(tx core.Tx) (err error) { n, err = tx.DeleteTombstones(time.Unix(before, 0), limit); return err })
		return n
	}
	left := func() []string {
		return operationIDs(read(t, s, func(tx core.Tx) ([]*core.Operation, error) { return tx.Operations(core.OperationFilter{}) }))
	}
	same(t, "while the instances live", 1, sweep(100, 10)) // operation 2: its binding never was
	update(t, s, func(tx core.Tx) error {
		return all(tx, func(tx core.Tx) error { return tx.DeleteInstance("gone") }, func(tx core.Tx) error { return tx.DeleteBinding("lives", "gone") })
	})
	same(t, "no more than the limit", 1, sweep(5, 1))
	same(t, "the oldest went first", []string{"6", "5", "4", "3"}, left())
	same(t, "steps went, too", 0, len(read(t, s, func(tx core.Tx) ([]*core.Step, error) { return tx.Steps("1") })))
	same(t, "none with limit 0", 0, sweep(5, 0))
	same(t, "only before the time", 1, sweep(5, 10))
	same(t, "what lives, is young or unfinished stays", []string{"6", "5", "4"}, left())
}
