package core

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// claimLimit bounds how many instances' operations one claim takes, so that the
	// replicas that are left share those of a dead one.
	claimLimit = 200
	// maxWishes bounds the instances that wait to be considered; with more, all are.
	maxWishes = 10000
)

// wishes are what claims has to look at.
type wishes struct {
	mu        sync.Mutex
	instances map[string]bool
	all       bool // whatever this replica holds
}

func (w *wishes) add(instance string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.instances == nil {
		w.instances = map[string]bool{}
	}
	if w.instances[instance] = true; len(w.instances) > maxWishes {
		w.all, w.instances = true, nil
	}
}

func (w *wishes) addAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = true
}

func (w *wishes) take() (instances map[string]bool, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	instances, all = w.instances, w.all
	w.instances, w.all = nil, false
	return instances, all
}

// look wakes claims.
func (r *replica) look() {
	select {
	case r.claim <- struct{}{}:
	default: // it will look anyway
	}
}

// claims takes operations that are free or whose holder's lease has ended, and considers
// what other replicas hinted at, until the broker hands over.
func (r *replica) claims() {
	defer r.b.wg.Done()
	for {
		if t := r.b.tenure(); t != nil {
			r.considerWishes(t)
			r.takeOver(t)
		}
		select {
		case <-r.claim:
		case <-time.After(r.jittered(r.lookEvery())):
		case <-r.ctx.Done():
			return
		}
	}
}

// jittered spreads the replicas' looks at the store.
func (r *replica) jittered(d time.Duration) time.Duration {
	if x, err := r.b.clock.bytes(1); err == nil {
		d += d / 5 * time.Duration(x[0]) / 255
	}
	return d
}

// considerWishes looks at the instances that others hinted at or, after a failure in which we may
// have missed something, at all that this replica holds.
func (r *replica) considerWishes(t *tenure) {
	instances, all := r.wish.take()
	ids := slices.Collect(maps.Keys(instances))
	if all {
		err := r.b.view(t.ctx, func(tx Tx) (err error) {
			held, err := tx.Held(t.holder)
			ids = append(ids, held...)
			return err
		})
		if err != nil {
			r.wish.addAll()
			r.b.cfg.Log.Error("the held operations cannot be listed; trying again", "error", err)
		}
	}
	for _, id := range ids {
		if t.ctx.Err() != nil {
			return
		}
		r.b.sched.consider(id)
	}
}

// takeOver claims until nothing is left to be claimed.
func (r *replica) takeOver(t *tenure) {
	for t.ctx.Err() == nil && !r.b.dispatcher.state().Paused {
		ctx, cancel := context.WithTimeout(t.ctx, storeTimeout)
		instances, err := r.leases.Claim(ctx, t.holder, claimLimit)
		cancel()
		switch {
		case errors.Is(err, ErrLeaseLost):
			t.stop(ErrLeaseEnding)
			return
		case err != nil: // it may have been done all the same
			r.wish.addAll()
			if t.ctx.Err() == nil {
				r.b.cfg.Log.Error("operations cannot be claimed; trying again", "error", err)
			}
			return
		case len(instances) == 0:
			return
		}
		r.b.cfg.Log.Info("operations claimed", "holder", t.holder, "instances", len(instances))
		for _, id := range instances {
			r.b.sched.consider(id)
		}
	}
}
