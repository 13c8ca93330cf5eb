package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/chandler-broker/chandler/core"
)

// tx is one View, or one member of the writer's batch. It is used by one goroutine.
type tx struct {
	ctx      context.Context // of the View; Background in an Update, which is never interrupted
	s        conn
	cipher   Cipher
	readOnly bool
	over     bool // fn has returned
	// broken is the first unexpected failure of the database. It fails the
	// transaction even if fn hides it, since SQLite may have rolled back already.
	broken error
	fnErr  error           // what fn of an Update returned
	known  map[string]bool // operations whose instance is locked
	// checked says that the check of the keyset is on its way.
	checked bool
}

var _ core.Tx = (*tx)(nil)

var (
	errReadOnly = errors.New("store: a writing method was called in a View")
	errOver     = errors.New("store: a transaction was used after its function returned")
)

// conn is one connection to a database, inside a transaction. The texts of statements
// are those of SQLite; another database's conn translates them.
type conn interface {
	// exec runs a writing statement and gives the number of rows that it changed.
	exec(query string, args ...any) (int64, error)
	// post runs a writing statement that breaks no constraint and whose result nobody
	// looks at. Its failure may show with the next statement or the commit.
	post(query string, args ...any) error
	// query runs a statement that gives rows. The caller closes them.
	query(ctx context.Context, query string, args ...any) (rows, error)
	// broken tells which constraint an error speaks of: core.ErrBusy for uniqueness,
	// core.ErrNotFound for a missing parent row, nil if it is another failure.
	broken(err error) error
	// failure turns any other error into that of the transaction.
	failure(what string, err error) error
	// now is the clock that leases go by, in microseconds since 1970.
	now() (int64, error)
	// lock keeps other Updates away as mode says, until the transaction ends.
	lock(mode lockMode, key string) (bool, error)
	// page builds the query for a page of instances: the one text in which the
	// databases differ.
	page(core.InstanceFilter) (query string, args []any)
	// serial is true if Updates run one after the other anyway, so that locks mean nothing.
	serial() bool
}

// rows is a result that is read row by row.
type rows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close() error
}

// exec runs one writing statement and gives the number of changed rows.
// A broken uniqueness is core.ErrBusy, a missing parent row core.ErrNotFound.
func (t *tx) exec(what, query string, args ...any) (int64, error) {
	if err := t.usable(true); err != nil {
		return 0, err
	}
	n, err := t.s.exec(query, args...)
	if err != nil {
		return 0, t.failed(what, err)
	}
	return n, nil
}

// post is exec for a statement that breaks no constraint and whose number of rows
// does not matter. It may be on its way still when post returns.
func (t *tx) post(query string, args ...any) error {
	if err := t.usable(true); err != nil {
		return err
	}
	if err := t.s.post(query, args...); err != nil {
		return t.failed("write", err)
	}
	return nil
}

// rows runs one statement and calls scan for each row. write says that it is a
// writing statement with a RETURNING clause.
func (t *tx) rows(what string, write bool, scan func(rows) error, query string, args ...any) error {
	if err := t.usable(write); err != nil {
		return err
	}
	rows, err := t.s.query(t.ctx, query, args...)
	if err != nil {
		return t.failed(what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return t.failed(what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return t.failed(what, err)
	}
	return nil
}

// row is rows for at most one row; core.ErrNotFound if there is none.
func (t *tx) row(what string, write bool, dest []any, query string, args ...any) error {
	found := false
	err := t.rows(what, write, func(r rows) error {
		found = true
		return r.Scan(dest...)
	}, query, args...)
	if err == nil && !found {
		return core.ErrNotFound
	}
	return err
}

func (t *tx) usable(write bool) error {
	switch {
	case t.over:
		return errOver
	case write && t.readOnly:
		return errReadOnly
	case t.broken != nil:
		return t.broken
	}
	return t.ctx.Err()
}

// failed turns an error of the database into ours. Broken constraints are
// answers; they leave the transaction usable.
func (t *tx) failed(what string, err error) error {
	if ctxErr := t.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	if broken := t.s.broken(err); broken != nil {
		return fmt.Errorf("%s: %w", what, broken)
	}
	t.broken = t.s.failure(what, err)
	return t.broken
}

// unavailable is the error for a database that does not do its work.
func unavailable(what string, err error) *core.Error {
	return core.Errorf(core.CodeUnavailable, "The broker's store could not be used.").
		WithHint("Try again later; the operator finds the cause in the log.").
		WithCause(fmt.Errorf("%s: %w", what, err))
}

// now is the database's clock in microseconds since 1970.
func (t *tx) now() (int64, error) {
	if err := t.usable(false); err != nil {
		return 0, err
	}
	now, err := t.s.now()
	if err != nil {
		return 0, t.failed("read the clock", err)
	}
	return now, nil
}

func (t *tx) sealer(table, row string) *sealer {
	return &sealer{cipher: t.cipher, table: table, row: row, err: t.checkKeyset()}
}
func (t *tx) opener(table, row string) *opener {
	return &opener{cipher: t.cipher, table: table, row: row}
}

// rowID names a row whose key has several parts: each is preceded by its length,
// since ids may contain any character.
func rowID(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = strconv.AppendInt(b, int64(len(p)), 10)
		b = append(b, ':')
		b = append(b, p...)
	}
	return string(b)
}

// limit applies the bounds that the filters document.
func limit(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}
