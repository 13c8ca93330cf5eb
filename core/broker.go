package core

import (
	"context"
	"sync"
	"time"
)

// Broker is the dispatcher: it decides what a request means, journals it, runs the
// operations and answers. Make one with New, then call Start; safe for concurrent use.
type Broker struct {
	cfg   Config
	sched *scheduler
	clock *clock
	// dispatcher knows whether operations may start.
	dispatcher *dispatcher
	// declared is what plugins' schemas say, read once.
	declared declared

	ctx  context.Context // ends when Close begins, with the cause errShutdown
	stop context.CancelCauseFunc
	wg   sync.WaitGroup // every goroutine and every request

	alone   *tenure  // without Leases
	replica *replica // with Leases

	// works and begins hold one for each transaction of the work that is under way.
	works, begins chan struct{}

	mu       sync.Mutex
	phase    brokerPhase
	requests int           // that are being answered
	closing  bool          // Close waits for the last of them
	answered chan struct{} // closed when it does and none is left
}

type brokerPhase int

const (
	phaseNew brokerPhase = iota
	phaseOpen
	phaseClosed
)

// New makes a Broker; it does nothing before Start. It fails if a required part of
// the configuration is missing.
func New(cfg Config) (*Broker, error) {
	if cfg.Catalog == nil || cfg.Store == nil || cfg.Backends == nil {
		return nil, Errorf(CodeFailed, "a broker needs a catalog, a store and backends")
	}
	b := &Broker{cfg: cfg.withDefaults()}
	b.ctx, b.stop = context.WithCancelCause(context.Background())
	b.clock = &clock{now: b.cfg.Now, random: b.cfg.Random}
	b.sched, b.dispatcher = newScheduler(b), newDispatcher(b)
	b.answered = make(chan struct{})
	b.works, b.begins = make(chan struct{}, maxWorks), make(chan struct{}, maxBegins)
	if b.cfg.Leases != nil {
		b.replica = newReplica(b)
	} else {
		b.alone = newTenure(b.ctx, "")
	}
	return b, nil
}

// Start loads the unfinished operations, resumes them and begins to accept
// requests; with Leases it takes a lease, and claims operations from then on. ctx bounds the
// loading only. It fails if the store cannot be used, and may then be called again.
func (b *Broker) Start(ctx context.Context) error {
	left, err := b.open(ctx)
	if err != nil {
		return err
	}
	b.resume(left) // without the lock: it starts goroutines
	return nil
}

// open loads the unfinished operations and lets requests in.
func (b *Broker) open(ctx context.Context) (left []*Operation, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.phase != phaseNew {
		return nil, Errorf(CodeFailed, "the broker was started already")
	}
	work := []func(){b.sweep, b.revokes, b.dispatcher.follow}
	if err := UsableStore(ctx, b.cfg.Store); err != nil {
		return nil, err
	}
	if r := b.replica; r != nil {
		err = r.acquire(ctx)
		work = append(work, r.keep, r.claims, r.listen, r.polls)
	} else {
		err = b.cfg.Store.View(ctx, func(tx Tx) (err error) {
			left, err = tx.Unfinished("")
			return err
		})
	}
	if err != nil {
		return nil, storeError(err)
	}
	state, err := b.dispatcherState(ctx)
	if err == nil {
		err = state.Usable() // again: an import that began meanwhile has not seen our lease
	}
	if err != nil {
		return nil, err
	}
	b.dispatcher.see(state)
	b.phase = phaseOpen
	for _, op := range left {
		b.sched.census.add(op)
	}
	for _, w := range work {
		b.wg.Add(1)
		go w()
	}
	return left, nil
}

// resume lets the scheduler look at every instance that has unfinished operations.
func (b *Broker) resume(left []*Operation) {
	seen := map[string]bool{}
	for _, op := range left {
		b.cfg.Log.Info("operation resumes", "operation_id", op.ID, "instance_id", op.InstanceID, "verb", op.Verb, "calls", op.Calls)
		if !seen[op.InstanceID] {
			seen[op.InstanceID] = true
			b.sched.consider(op.InstanceID)
		}
	}
}

// notOpen is the answer to requests that come too early or too late; they had no effect.
func notOpen() *Error {
	e := Errorf(CodeOverloaded, "The broker is starting or shutting down and takes no requests now.").
		WithHint("Send the request again in a moment.")
	e.RetryAfter = 5 * time.Second
	return e
}

// enter counts a request in, so that Close waits for it; leave counts it out.
func (b *Broker) enter() (leave func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.phase != phaseOpen {
		return nil, notOpen()
	}
	b.wg.Add(1)
	b.requests++
	return b.leave, nil
}

// leave counts a request out.
func (b *Broker) leave() {
	defer b.wg.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests--
	b.allAnswered()
}

// spawn runs fn in a goroutine that Close waits for; false once the broker closes.
func (b *Broker) spawn(fn func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.phase == phaseClosed {
		return false
	}
	b.wg.Add(1)
	go func() {
		defer b.wg.Done()
		fn()
	}()
	return true
}

// Catalog is the snapshot that requests use now.
func (b *Broker) Catalog() *Snapshot { return b.cfg.Catalog.Snapshot() }
