package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/chandler-broker/chandler/core"
)

// tx is one View, or one member of the writer's batch. It is used by one goroutine.
type tx struct {
	ctx      context.Context // of the View; Background in an Update, which is never interrupted
	s        *session
	cipher   Cipher
	readOnly bool
	over     bool // fn has returned
	// broken is the first unexpected failure of the database. It fails the
	// transaction even if fn hides it, since SQLite may have rolled back already.
	broken error
	fnErr  error // what fn of an Update returned
}

var _ core.Tx = (*tx)(nil)

var (
	errReadOnly = errors.New("store: a writing method was called in a View")
	errOver     = errors.New("store: a transaction was used after its function returned")
)

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

// rows runs one statement and calls scan for each row. write says that it is a
// writing statement with a RETURNING clause.
func (t *tx) rows(what string, write bool, scan func(*sql.Rows) error, query string, args ...any) error {
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
	err := t.rows(what, write, func(r *sql.Rows) error {
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
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return fmt.Errorf("%s: %w", what, core.ErrBusy)
		case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
			return fmt.Errorf("%s: %w", what, core.ErrNotFound)
		}
	}
	t.broken = unavailable(what, err)
	return t.broken
}

// unavailable is the error for a database that does not do its work.
func unavailable(what string, err error) *core.Error {
	return core.Errorf(core.CodeUnavailable, "The broker's store could not be used.").
		WithHint("Try again later; the operator finds the cause in the log.").
		WithCause(fmt.Errorf("%s: %w", what, err))
}

func (t *tx) sealer(table, row string) *sealer {
	return &sealer{cipher: t.cipher, table: table, row: row}
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
