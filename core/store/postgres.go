package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chandler-broker/chandler/core"
)

// PostgresConfig says where the database is and how it is used.
type PostgresConfig struct {
	// DSN is the address, as libpq takes it: a URL or key=value pairs, TLS included. Its
	// password never shows in an error or in the log. Several hosts may be named.
	DSN string
	// Cipher seals the secret columns. Nil stores them as they are.
	Cipher Cipher
	// Connections is how many transactions run at once, from this process. A quarter
	// of them is kept for Views. Five more are for leases and hints. Default 16.
	Connections int
	// Queue is how many Updates may wait for their turn before more are refused with
	// core.CodeOverloaded. Default 4096.
	Queue int
	// Wait is how long a transaction waits for a free connection before it is
	// refused with core.CodeOverloaded. Default 5 s.
	Wait time.Duration
	// Timeout bounds each statement, and the network's silence. Default 15 s.
	Timeout time.Duration
	// Log hears of lost connections. Nil is silent.
	Log *slog.Logger
	// Now gives the time for the record of migrations. Leases go by the database's
	// clock. Default time.Now.
	Now func() time.Time
}

func (c PostgresConfig) withDefaults() PostgresConfig {
	if c.Cipher == nil {
		c.Cipher = plainCipher{}
	}
	if c.Connections <= 0 {
		c.Connections = 16
	}
	c.Connections = max(c.Connections, 4)
	if c.Queue <= 0 {
		c.Queue = 4096
	}
	if c.Wait <= 0 {
		c.Wait = 5 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 15 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

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
	own     *pgxpool.Pool // for leases and hints, which must not wait behind Updates
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
	few := settings.Copy()
	few.MaxConns = 4
	p.own, err = pgxpool.NewWithConfig(ctx, few)
	if err != nil {
		p.pool.Close()
		stop()
		return nil, fmt.Errorf("open the store: %w", err)
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
// turned out to need could not be had without giving the others up, or if the
// connection was lost. If ctx ends before fn has begun, fn does not run; afterwards its
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

// updateOwn and viewOwn are for leases and for Trim, updateApart for what touches
// leases only: a renewal waits for nobody but those who look at the same lease.
func (p *Postgres) updateOwn(ctx context.Context, fn func(*tx) error) error {
	return p.call(func() error {
		return p.update(ctx, p.own, &plan{}, func(t core.Tx) error { return fn(t.(*tx)) })
	})
}

func (p *Postgres) updateApart(ctx context.Context, fn func(*tx) error) error {
	return p.call(func() error {
		return p.update(ctx, p.own, &plan{apart: true}, func(t core.Tx) error { return fn(t.(*tx)) })
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

func (p *Postgres) view(ctx context.Context, pool *pgxpool.Pool, fn func(core.Tx) error) error {
	for attempt := 0; ; attempt++ {
		err, again := p.viewOnce(ctx, pool, fn)
		if !again || attempt >= maxLost || ctx.Err() != nil {
			return err
		}
	}
}

func (p *Postgres) viewOnce(ctx context.Context, pool *pgxpool.Pool, fn func(core.Tx) error) (err error, again bool) {
	c, err := p.acquire(ctx, pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &plan{})
	if err != nil {
		return err, false
	}
	t := &tx{ctx: ctx, s: c, readOnly: true, cipher: p.config.Cipher}
	defer func() { // also when fn panics
		t.over = true
		c.rollback()
	}()
	err = fn(t)
	if c.again != nil { // whatever fn makes of it; it runs again only if it has seen nothing
		return refused("view", c.again), !c.answered
	}
	if err == nil {
		err = t.broken
	}
	return err, false
}

// maxLost is how often a call that has had no effect is repeated because its
// connection was lost: more than once, since a server's restart kills all of a pool.
const maxLost = 3

// update runs fn until an attempt counts. Attempts that gave way to another
// transaction wait a little, by chance, so that the same ones do not meet again.
func (p *Postgres) update(ctx context.Context, pool *pgxpool.Pool, plan *plan, fn func(core.Tx) error) error {
	for lost, met := 0, 0; ; {
		c, err := p.acquire(ctx, pool, "BEGIN ISOLATION LEVEL READ COMMITTED", plan)
		if err != nil {
			return err
		}
		err = p.attempt(c, fn)
		switch {
		case c.again == nil:
			return err
		case errors.Is(c.again, errPlan): // with the locks that it asked for
		case isConflict(c.again):
			met++
			if met > 20 || !pause(ctx, time.Duration(rand.Int64N(int64(met)*int64(10*time.Millisecond)))) {
				return refused("gave way too often", c.again)
			}
		default:
			if lost++; lost > maxLost || ctx.Err() != nil {
				return refused("the connection is lost again and again", c.again)
			}
		}
	}
}

// attempt runs fn in one transaction on c and gives c back. If c.again is set
// afterwards, nothing has happened and fn may run again.
func (p *Postgres) attempt(c *pgConn, fn func(core.Tx) error) (err error) {
	t := &tx{ctx: context.Background(), s: c, cipher: p.config.Cipher}
	kept := false
	defer func() { // also when fn panics
		if !kept {
			c.rollback()
		}
	}()
	err = fn(t)
	t.over = true
	if c.again != nil {
		return c.again
	}
	if err == nil {
		err = t.broken
	}
	if err != nil {
		return err
	}
	kept = true
	return c.commit()
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
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
	p.own.Close()
	p.pool.Close()
	return nil
}

// Hint implements core.Leases.
func (p *Postgres) Hint(hints ...core.Hint) { p.hints.add(hints) }

// Listen implements core.Leases. It does not hear this store's own hints.
func (p *Postgres) Listen(ctx context.Context, heard func(core.Hint)) error {
	return p.hints.listen(ctx, heard)
}

// prepareConnections sets what every connection of the store has.
func prepareConnections(settings *pgxpool.Config, config PostgresConfig) {
	set := func(name, value string) {
		if _, said := settings.ConnConfig.RuntimeParams[name]; !said {
			settings.ConnConfig.RuntimeParams[name] = value
		}
	}
	millis := func(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
	set("application_name", "chandler")
	set("statement_timeout", millis(config.Timeout))
	// A frozen broker must not keep its locks longer than others wait for them; fn is quick.
	set("lock_timeout", millis(config.Timeout*2/3))
	set("idle_in_transaction_session_timeout", millis(config.Timeout/3))
	set("client_connection_check_interval", "5s") // while it waits for a lock
	set("tcp_keepalives_idle", "10")
	set("tcp_keepalives_interval", "5")
	set("tcp_keepalives_count", "3")
	// Tables grow from nothing to millions of rows faster than statistics follow; all
	// statements have their index. What is over in a millisecond needs no helpers.
	set("enable_seqscan", "off")
	set("jit", "off")
	set("max_parallel_workers_per_gather", "0")
	if settings.ConnConfig.ConnectTimeout == 0 {
		settings.ConnConfig.ConnectTimeout = min(config.Wait, 5*time.Second)
	}
	settings.MaxConns = int32(config.Connections)
	settings.MaxConnLifetime, settings.MaxConnLifetimeJitter = 30*time.Minute, 5*time.Minute
	settings.MaxConnIdleTime = 5 * time.Minute
	settings.PingTimeout = 5 * time.Second
	settings.AfterConnect = durable
}

// durable makes commits of the connection durable where the server's configuration
// would not wait for the disk; stronger settings stay.
func durable(ctx context.Context, c *pgx.Conn) error {
	var level string
	if err := c.QueryRow(ctx, "SHOW synchronous_commit").Scan(&level); err != nil || level != "off" {
		return err
	}
	_, err := c.Exec(ctx, "SET synchronous_commit = on")
	return err
}
