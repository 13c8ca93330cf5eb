package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chandler-broker/chandler/core"
)

// pgConn is one connection inside a transaction, which begins with the first
// statement and in the same round trip. Locks wait for the next statement, too.
type pgConn struct {
	ctx     context.Context // bounds every statement; not the caller's, whose end must not close the connection
	conn    *pgxpool.Conn
	begin   string
	begun   bool
	plan    *plan
	timeout time.Duration
	// deadline is the caller's; zero if there is none.
	deadline time.Time
	queued   []statement         // sent before the next statement
	locks    map[string]lockMode // held or queued
	// again is why the attempt is void: nothing has happened and it may be repeated.
	again    error
	answered bool // a statement has succeeded
}

type statement struct {
	text string
	args []any
}

var _ conn = (*pgConn)(nil)

const (
	// Whoever waits for everything holds up everybody who comes after, so not for long.
	waitAlone = `SET LOCAL lock_timeout = '2s'`
	// The lock of everything is of another kind than those of keys, so that no key is like it.
	lockEverything      = `SELECT pg_advisory_xact_lock(1, 1)`
	lockEverythingShare = `SELECT pg_advisory_xact_lock_shared(1, 1)`
	lockOne             = `SELECT pg_advisory_xact_lock(hashtextextended($1, 1))`
	lockOneShare        = `SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 1))`
	tryLockOne          = `SELECT pg_try_advisory_xact_lock(hashtextextended($1, 1))`
	databaseClock       = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
)

// acquire takes a connection from the pool. An error means that nothing happened.
func (p *Postgres) acquire(ctx context.Context, pool *pgxpool.Pool, begin string, plan *plan) (*pgConn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, p.config.Wait)
	defer cancel()
	conn, err := pool.Acquire(wait)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, refused("no connection to the database", err)
	}
	deadline, _ := ctx.Deadline()
	return &pgConn{ctx: context.WithoutCancel(ctx), deadline: deadline, conn: conn, begin: begin, plan: plan,
		timeout: p.config.Timeout + 5*time.Second, locks: map[string]lockMode{}}, nil
}

// bound is the context of one exchange with the server: the server gives up
// before, unless it or the network is gone. The caller's deadline counts, too.
func (c *pgConn) bound() (context.Context, context.CancelFunc) {
	until := time.Now().Add(c.timeout)
	if !c.deadline.IsZero() && c.deadline.Before(until) {
		until = c.deadline
	}
	return context.WithDeadline(c.ctx, until)
}

// batch is the next exchange: what is queued, and then text.
func (c *pgConn) batch(text string, args []any) (*pgx.Batch, int) {
	b := &pgx.Batch{}
	if !c.begun {
		b.Queue(c.begin)
		switch {
		case c.plan.apart, strings.HasSuffix(c.begin, "READ ONLY"):
		case c.plan.alone:
			b.Queue(waitAlone)
			b.Queue(lockEverything)
		default:
			b.Queue(lockEverythingShare)
		}
		c.begun = true
	}
	for _, s := range c.queued {
		b.Queue(s.text, s.args...)
	}
	c.queued = nil
	before := b.Len()
	if text != "" {
		b.Queue(text, args...)
	}
	return b, before
}

// exec implements conn.
func (c *pgConn) exec(query string, args ...any) (n int64, err error) {
	ctx, cancel := c.bound()
	defer cancel()
	if c.plan.careful {
		c.queued = append(c.queued, statement{text: "SAVEPOINT careful"})
	}
	b, before := c.batch(translated(query), sendable(args))
	results := c.conn.SendBatch(ctx, b)
	for range before {
		if _, err = results.Exec(); err != nil {
			break
		}
	}
	if err == nil {
		var tag pgconn.CommandTag
		tag, err = results.Exec()
		n = tag.RowsAffected()
	}
	if closed := results.Close(); err == nil {
		err = closed
	}
	c.answered = c.answered || err == nil
	if c.plan.careful && err == nil {
		c.queued = append(c.queued, statement{text: "RELEASE SAVEPOINT careful"})
	}
	return n, err
}

