package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chandler-broker/chandler/core"
)

// Postgres is a core.Store and core.Leases in a PostgreSQL database, for any number
// of processes at a time. A commit is durable as far as the server is told to make it so.
//
// While the database cannot be reached, calls fail with core.CodeOverloaded, since
// nothing happened; with core.CodeUnavailable if the connection was lost during the
// commit, when nobody can tell.
type Postgres struct {
	config  PostgresConfig
	pool    *pgxpool.Pool
	updates chan struct{} // holds one for each Update that runs
	waiting atomic.Int64  // Updates that wait to run
	own     *pgxpool.Pool // for claims, hints and upkeep, which must not wait behind Updates
	renewal *pgxpool.Pool // for renewals, which must not wait behind those either
	leases
	hints   *notifier
	folding sync.Mutex           // held during a fold
	folded  [len(foldings)]int64 // rows of the counts after the last fold
	stop    context.CancelFunc   // ends the goroutines
	workers sync.WaitGroup

	mu     sync.RWMutex // guards closed against calls that begin
	closed bool
	calls  sync.WaitGroup
}

const (
	ownConnections = 4
	// The second one is for the renewal after one whose connection the network took.
	renewalConnections = 2
)

var (
	_ core.Store  = (*Postgres)(nil)
	_ core.Leases = (*Postgres)(nil)
)

// OpenPostgres connects to the database and brings its schema up to date; several
// processes may do so at once. It fails with a *core.Error if the database cannot be
// reached, holds something else, or was used by a newer program beside which this one
// cannot work. The caller closes the store.
func OpenPostgres(ctx context.Context, config PostgresConfig) (*Postgres, error) {
	config = config.withDefaults()
	settings, err := pgxpool.ParseConfig(config.DSN)
	if err != nil {
		return nil, core.Errorf(core.CodeInvalid, "The address of the PostgreSQL database is not valid.").
			WithHint("Expected is postgres://user@host:port/database or key=value pairs as libpq takes them.").WithCause(err)
	}
	prepareConnections(settings, config)
	if err := migratePostgres(ctx, settings.ConnConfig, config.Now); err != nil {
		return nil, err
	}
	work, stop := context.WithCancel(context.Background())
	p := &Postgres{config: config, updates: make(chan struct{}, max(1, config.Connections*3/4)), stop: stop}
	p.leases = leases{transactions: transactions{p.updateOwn, p.updateApart, p.viewOwn}, made: map[string]bool{}}
	p.pool, err = pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		stop()
		return nil, fmt.Errorf("open the store: %w", err)
	}
	for _, few := range []struct {
		pool **pgxpool.Pool
		size int32
	}{{&p.own, ownConnections}, {&p.renewal, renewalConnections}} {
		s := settings.Copy()
		s.MaxConns = few.size
		if *few.pool, err = pgxpool.NewWithConfig(ctx, s); err != nil {
			p.closePools()
			stop()
			return nil, fmt.Errorf("open the store: %w", err)
		}
	}
	p.hints = newNotifier(p.own, settings.ConnConfig, config)
	p.workers.Go(func() { p.hints.loop(work) })
	p.workers.Go(func() { p.fold(work) })
	return p, nil
}

// View implements core.Store. It sees everything that was committed before it began.
func (p *Postgres) View(ctx context.Context, fn func(core.Tx) error) error {
	return p.call(func() error { return p.view(ctx, p.pool, fn) })
}

// Update implements core.Store. fn may run more than once: again if a lock that it
// turned out to need could not be had without giving the others up, if the connection was
// lost, or if another replica has changed the keys. If ctx ends before fn has begun, fn does not run; afterwards its
// deadline still bounds the statements, though not the commit, and nothing else does.
func (p *Postgres) Update(ctx context.Context, fn func(core.Tx) error) error {
	return p.call(func() error {
		if err := p.enter(ctx); err != nil {
			return err
		}
		defer func() { <-p.updates }()
		return p.update(ctx, p.pool, &plan{}, fn)
	})
}

// enter waits for the turn of an Update.
func (p *Postgres) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.updates <- struct{}{}:
		return nil
	default:
	}
	if p.waiting.Add(1) > int64(p.config.Queue) {
		p.waiting.Add(-1)
		return errFull
	}
	defer p.waiting.Add(-1)
	wait := time.NewTimer(p.config.Wait)
	defer wait.Stop()
	select {
	case p.updates <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return refused("wait for a connection", errors.New("too many transactions run"))
	}
}

// updateOwn and viewOwn are for claims and for Trim, updateApart for what touches leases
// only: a renewal waits for nobody but those who look at the same lease, not even for a connection.
func (p *Postgres) updateOwn(ctx context.Context, fn func(*tx) error) error {
	return p.call(func() error {
		return p.update(ctx, p.own, &plan{}, func(t core.Tx) error { return fn(t.(*tx)) })
	})
}

func (p *Postgres) updateApart(ctx context.Context, fn func(*tx) error) error {
	return p.call(func() error {
		return p.update(ctx, p.renewal, &plan{apart: true}, func(t core.Tx) error { return fn(t.(*tx)) })
	})
}

func (p *Postgres) viewOwn(ctx context.Context, fn func(*tx) error) error {
	return p.call(func() error {
		return p.view(ctx, p.own, func(t core.Tx) error { return fn(t.(*tx)) })
	})
}

// call counts fn, unless the store is closed.
func (p *Postgres) call(fn func() error) error {
	p.mu.RLock()
	if p.closed {
		p.mu.RUnlock()
		return errClosed
	}
	p.calls.Add(1)
	p.mu.RUnlock()
	defer p.calls.Done()
	return fn()
}

// Ping implements core.Store. It fails on a server that takes no writes.
func (p *Postgres) Ping(ctx context.Context) error {
	return p.call(func() error {
		return p.view(ctx, p.pool, func(t core.Tx) error {
			var standby bool
			err := t.(*tx).row("ping", false, []any{&standby}, "SELECT pg_is_in_recovery()")
			if err == nil && standby {
				err = unavailable("ping", errors.New("the server is a standby, which takes no writes"))
			}
			return err
		})
	})
}

// Close implements core.Store: it waits for running calls, and for hints that are on their
// way. A second Close does nothing. It must not be called inside View or Update.
func (p *Postgres) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	p.calls.Wait()
	p.stop()
	p.workers.Wait()
	p.closePools()
	return nil
}

// closePools closes those that there are.
func (p *Postgres) closePools() {
	for _, pool := range []*pgxpool.Pool{p.renewal, p.own, p.pool} {
		if pool != nil {
			pool.Close()
		}
	}
}

// Hint implements core.Leases.
func (p *Postgres) Hint(hints ...core.Hint) { p.hints.add(hints) }

// Listen implements core.Leases. It does not hear this store's own hints.
func (p *Postgres) Listen(ctx context.Context, heard func(core.Hint)) error {
	return p.hints.listen(ctx, heard)
}
