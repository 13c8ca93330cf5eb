package core

import (
	"cmp"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"time"
)

// Config is what a Broker is made of. Catalog, Store and Backends are required;
// the rest has defaults.
type Config struct {
	Catalog  Catalog
	Store    Store
	Backends Backends
	// Inventory asks what exists at backends, for operators; default: Backends, if it can.
	Inventory Inventory

	Log   *slog.Logger // default: discard
	Audit *slog.Logger // audit records; default: Log
	// Observe is told of every finished plugin call and operation; default: nothing.
	Observe Observer
	// Trace shows operations and plugin calls as spans; default: nothing.
	Trace Tracer

	Now    func() time.Time // default: time.Now
	Random io.Reader        // default: crypto/rand

	// FastAnswer is how long a request with accepts_incomplete waits for the work
	// before it is answered 202. Default 2 s; negative means not at all.
	FastAnswer time.Duration
	// SyncBudget is how long a request without accepts_incomplete waits, from its
	// first byte. Default 55 s.
	SyncBudget time.Duration
	// Backoff is the first and the longest pause after an unavailable answer.
	// Default 1 s and 1 min, doubled each time, with up to 20 % of jitter.
	BackoffMin, BackoffMax time.Duration
	// PollInterval is the Retry-After of a poll where the plugin names none. Default 2 s.
	PollInterval time.Duration
	// KeepTombstones is how long finished operations of deleted instances are kept. Default 30 days.
	KeepTombstones time.Duration
	// MaxUnfinished is how many unfinished operations there may be before requests
	// are refused with CodeOverloaded. Default 20,000.
	// A sixteenth of this and the next two is kept for deprovisions and unbinds.
	MaxUnfinished int
	// MaxUnfinishedPerBackend and MaxUnfinishedPerUser are how many of them one backend and
	// one user may have, so that others find a place. Default three quarters of MaxUnfinished.
	MaxUnfinishedPerBackend, MaxUnfinishedPerUser int

	// Leases lets several brokers work over one store. Nil: this one is alone, and
	// runs every operation whose Holder is "".
	Leases Leases
	// ReplicaName and Version tell operators which process holds a lease. Default: the
	// host's name and the process id; "".
	ReplicaName, Version string
	// Keys is the revision of the keyset that this process can decrypt with, see Replica. Default: 0.
	Keys func() int64
	// LeaseTTL is how long after its last renewal a lease ends, so that other replicas take
	// its operations over. Plugin calls end after 6/10 of it. Default 10 s.
	LeaseTTL time.Duration
	// OnDocument is told the key of a document of the store that another replica has
	// changed, or "" if any may have been. It must return at once. Default: nothing.
	OnDocument func(key string)

	// Fault is called before and after every store write and plugin call of the
	// lifecycle, so that tests can end the process there. Nil in production.
	Fault func(FaultPoint)
}

// Observer is told what happens, for metrics. Its methods must return at once.
type Observer interface {
	// OperationFinished is called once per operation; code is "" on success.
	OperationFinished(backend string, verb Verb, code ErrorCode, took time.Duration)
	// CallFinished is called once per plugin call.
	CallFinished(backend string, verb Verb, code ErrorCode, took time.Duration)
}

// withDefaults fills in what the configuration leaves open.
func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Audit == nil {
		c.Audit = c.Log
	}
	if c.Observe == nil {
		c.Observe = nobody{}
	}
	if c.Trace == nil {
		c.Trace = nobody{}
	}
	if c.Inventory == nil {
		c.Inventory, _ = c.Backends.(Inventory)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Fault == nil {
		c.Fault = func(FaultPoint) {}
	}
	if c.Keys == nil {
		c.Keys = func() int64 { return 0 }
	}
	if c.ReplicaName == "" {
		c.ReplicaName = defaultReplicaName()
	}
	c.LeaseTTL = cmp.Or(c.LeaseTTL, 10*time.Second)
	if c.OnDocument == nil {
		c.OnDocument = func(string) {}
	}
	c.FastAnswer = cmp.Or(c.FastAnswer, 2*time.Second)
	c.SyncBudget = cmp.Or(c.SyncBudget, 55*time.Second)
	c.BackoffMin = cmp.Or(c.BackoffMin, time.Second)
	c.BackoffMax = cmp.Or(c.BackoffMax, time.Minute)
	c.PollInterval = cmp.Or(c.PollInterval, 2*time.Second)
	c.KeepTombstones = cmp.Or(c.KeepTombstones, 30*24*time.Hour)
	c.MaxUnfinished = cmp.Or(c.MaxUnfinished, 20000)
	c.MaxUnfinishedPerBackend = cmp.Or(c.MaxUnfinishedPerBackend, share(c.MaxUnfinished))
	c.MaxUnfinishedPerUser = cmp.Or(c.MaxUnfinishedPerUser, share(c.MaxUnfinished))
	return c
}

// Tracer shows operations and their plugin calls as spans of the trace that
// Operation.Trace names, across restarts. Its methods must return at once.
type Tracer interface {
	// Call begins the span of one plugin call of op. The plugin is called in the
	// context that it gives; end is called once, with the call's error.
	Call(ctx context.Context, op *Operation, call *Call) (traced context.Context, end func(error))
	// Finished is called once per operation, after its last call.
	Finished(op *Operation)
}

// nobody is the Observer and the Tracer where none is configured.
type nobody struct{}

func (nobody) Call(ctx context.Context, _ *Operation, _ *Call) (context.Context, func(error)) {
	return ctx, func(error) {}
}
func (nobody) Finished(*Operation) {}

func (nobody) OperationFinished(string, Verb, ErrorCode, time.Duration) {}
func (nobody) CallFinished(string, Verb, ErrorCode, time.Duration)      {}