// post implements conn: the statement goes with the next one.
func (c *pgConn) post(query string, args ...any) error {
	c.queued = append(c.queued, statement{translated(query), sendable(args)})
	return nil
}

// query implements conn.
func (c *pgConn) query(_ context.Context, query string, args ...any) (rows, error) {
	ctx, cancel := c.bound()
	b, before := c.batch(translated(query), sendable(args))
	results := c.conn.SendBatch(ctx, b)
	for range before {
		if _, err := results.Exec(); err != nil {
			results.Close()
			cancel()
			return nil, err
		}
	}
	r, err := results.Query()
	if err != nil {
		results.Close()
		cancel()
		return nil, err
	}
	return &pgRows{Rows: r, conn: c, results: results, cancel: cancel}, nil
}

// pgRows are the last result of a batch.
type pgRows struct {
	pgx.Rows
	conn    *pgConn
	results pgx.BatchResults
	cancel  context.CancelFunc
	closed  bool
}

// Err ends the exchange, so that its failure is seen.
func (r *pgRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	err := r.Close()
	r.conn.answered = r.conn.answered || err == nil
	return err
}

// Close implements rows.
func (r *pgRows) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	r.Rows.Close()
	err := r.results.Close()
	r.cancel()
	return err
}

// now implements conn.
func (c *pgConn) now() (now int64, err error) {
	r, err := c.query(c.ctx, databaseClock)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for r.Next() {
		if err := r.Scan(&now); err != nil {
			return 0, err
		}
	}
	return now, r.Err()
}

// commit ends the transaction and gives the connection back.
func (c *pgConn) commit() error {
	defer c.conn.Release() // closes it if it is broken
	if !c.begun && len(c.queued) == 0 {
		return nil
	}
	if !c.plan.apart { // of a renewal nobody minds not to know; of anything else everybody does
		c.deadline = time.Time{}
	}
	ctx, cancel := c.bound()
	defer cancel()
	b, before := c.batch("COMMIT", nil)
	results := c.conn.SendBatch(ctx, b)
	var err error
	for range before {
		if _, err = results.Exec(); err != nil {
			break
		}
	}
	if err != nil && sqlState(err) != "" { // of a posted statement: the COMMIT was not looked at
		results.Close()
		return c.failure("write", err)
	}
	var tag pgconn.CommandTag
	if err == nil {
		tag, err = results.Exec()
	}
	if closed := results.Close(); err == nil {
		err = closed
	}
	if err == nil && tag.String() != "COMMIT" {
		err = errors.New("the server rolled the transaction back")
		return refused("commit", err)
	}
	if err == nil {
		return nil
	}
	return c.uncertain(err)
}

// rollback ends the transaction without effect and gives the connection back.
func (c *pgConn) rollback() {
	defer c.conn.Release()
	c.deadline = time.Time{}
	if !c.begun || c.conn.Conn().IsClosed() {
		return
	}
	ctx, cancel := c.bound()
	defer cancel()
	useless := c.again != nil && !errors.Is(c.again, errPlan) && !errors.Is(c.again, errKeyset) && !isConflict(c.again)
	if _, err := c.conn.Exec(ctx, "ROLLBACK"); err != nil || useless {
		c.conn.Conn().Close(ctx) // the server rolls back then
	}
}

// broken implements conn.
func (c *pgConn) broken(err error) error {
	var kind error
	switch sqlState(err) {
	case "23505":
		kind = core.ErrBusy
	case "23503":
		kind = core.ErrNotFound
	default:
		return nil
	}
	if !c.plan.careful { // the transaction is aborted by now
		c.plan.careful = true
		c.again = errPlan
		return kind
	}
	ctx, cancel := c.bound()
	defer cancel()
	if _, err := c.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT careful"); err != nil {
		c.again = err
	}
	return kind
}
