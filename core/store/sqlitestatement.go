package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// sqliteStatement is a prepared statement as the driver gives it.
type sqliteStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// prepared gives the statement for query, from the cache after the first time.
// The texts of queries are constants or built from few parts, so the cache stays small.
func (s *session) prepared(query string) (sqliteStatement, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	prepared, err := s.raw.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	st, ok := prepared.(sqliteStatement)
	if !ok {
		return nil, errors.Join(errors.New("the driver's statements take no context"), prepared.Close())
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
	values, err := named(args)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(context.Background(), values)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs a statement that gives rows. The caller closes them. ctx is looked at
// before: a statement of ours is short, and to be able to interrupt it costs a goroutine.
func (s *session) query(ctx context.Context, query string, args ...any) (rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	st, err := s.prepared(query)
	if err != nil {
		return nil, err
	}
	values, err := named(args)
	if err != nil {
		return nil, err
	}
	r, err := st.QueryContext(context.Background(), values)
	if err != nil {
		return nil, err
	}
	return &driverRows{rows: r, values: make([]driver.Value, len(r.Columns()))}, nil
}

// named gives the arguments of a statement as the driver takes them.
func named(args []any) ([]driver.NamedValue, error) {
	values := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(arg)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return values, nil
}

// driverRows are the rows of a query.
type driverRows struct {
	rows   driver.Rows
	values []driver.Value
	err    error // what ended them, nil at their end
}

// Next implements rows.
func (r *driverRows) Next() bool {
	err := r.rows.Next(r.values)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return err == nil
}

// Err implements rows.
func (r *driverRows) Err() error { return r.err }

// Close implements rows.
func (r *driverRows) Close() error { return r.rows.Close() }

// Scan implements rows for the kinds of destinations that this package has.
func (r *driverRows) Scan(dest ...any) error {
	if len(dest) != len(r.values) {
		return fmt.Errorf("%d columns are scanned into %d values", len(r.values), len(dest))
	}
	for i, d := range dest {
		if err := scanValue(d, r.values[i]); err != nil {
			return fmt.Errorf("column %d (%s): %w", i, r.rows.Columns()[i], err)
		}
	}
	return nil
}

func scanValue(dest any, v driver.Value) error {
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(v)
	case *string:
		if s, ok := v.(string); ok {
			*d = s
			return nil
		}
	case *[]byte: // the driver's bytes are a copy already
		if b, ok := v.([]byte); ok || v == nil {
			*d = b
			return nil
		}
	case *int64:
		if n, ok := v.(int64); ok {
			*d = n
			return nil
		}
	case *int:
		if n, ok := v.(int64); ok {
			*d = int(n)
			return nil
		}
	case *bool:
		if n, ok := v.(int64); ok && (n == 0 || n == 1) {
			*d = n == 1
			return nil
		}
	default:
		if s, ok := v.(string); ok { // a string by another name
			if to := reflect.ValueOf(dest); to.Kind() == reflect.Pointer && to.Elem().Kind() == reflect.String {
				to.Elem().SetString(s)
				return nil
			}
		}
	}
	return fmt.Errorf("%T cannot be scanned into %T", v, dest)
}
