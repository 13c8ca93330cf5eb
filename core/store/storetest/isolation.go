package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// isolation tests that what an Update has read stays so until it ends, for every
// reading method beside a write that changes its answer. Where Updates run side by
// side, a method that forgot its lock shows here.
func (c *suite) isolation(t *testing.T) {
	const instance = "i"
	secret := func(v string) func() (string, error) { return func() (string, error) { return v, nil } }
	answer := func(v any, err error) (any, error) {
		if errors.Is(err, core.ErrNotFound) {
			return "absent", nil
		}
		return v, err
	}
	before := func(tx core.Tx) error {
		done := held("done", instance, "b", "h", 1)
		done.State = succeeded
		return all(tx, putInstance(&core.Instance{ID: instance}), putBinding(instance, "b"), insert(held("o", instance, "", "h", 1)),
			insert(done), put("there", "before"), func(tx core.Tx) error { return tx.Reserve("be", "f", "taken", instance) },
			func(tx core.Tx) error { return tx.PutDefinition(core.Definition{Digest: "there"}) })
	}
	newer := func(tx core.Tx) error { return tx.InsertOperation(held("n", instance, "new", "h", 1)) }
	ends := func(tx core.Tx) error { return tx.UpdateOperation(operation("o", instance, "", failed)) }
	other := putInstance(&core.Instance{ID: "other", PlanID: "p"})
	for _, tc := range []struct {
		name  string
		read  func(core.Tx) (any, error)
		write func(core.Tx) error
	}{
		{"Instance", func(tx core.Tx) (any, error) { return answer(tx.Instance(instance)) }, putInstance(&core.Instance{ID: instance, PlanID: "new"})},
		{"Instance, absent", func(tx core.Tx) (any, error) { return answer(tx.Instance("other")) }, other},
		{"Instances", func(tx core.Tx) (any, error) { return answer(tx.Instances(core.InstanceFilter{})) }, other},
		{"Instances of a plan", func(tx core.Tx) (any, error) { return answer(tx.Instances(core.InstanceFilter{PlanID: "p"})) }, other},
		{"Binding", func(tx core.Tx) (any, error) { return answer(tx.Binding(instance, "b")) }, func(tx core.Tx) error { return tx.DeleteBinding(instance, "b") }},
		{"Bindings", func(tx core.Tx) (any, error) { return answer(tx.Bindings(instance)) }, putBinding(instance, "new")},
		{"Bindings, their instance goes", func(tx core.Tx) (any, error) { return answer(tx.Bindings(instance)) }, func(tx core.Tx) error { return tx.DeleteInstance(instance) }},
		{"Operation", func(tx core.Tx) (any, error) { return answer(tx.Operation("o")) }, ends},
		{"Operation, absent", func(tx core.Tx) (any, error) { return answer(tx.Operation("n")) }, newer},
		{"Operation, deleted", func(tx core.Tx) (any, error) { return answer(tx.Operation("o")) }, func(tx core.Tx) error { return tx.DeleteOperation("o") }},
		{"LatestOperation", func(tx core.Tx) (any, error) { return answer(tx.LatestOperation(instance, "new")) }, newer},
		{"Unfinished", func(tx core.Tx) (any, error) { return answer(tx.Unfinished(instance)) }, newer},
		{"Unfinished of all", func(tx core.Tx) (any, error) { return answer(tx.Unfinished("")) }, newer},
		{"Held", func(tx core.Tx) (any, error) { return answer(tx.Held("h")) }, ends},
		{"HeldOperations", func(tx core.Tx) (any, error) { return answer(tx.HeldOperations("h")) }, ends},
		{"States", func(tx core.Tx) (any, error) { return answer(tx.States([]string{"o"})) }, ends},
		{"Operations of an instance", func(tx core.Tx) (any, error) {
			return answer(tx.Operations(core.OperationFilter{InstanceID: instance}))
		}, newer},
		{"Operations", func(tx core.Tx) (any, error) { return answer(tx.Operations(core.OperationFilter{})) }, newer},
		{"Steps", func(tx core.Tx) (any, error) { return answer(tx.Steps("o")) }, func(tx core.Tx) error { return tx.AddStep(&core.Step{Operation: "o"}) }},
		{"Secret", func(tx core.Tx) (any, error) { return answer(tx.Secret(instance, "", "s", secret("first"))) },
			func(tx core.Tx) error {
				_, err := tx.Secret(instance, "", "s", secret("second"))
				return err
			}},
		{"Reserved", func(tx core.Tx) (any, error) { return answer(tx.Reserved("be", "f", "free")) }, func(tx core.Tx) error { return tx.Reserve("be", "f", "free", "other") }},
		{"Reserved, released", func(tx core.Tx) (any, error) { return answer(tx.Reserved("be", "f", "taken")) }, func(tx core.Tx) error { return tx.Release("be", "f", instance) }},
		{"Reserved, its instance goes", func(tx core.Tx) (any, error) { return answer(tx.Reserved("be", "f", "taken")) }, func(tx core.Tx) error { return tx.DeleteInstance(instance) }},
		{"Definition", func(tx core.Tx) (any, error) { return answer(tx.Definition("new")) }, func(tx core.Tx) error { return tx.PutDefinition(core.Definition{Digest: "new"}) }},
		{"PlansInUse", func(tx core.Tx) (any, error) { return answer(tx.PlansInUse()) }, other},
		{"Get", func(tx core.Tx) (any, error) { return answer(tx.Get("there")) }, put("there", "after")},
		{"Get, absent", func(tx core.Tx) (any, error) { return answer(tx.Get("new")) }, put("new", "after")},
		{"Counts", func(tx core.Tx) (any, error) { return answer(tx.Counts()) }, other},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := c.open(t)
			update(t, s, before)
			was := read(t, s, func(tx core.Tx) (any, error) {
				if tc.name == "Secret" { // which a View cannot make
					return nil, nil
				}
				return tc.read(tx)
			})
			written := make(chan error, 1)
			started := false
			update(t, s, func(tx core.Tx) error {
				first, err := tc.read(tx)
				if err != nil {
					return err
				}
				if !started {
					started = true
					go func() { written <- s.Update(context.Background(), tc.write) }()
				}
				select { // it cannot be told that somebody waits; so it gets the time to go wrong
				case err := <-written:
					written <- err
				case <-time.After(25 * time.Millisecond):
				}
				second, err := tc.read(tx)
				if err != nil {
					return err
				}
				if diff := cmp.Diff(first, second, ignoreCause); diff != "" {
					t.Errorf("it changed within one Update (-first +second):\n%s", diff)
				}
				return nil
			})
			if err := <-written; err != nil {
				t.Fatalf("the other Update: %v", err)
			}
			now := read(t, s, func(tx core.Tx) (any, error) {
				if tc.name == "Secret" {
					return "made", nil
				}
				return tc.read(tx)
			})
			if cmp.Equal(was, now, ignoreCause) {
				t.Error("the write does not change what is read: this case tests nothing")
			}
		})
	}
}
