package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chandler-broker/chandler/core"
)

// TestRollingUpgrade brings a schema on while a replica of the version before works.
func TestRollingUpgrade(t *testing.T) {
	dsn := startPostgres(t).DSN()
	old := openedPostgres(t, PostgresConfig{DSN: dsn})
	list, err := loadMigrations(postgresMigrationFiles, "migrations/postgres")
	if err != nil {
		t.Fatal(err)
	}
	next := migration{version: len(list) + 1, name: "next", sql: fmt.Sprintf("-- compatible_from: %d\nALTER TABLE instances ADD COLUMN colour TEXT NOT NULL DEFAULT ''", len(list))}
	migrateTo := func(list []migration) error {
		c, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close(context.Background())
		return (&postgresSchema{conn: c, now: time.Now}).migrate(t.Context(), list)
	}
	work := func(when string, s *Postgres) {
		t.Helper()
		for i := range 8 { // more than the prepared statements' generic plans need
			err := s.Update(t.Context(), func(tx core.Tx) error {
				if err := tx.PutInstance(&core.Instance{ID: fmt.Sprint(when, i)}); err != nil {
					return err
				}
				_, err := tx.Instance(fmt.Sprint(when, i))
				return err
			})
			if err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
	}
	work("before", old)
	// A transaction of the old one is in the way; the migration waits without holding others up.
	err = old.Update(t.Context(), func(tx core.Tx) error {
		if err := tx.PutInstance(&core.Instance{ID: "in the way"}); err != nil {
			return err
		}
		if _, err := tx.Bindings("in the way"); err != nil { // with this the row is sent, too
			return err
		}
		bound, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		c, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			return err
		}
		defer c.Close(context.Background())
		if err := (&postgresSchema{conn: c, now: time.Now}).migrate(bound, append(list, next)); err == nil {
			t.Error("the migration did not wait")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := migrateTo(append(list, next)); err != nil {
		t.Fatal(err)
	}
	work("beside the new schema", old)
	again := openedPostgres(t, PostgresConfig{DSN: dsn}) // the old program starts once more
	work("after a restart", again)
	far := next
	far.version, far.sql = next.version+1, fmt.Sprintf("-- compatible_from: %d\nSELECT 1", next.version)
	if err := migrateTo(append(list, next, far)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPostgres(t.Context(), PostgresConfig{DSN: dsn}); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("a program that is two versions behind opens: %v", err)
	}
	broken := far
	broken.version, broken.sql = far.version+1, "-- compatible_from: 1\nCREATE TABLE half (x int); SELECT 1/0"
	if err := migrateTo(append(list, next, far, broken)); err == nil || !strings.Contains(err.Error(), "division by zero") {
		t.Errorf("a broken migration: %v", err)
	}
	var half bool
	if err := again.pool.QueryRow(t.Context(), "SELECT to_regclass('half') IS NOT NULL").Scan(&half); err != nil || half {
		t.Errorf("half of the migration was kept: %v, %v", half, err)
	}
	for _, sql := range []string{"SELECT 1", "-- compatible_from: 0\n", "-- compatible_from: 9\n", "-- compatible_from: x\n"} {
		if _, err := (migration{version: 8, sql: sql}).compatibleFrom(); err == nil {
			t.Errorf("%q is accepted", sql)
		}
	}
}
