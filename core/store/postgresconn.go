package store

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chandler-broker/chandler/core"
)

// plan is what an Update learned from the attempts before: what it must do at once
// that cannot be done in the middle.
type plan struct {
	apart     bool            // only leases are touched, which no other Update looks at
	alone     bool            // lock everything
	exclusive map[string]bool // lock these alone, though they are read first
	careful   bool            // a constraint will be broken: keep the transaction usable
}

// errPlan ends an attempt whose plan has changed.
var errPlan = errors.New("store: the transaction begins again with other locks")

// maxLocks is how many keys a transaction locks before it locks everything instead:
// the server has room for some thousands.
const maxLocks = 512

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

// lock implements conn.
func (c *pgConn) lock(mode lockMode, key string) (bool, error) {
	if c.plan.alone {
		return true, nil
	}
	if mode == lockAll || len(c.locks) >= maxLocks {
		c.plan.alone = true
		return c.replan()
	}
	held, ok := c.locks[key]
	switch {
	case ok && (held != lockShare || mode == lockShare):
		return true, nil
	case ok: // to ask for more than a share while others have one would end in a deadlock
		if c.plan.exclusive == nil {
			c.plan.exclusive = map[string]bool{}
		}
		c.plan.exclusive[key] = true
		return c.replan()
	case mode == lockTry:
		return c.tryLock(key)
	case mode == lockShare && !c.plan.exclusive[key]:
		c.queued = append(c.queued, statement{lockOneShare, []any{key}})
		c.locks[key] = lockShare
	default:
		c.queued = append(c.queued, statement{lockOne, []any{key}})
		c.locks[key] = lockKey
	}
	return true, nil
}

// replan lets the attempt begin with the changed plan: at once if it has not begun,
// again otherwise.
func (c *pgConn) replan() (bool, error) {
	if !c.begun && c.plan.alone {
		return true, nil
	}
	return false, errPlan
}

func (c *pgConn) tryLock(key string) (got bool, err error) {
	r, err := c.query(c.ctx, tryLockOne, key)
	if err != nil {
		return false, err
	}
	defer r.Close()
	for r.Next() {
		if err := r.Scan(&got); err != nil {
			return false, err
		}
	}
	if got {
		c.locks[key] = lockKey
	}
	return got, r.Err()
}

// page implements conn. As listInstances does, it takes the first ids of each plan and
// backend from their index and merges them; LATERAL keeps the planner to that order.
func (c *pgConn) page(f core.InstanceFilter) (string, []any) {
	n := limit(f.Limit)
	where, args := conditions(f)
	if where == "" {
		return listInstances(f)
	}
	own, ownArgs := "", []any{}
	if f.ServiceID != "" {
		own, ownArgs = " AND i.service_id = ?", []any{f.ServiceID}
	}
	query := `WITH page AS MATERIALIZED (
	SELECT p.id FROM (SELECT DISTINCT plan_id, backend FROM uses WHERE ` + where + `) u CROSS JOIN LATERAL (
		SELECT i.id FROM instances i WHERE i.plan_id = u.plan_id AND i.backend = u.backend AND i.id > ?` + own + `
		ORDER BY i.id LIMIT ?) p ORDER BY p.id LIMIT ?)
	SELECT r.* FROM page CROSS JOIN LATERAL (
		SELECT ` + instanceColumns + ` FROM instances i WHERE i.id = page.id OFFSET 0) r ORDER BY r.id`
	return query, append(append(append(args, f.After), ownArgs...), n, n)
}

// serial implements conn.
func (c *pgConn) serial() bool { return false }

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
	useless := c.again != nil && !errors.Is(c.again, errPlan) && !isConflict(c.again)
	if _, err := c.conn.Exec(ctx, "ROLLBACK"); err != nil || useless {
		c.conn.Conn().Close(ctx) // the server rolls back then
	}
}

var (
	indexHint    = regexp.MustCompile(`\s+INDEXED BY \w+`)
	translations sync.Map // text for SQLite to text for PostgreSQL
)

// translated gives a statement as PostgreSQL takes it. The texts hold no question
// marks but parameters. Its planner takes no hints and needs none here.
func translated(query string) string {
	if text, ok := translations.Load(query); ok {
		return text.(string)
	}
	var b strings.Builder
	n := 0
	for _, part := range strings.SplitAfter(indexHint.ReplaceAllString(query, ""), "?") {
		text, parameter := strings.CutSuffix(part, "?")
		b.WriteString(text)
		if parameter {
			n++
			b.WriteString("$" + strconv.Itoa(n))
		}
	}
	translations.Store(query, b.String())
	return b.String()
}

// sendable makes texts of values that the database cannot hold as text: what is not
// UTF-8, or has zero bytes, gets replacement characters. Such only comes from
// plugins' words; ids are checked before.
func sendable(args []any) []any {
	for i, a := range args {
		s, ok := a.(string)
		if ok && (!utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0) {
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
		}
	}
	return args
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
