package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

func (c *suite) trim(t *testing.T) {
	open := func(t *testing.T) (core.Store, core.Trimmer) {
		s := c.open(t)
		trimmer, ok := s.(core.Trimmer)
		if !ok {
			t.Skip("this store does not implement core.Trimmer")
		}
		return s, trimmer
	}
	// finish is an operation that finished at a second.
	finish := func(id, instance, binding, definition string, second int64) func(core.Tx) error {
		op := operation(id, instance, binding, succeeded)
		op.Definition, op.FinishedAt = definition, time.Unix(second, 0).UTC()
		return insert(op)
	}
	left := func(t *testing.T, s core.Store) []string {
		ids := operationIDs(read(t, s, func(tx core.Tx) ([]*core.Operation, error) { return tx.Operations(core.OperationFilter{}) }))
		slices.Reverse(ids)
		return ids
	}
	t.Run("history", func(t *testing.T) {
		s, trimmer := open(t)
		update(t, s, func(tx core.Tx) error {
			return all(tx, putInstance(&core.Instance{ID: "i"}), putInstance(&core.Instance{ID: "j"}), putBinding("i", "b"),
				finish("i1", "i", "", "", 1), finish("i2", "i", "", "", 2), finish("b1", "i", "b", "", 1), finish("j1", "j", "", "", 1),
				finish("gone", "was", "", "", 1), finish("i3", "i", "", "", 3), finish("i4", "i", "", "", 4), finish("b2", "i", "b", "", 2),
				finish("b3", "i", "b", "", 3), insert(operation("run", "i", "", cancelling)), insert(operation("now", "i", "", pending)),
				func(tx core.Tx) error { return tx.AddStep(&core.Step{Operation: "i1"}) })
		})
		trim := func(second int64, keep int) core.Trimmed {
			t.Helper()
			done, err := trimmer.Trim(t.Context(), time.Unix(second, 0), keep)
			if err != nil {
				t.Fatal(err)
			}
			return done
		}
		same(t, "none is old enough", core.Trimmed{}, trim(1, 1))
		same(t, "none has so many after it", core.Trimmed{}, trim(100, 10))
		// i1 and i2 have two finished and two unfinished ones after them, i3 three, i4 and b1 two.
		same(t, "with four after it", core.Trimmed{Operations: 2}, trim(3, 4))
		same(t, "left", []string{"b1", "j1", "gone", "i3", "i4", "b2", "b3", "run", "now"}, left(t, s))
		same(t, "its steps", 0, len(read(t, s, func(tx core.Tx) ([]*core.Step, error) { return tx.Steps("i1") })))
		same(t, "all but the last", core.Trimmed{Operations: 4}, trim(100, 1))
		same(t, "what is unfinished, the last, or a tombstone stays", []string{"j1", "gone", "b3", "run", "now"}, left(t, s))
		if _, err := trimmer.Trim(t.Context(), time.Now(), 0); err == nil {
			t.Error("the last operation may not go, since repeated requests are compared with it")
		}
	})
	t.Run("much history", func(t *testing.T) {
		s, trimmer := open(t)
		update(t, s, func(tx core.Tx) error {
			if err := tx.PutInstance(&core.Instance{ID: "i"}); err != nil {
				return err
			}
			for n := range 2500 {
				if err := finish(fmt.Sprint(n), "i", "", "", 1)(tx); err != nil {
					return err
				}
			}
			return nil
		})
		done, err := trimmer.Trim(t.Context(), time.Unix(100, 0), 50)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "trimmed", core.Trimmed{Operations: 2450}, done)
		same(t, "left", 50, len(left(t, s)))
	})
	t.Run("definitions", func(t *testing.T) {
		s, trimmer := open(t)
		update(t, s, func(tx core.Tx) error {
			for _, digest := range []string{"instance", "binding", "operation", "tombstone", "nothing", "neither"} {
				if err := tx.PutDefinition(core.Definition{Digest: digest, Blob: []byte("x")}); err != nil {
					return err
				}
			}
			return all(tx, putInstance(&core.Instance{ID: "i", Definition: "instance"}),
				func(tx core.Tx) error {
					return tx.PutBinding(&core.Binding{InstanceID: "i", ID: "b", Definition: "binding"})
				},
				finish("o", "i", "", "operation", 1), finish("t", "was", "", "tombstone", 1))
		})
		done, err := trimmer.Trim(t.Context(), time.Unix(100, 0), 50)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "trimmed", core.Trimmed{Definitions: 2}, done)
		for digest, want := range map[string]bool{"instance": true, "binding": true, "operation": true, "tombstone": true, "nothing": false, "neither": false} {
			err := readErr(s, func(tx core.Tx) (core.Definition, error) { return tx.Definition(digest) })
			if (err == nil) != want {
				t.Errorf("%s: %v", digest, err)
			}
		}
		update(t, s, func(tx core.Tx) error { // one that was deleted can come back
			return tx.PutDefinition(core.Definition{Digest: "nothing", Blob: []byte("x")})
		})
	})
}
