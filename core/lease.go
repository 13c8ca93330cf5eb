package core

import (
	"context"
	"errors"
	"time"
)

// ErrLeaseLost is what Leases.Renew returns for a lease that has ended: other replicas
// may have taken its operations over by now, and its holder never gets a lease again.
var ErrLeaseLost = errors.New("the lease has ended")

// ErrLeaseEnding is the cause with which the contexts of plugin calls are cancelled when
// this broker's lease is about to end: such a call must be over very soon, whatever it costs.
var ErrLeaseEnding = errors.New("this broker's lease is about to end")

// Leases lets several brokers (replicas) work over one store. A replica holds one lease,
// which it renews; an unfinished operation is run by its holder for as long as that one's
// lease lives. All unfinished operations of an instance have the same holder, so that what
// may run side by side is decided in one place. Every write of the work on an operation
// checks Holder and Epoch in its own transaction. Times are the database's. Both
// stores of core/store implement it; safe for concurrent use.
type Leases interface {
	// Renew lets the replica's lease end ttl from now; the first call makes it.
	// ErrLeaseLost if it has ended before.
	Renew(ctx context.Context, replica Replica, ttl time.Duration) error
	// Release ends the holder's lease and frees its unfinished operations (Holder "")
	// for others to claim at once. Releasing what does not exist is fine.
	Release(ctx context.Context, holder string) error
	// Claim makes holder the holder of unfinished operations that are free (Holder "") or
	// whose holder's lease has ended: all those of up to limit instances, raising their
	// Epoch. It gives the instances' ids, none if there is nothing to take.
	// ErrLeaseLost if holder has no live lease.
	Claim(ctx context.Context, holder string, limit int) (instances []string, err error)
	// Replicas lists the holders of live leases.
	Replicas(ctx context.Context) ([]Replica, error)
	// Hint tells the other replicas something, soon and without a promise: whoever
	// needs to know looks at the store from time to time, too. It returns at once.
	Hint(hints ...Hint)
	// Listen calls heard for the hints of other replicas until ctx ends, one at a
	// time; after a break of the connection, in which hints may have been lost, it
	// calls heard with a Hint of kind HintMissed. It gives ctx's error.
	Listen(ctx context.Context, heard func(Hint)) error
}

// Replica is one broker process over a shared store, from one start (or loss of its
// lease) to the next.
type Replica struct {
	Holder  string // unique; never used again
	Name    string // of the process, for operators: its host name and process id
	Version string // of its program
	Keys    int64  // revision of the keyset that it can decrypt with; 0 without encryption
}

// HintKind says what a Hint is about.
type HintKind string

// The kinds of hints.
const (
	HintConsider  HintKind = "consider"  // ID is an instance whose queue may have moved; "" if operations became free
	HintInterrupt HintKind = "interrupt" // ID is an operation whose plugin call must end
	HintFinished  HintKind = "finished"  // ID is an operation that has finished
	HintDocument  HintKind = "document"  // ID is the key of a document that was put
	HintMissed    HintKind = "missed"    // any of the others may have been lost
)

// Hint is a word from one replica to the others that the store has changed.
type Hint struct {
	Kind HintKind `json:"kind"`
	ID   string   `json:"id"`
}

// LeaseBound is a Backends whose processes can be ended when a lease ends even while the
// broker's own process is frozen. core/pluginhost implements it.
type LeaseBound interface {
	// KeepUntil promises that no plugin process works after t unless a later time
	// is told before; calls are refused from then on. The zero time ends the promise: no bound.
	KeepUntil(t time.Time)
}
