package core_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

func TestHistoryIsBounded(t *testing.T) {
	r := newRig(t)
	old := time.Unix(1, 0).UTC()
	err := r.store.Update(context.Background(), func(tx core.Tx) error {
		if err := tx.PutInstance(&core.Instance{ID: "i", Ready: true, Usable: true}); err != nil {
			return err
		}
		for n := range 60 {
			op := &core.Operation{ID: fmt.Sprint(n), InstanceID: "i", Verb: core.VerbUpdate, State: core.OperationSucceeded, FinishedAt: old}
			if n >= 55 { // young, as if by a clock that goes on
				op.FinishedAt = time.Now()
			}
			if err := tx.InsertOperation(op); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing to do
		r.b.Trim()
		var left []*core.Operation
		err = r.store.View(context.Background(), func(tx core.Tx) (err error) {
			left, err = tx.Operations(core.OperationFilter{InstanceID: "i"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(left) != 50 || left[0].ID != "59" || left[49].ID != "10" {
			t.Errorf("%d operations are left, want the newest 50", len(left))
		}
	}
}
