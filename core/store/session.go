package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
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
	db   *sql.DB // of exactly this connection
	conn *sql.Conn
	// raw is the driver's side of conn, which nobody else has until close. Prepared
	// statements go to it directly: database/sql's way to it costs as much as a short statement.
	raw   driver.ConnPrepareContext
	stmts map[string]sqliteStatement
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
	s := &session{db: db, conn: conn, stmts: map[string]sqliteStatement{}, clock: time.Now}
	err = conn.Raw(func(c any) (err error) {
		var ok bool
		if s.raw, ok = c.(driver.ConnPrepareContext); !ok {
			err = errors.New("the driver prepares no statements")
		}
		return err
	})
	if err != nil {
		conn.Close()
		db.Close()
		return nil, err
	}
	return s, nil
}

// post implements conn.
func (s *session) post(query string, args ...any) error {
	_, err := s.exec(query, args...)
	return err
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
		_ = st.Close() // with its connection in any case
	}
	s.conn.Close()
	return s.db.Close()
}
