package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// bareCommits measures how many cycles' worth of bare journal commits the machine does
// per second, eight for a cycle, since an operation needs one that accepts it and one that ends it: the same driver, settings, group commit and number of workers as
// the broker's, on a new store in dir; each commit writes one row of the journal and
// nothing else, with nothing else running.
func bareCommits(ctx context.Context, dir string, workers int, d time.Duration) (cyclesPerSecond float64, err error) {
	dir, err = os.MkdirTemp(dir, "bare-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	s, err := store.OpenSQLite(ctx, store.SQLiteConfig{Path: filepath.Join(dir, "bare.db")})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	var cycles atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, workers)
	began := time.Now()
	for range workers {
		wg.Go(func() {
			for time.Since(began) < d && ctx.Err() == nil {
				if err := bareCycle(ctx, s); err != nil {
					failed <- err
					return
				}
				cycles.Add(1)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return 0, err
	default:
		return float64(cycles.Load()) / time.Since(began).Seconds(), context.Cause(ctx)
	}
}

// bareCycle journals four operations: each accepted in one transaction and ended in another.
func bareCycle(ctx context.Context, s core.Store) error {
	instance, binding := uuid.NewString(), uuid.NewString()
	for _, verb := range []core.Verb{core.VerbProvision, core.VerbBind, core.VerbUnbind, core.VerbDeprovision} {
		op := journalRow(verb, instance)
		if verb == core.VerbBind || verb == core.VerbUnbind {
			op.BindingID = binding
		}
		if err := s.Update(ctx, func(tx core.Tx) error { return tx.InsertOperation(op) }); err != nil {
			return err
		}
		op.State, op.FinishedAt = core.OperationSucceeded, time.Now()
		if err := s.Update(ctx, func(tx core.Tx) error { return tx.UpdateOperation(op) }); err != nil {
			return err
		}
	}
	return nil
}

// journalRow is an operation as a broker journals it for the demo service.
func journalRow(verb core.Verb, instance string) *core.Operation {
	now := time.Now()
	return &core.Operation{ID: uuid.NewString(), Verb: verb, InstanceID: instance, State: core.OperationPending,
		Phase: core.PhaseCall, Backend: "demo", Seed: make([]byte, 32), Fence: 1, Calls: 1, ProgressPercent: -1,
		Request:    "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
		Definition: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		Wanted: core.Wanted{ServiceID: demoPlan.ServiceID, PlanID: demoPlan.PlanID, Parameters: []byte(`{"size":10}`),
			Inputs: []byte(`{"size":10}`), Context: []byte(`{"clusterid":"load","namespace":"default","platform":"kubernetes"}`)},
		User: "platform", RequestID: uuid.NewString(), CreatedAt: now, StartedAt: now, Deadline: now.Add(time.Minute)}
}
