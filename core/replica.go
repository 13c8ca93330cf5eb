package core

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// replica is this broker's part in Leases: it holds a lease for as long as it can, and
// takes another one, under a new name, when it could not. Its times are parts of
// Config.LeaseTTL, by the local clock, from before the last successful renewal was sent.
type replica struct {
	b      *Broker
	leases Leases
	ttl    time.Duration

	ctx  context.Context // ends when the broker begins to hand over
	stop context.CancelCauseFunc
	left chan struct{} // closed when everything was handed over

	mu  sync.Mutex
	now *tenure

	claim chan struct{} // a wish to look for operations, see claims
	wish  wishes
}

func newReplica(b *Broker) *replica {
	r := &replica{b: b, leases: b.cfg.Leases, ttl: b.cfg.LeaseTTL, left: make(chan struct{}), claim: make(chan struct{}, 1)}
	r.ctx, r.stop = context.WithCancelCause(b.ctx)
	return r
}

// The parts of the lease's time: renewals are tried so often that one or two may fail, calls are
// cancelled while there is still time for plugins to obey, and plugins that did not are
// killed while the lease still lives.
func (r *replica) renewEvery() time.Duration               { return r.ttl / 4 }
func (r *replica) retryEvery() time.Duration               { return r.ttl / 20 }
func (r *replica) lookEvery() time.Duration                { return min(time.Second, r.ttl/10) }
func (r *replica) callsUntil(sent time.Time) time.Time     { return sent.Add(r.ttl * 6 / 10) }
func (r *replica) processesUntil(sent time.Time) time.Time { return sent.Add(r.ttl * 9 / 10) }

// tenure is what new work runs under; nil while this broker holds no lease.
func (b *Broker) tenure() *tenure {
	t := b.alone
	if r := b.replica; r != nil {
		r.mu.Lock()
		t = r.now
		r.mu.Unlock()
	}
	if t == nil || t.ctx.Err() != nil {
		return nil
	}
	return t
}

// holds tells whether this broker is the one to run the operation.
func (b *Broker) holds(op *Operation) bool {
	t := b.tenure()
	return t != nil && op.Holder == t.holder
}

// acquire makes a new lease.
func (r *replica) acquire(ctx context.Context) error {
	id, err := r.b.clock.bytes(16)
	if err != nil {
		return err
	}
	t := newTenure(r.ctx, hex.EncodeToString(id))
	if err := r.renew(ctx, t); err != nil {
		t.stop(err)
		return err
	}
	r.mu.Lock()
	r.now = t
	r.mu.Unlock()
	r.b.sched.forget()
	r.b.cfg.Log.Info("lease taken", "holder", t.holder, "replica", r.b.cfg.ReplicaName)
	r.look()
	return nil
}

// renew renews the tenure's lease and says how long work may run.
func (r *replica) renew(ctx context.Context, t *tenure) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.renewEvery())
	defer cancel()
	self := Replica{Holder: t.holder, Name: r.b.cfg.ReplicaName, Version: r.b.cfg.Version, Keys: r.b.cfg.Keys()}
	sent := r.b.cfg.Now()
	if err := r.leases.Renew(ctx, self, r.ttl); err != nil {
		return err
	}
	if bound, ok := r.b.cfg.Backends.(LeaseBound); ok {
		bound.KeepUntil(r.processesUntil(sent))
	}
	t.extend(r.callsUntil(sent), r.b.cfg.Now())
	return nil
}

// keep holds one lease after the other until the broker hands over.
func (r *replica) keep() {
	defer r.b.wg.Done()
	defer close(r.left)
	for failures := 0; ; {
		if t := r.b.tenure(); t != nil {
			r.serve(t)
		}
		r.giveUp()
		if !r.b.pause(r.ctx, min(r.retryEvery()*time.Duration(failures), r.renewEvery())) {
			return
		}
		if err := r.acquire(r.ctx); err != nil {
			failures++
			r.b.cfg.Log.Error("no lease can be taken; trying again", "attempts", failures, "error", err)
			continue
		}
		failures = 0
	}
}

// serve renews the lease until it ends or the broker hands over.
func (r *replica) serve(t *tenure) {
	wait := r.renewEvery()
	for r.b.pause(t.ctx, wait) {
		wait = r.renewEvery()
		switch err := r.renew(t.ctx, t); {
		case errors.Is(err, ErrLeaseLost):
			t.stop(ErrLeaseEnding)
		case err != nil:
			wait = r.retryEvery()
			r.b.cfg.Log.Warn("the lease cannot be renewed; trying again", "holder", t.holder, "error", err)
		}
	}
}

// giveUp waits until the work under the lease has ended, and frees what is left of
// it for other replicas. A lease that was not lost lives for as long as that takes.
func (r *replica) giveUp() {
	r.mu.Lock()
	t := r.now
	r.now = nil
	r.mu.Unlock()
	if t == nil {
		return
	}
	ended, kept := t.close(), errors.Is(context.Cause(t.ctx), errShutdown)
	if !kept {
		r.b.cfg.Log.Error("the lease was lost: other replicas may take the operations over", "holder", t.holder)
	}
	renewals := time.NewTicker(r.renewEvery())
	defer renewals.Stop()
	for working := true; working; {
		select {
		case <-ended:
			working = false
		case <-renewals.C:
			if !kept {
				continue
			}
			if err := r.renew(t.ctx, t); err != nil {
				r.b.cfg.Log.Warn("the lease cannot be renewed while the last calls end", "holder", t.holder, "error", err)
			}
		}
	}
	r.release(t)
}

// release frees the operations at once; otherwise they are free when the lease ends.
func (r *replica) release(t *tenure) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.renewEvery())
	defer cancel()
	if err := r.leases.Release(ctx, t.holder); err != nil {
		r.b.cfg.Log.Warn("the lease cannot be released; its operations wait for its end", "holder", t.holder, "error", err)
		return
	}
	r.leases.Hint(Hint{Kind: HintConsider})
	r.b.cfg.Log.Info("lease released", "holder", t.holder)
}

// others tells whether another replica is there to take over.
func (r *replica) others() bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), r.renewEvery())
	defer cancel()
	list, err := r.leases.Replicas(ctx)
	return err == nil && len(list) > 0 // our own lease is released
}

// defaultReplicaName is the host and the process.
func defaultReplicaName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
