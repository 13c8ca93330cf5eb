package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/chandler-broker/chandler/core"
)

// session is one connection with its prepared statements. One goroutine uses it
// at a time.
type session struct {
	db    *sql.DB // of exactly this connection
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	clock func() time.Time
}

var _ conn = (*session)(nil)

// openSession opens a connection of its own.
func openSession(ctx context.Context, dsn string) (*session, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		return nil, err
	}
	return &session{db: db, conn: conn, stmts: map[string]*sql.Stmt{}, clock: time.Now}, nil
}

// prepared gives the statement for query, from the cache after the first time.
// The texts of queries are constants or built from few parts, so the cache stays small.
func (s *session) prepared(query string) (*sql.Stmt, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := s.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	s.stmts[query] = st
	return st, nil
}

// exec runs a statement and gives the number of rows that it changed. It takes
// no context: an interrupted write would roll back the whole batch around it.
func (s *session) exec(query string, args ...any) (int64, error) {
	st, err := s.prepared(query)
	if err != nil {
		return 0, err
	}
	res, err := st.Exec(args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs a statement that gives rows. The caller closes them.
func (s *session) query(ctx context.Context, query string, args ...any) (rows, error) {
	st, err := s.prepared(query)
	if err != nil {
		return nil, err
	}
	r, err := st.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// broken implements conn.
func (s *session) broken(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return core.ErrBusy
		case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
			return core.ErrNotFound
		}
	}
	return nil
}

// now implements conn.
func (s *session) now() (int64, error) { return s.clock().UnixMicro(), nil }

// failure implements conn.
func (s *session) failure(what string, err error) error { return unavailable(what, err) }

// page implements conn.
func (s *session) page(f core.InstanceFilter) (string, []any) { return listInstances(f) }

// serial implements conn: there is one writer.
func (s *session) serial() bool { return true }

// lock implements conn.
func (s *session) lock(lockMode, string) (bool, error) { return true, nil }

// script runs statements that are used once; it does not cache them.
func (s *session) script(ctx context.Context, text string) error {
	_, err := s.conn.ExecContext(ctx, text)
	return err
}

// value reads one value of one row, for pragmas and the like.
func (s *session) value(ctx context.Context, query string, dest any) error {
	if err := s.conn.QueryRowContext(ctx, query).Scan(dest); err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

// close gives the connection back to the system.
func (s *session) close() error {
	for _, st := range s.stmts {
		st.Close()
	}
	s.conn.Close()
	return s.db.Close()
}
