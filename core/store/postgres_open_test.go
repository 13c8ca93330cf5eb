package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

func TestPostgresOpensTogether(t *testing.T) {
	dsn := newDatabase(t)
	const replicas = 6
	var wg sync.WaitGroup
	for i := range replicas {
		wg.Go(func() {
			s, err := store.OpenPostgres(context.Background(), store.PostgresConfig{DSN: dsn})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			err = s.Update(context.Background(), func(tx core.Tx) error { return tx.Put(fmt.Sprint(i), nil) })
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := one(t, dsn, "SELECT count(*)::text FROM documents"); got != fmt.Sprint(replicas) {
		t.Errorf("%s documents, want %d", got, replicas)
	}
}

// one gives the one value of a query.
func one(t testing.TB, dsn, query string) (value string) {
	t.Helper()
	c, err := pgx.Connect(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(context.Background(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func TestPostgresRefuses(t *testing.T) {
	const future = "INSERT INTO chandler_migrations SELECT max(version) + 1, 'future', 'x', %s, 0 FROM chandler_migrations"
	made := func(t *testing.T, change string) string {
		dsn := newDatabase(t)
		s, err := store.OpenPostgres(t.Context(), store.PostgresConfig{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		execute(t, dsn, change)
		return dsn
	}
	for _, tc := range []struct {
		why  string
		dsn  func(t *testing.T) string
		code core.ErrorCode
		want string // "" if it opens
	}{
		{"a newer schema that this program works with, as in a rolling upgrade", func(t *testing.T) string {
			return made(t, fmt.Sprintf(future, "1"))
		}, "", ""},
		{"a newer schema that it does not work with", func(t *testing.T) string {
			return made(t, fmt.Sprintf(future, "max(version) + 1"))
		}, core.CodeConflict, "this one knows versions up to"},
		{"a migration of a different build", func(t *testing.T) string {
			return made(t, "UPDATE chandler_migrations SET checksum = 'x' WHERE version = 1")
		}, core.CodeConflict, "different build"},
		{"somebody else's tables", func(t *testing.T) string {
			dsn := newDatabase(t)
			execute(t, dsn, "CREATE TABLE invoices (id int)")
			return dsn
		}, core.CodeConflict, "not those of a store"},
		{"a schema that does not exist", func(t *testing.T) string {
			return serverDSN(t) + "&search_path=nowhere"
		}, core.CodeConflict, "no schema"},
		{"no server", func(t *testing.T) string {
			return "postgres://u:canary-password@localhost:1/db?host=" + t.TempDir()
		}, core.CodeUnavailable, "cannot be reached"},
		{"a wrong password", func(t *testing.T) string {
			return strings.Replace(serverDSN(t), "chandler@", "stranger:canary-password@", 1)
		}, core.CodeUnavailable, "cannot be reached"},
		{"not an address", func(*testing.T) string { return "postgres://u:canary-password@h:port/db" }, core.CodeInvalid, "not valid"},
		{"not key=value pairs", func(*testing.T) string { return "host=x password=canary-password port" }, core.CodeInvalid, "not valid"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			s, err := store.OpenPostgres(t.Context(), store.PostgresConfig{DSN: tc.dsn(t)})
			if err == nil {
				s.Close()
			}
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if core.CodeOf(err) != tc.code || err == nil || !strings.Contains(err.Error(), tc.want) || core.AsError(err).Hint == "" {
				t.Fatalf("error %v, want %s with %q and a hint", err, tc.code, tc.want)
			}
			for e := error(err); e != nil; e = errors.Unwrap(e) {
				if strings.Contains(fmt.Sprintf("%v %+v", e, e), "canary-password") {
					t.Errorf("the password is in %T: %v", e, e)
				}
			}
		})
	}
}

func TestPostgresLostConnections(t *testing.T) {
	dsn := newDatabase(t)
	s := openPostgres(t, store.PostgresConfig{DSN: dsn, Connections: 4})
	kill := fmt.Sprintf(`SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity
		WHERE pid <> pg_backend_pid() AND query NOT LIKE 'LISTEN%%' AND application_name = 'chandler'`)
	runs := 0
	err := s.Update(t.Context(), func(tx core.Tx) error {
		runs++
		if err := tx.Put("a", []byte(fmt.Sprint(runs))); err != nil {
			return err
		}
		if runs == 1 {
			one(t, dsn, kill)
		}
		return tx.Put("b", []byte(fmt.Sprint(runs)))
	})
	if err != nil {
		t.Fatalf("a connection that is lost before the commit: %v", err)
	}
	if runs != 2 {
		t.Errorf("fn ran %d times, want 2", runs)
	}
	runs = 0
	err = s.Update(t.Context(), func(tx core.Tx) error {
		runs++
		if err := tx.Put("c", nil); err != nil {
			return err
		}
		one(t, dsn, kill)
		return nil
	})
	// Whether the server has received the COMMIT cannot be known, though it has not.
	if code := core.CodeOf(err); code != core.CodeUnavailable && code != core.CodeOverloaded {
		t.Errorf("a connection that is lost before the COMMIT is answered: %v", err)
	}
	runs = 0
	err = s.View(t.Context(), func(tx core.Tx) error {
		runs++
		if _, err := tx.Get("a"); err != nil {
			return err
		}
		one(t, dsn, kill)
		_, err := tx.Get("b")
		return err
	})
	if core.CodeOf(err) != core.CodeOverloaded || runs != 1 {
		t.Errorf("a View that has read something and lost its connection: %v after %d runs", err, runs)
	}
}

func TestPostgresRefusesWhatDoesNotFit(t *testing.T) {
	s := openPostgres(t, store.PostgresConfig{DSN: newDatabase(t), Connections: 4, Wait: time.Second})
	// patiently repeats what a slow machine may refuse.
	patiently := func(what string, fn func() error) {
		err := fn()
		for tries := 0; core.CodeOf(err) == core.CodeOverloaded && tries < 60; tries++ {
			err = fn()
		}
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	release, holding := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range 3 { // three of four may update
		wg.Go(func() {
			held := sync.OnceFunc(func() { holding <- struct{}{} })
			patiently("an Update", func() error {
				return s.Update(t.Context(), func(core.Tx) error { held(); <-release; return nil })
			})
		})
	}
	for range 3 {
		<-holding
	}
	err := s.Update(t.Context(), func(core.Tx) error { t.Error("fn ran"); return nil })
	if e := core.AsError(err); e == nil || e.Code != core.CodeOverloaded || e.RetryAfter <= 0 {
		t.Errorf("an Update too many: %v", err)
	}
	patiently("Views have a connection of their own", func() error { return s.Ping(t.Context()) })
	patiently("so have leases", func() error { return s.Renew(t.Context(), core.Replica{Holder: "h"}, time.Hour) })
	close(release)
	wg.Wait()
}

// TestPostgresTakesAnyWords puts what PostgreSQL does not take as text into fields
// that plugins fill.
func TestPostgresTakesAnyWords(t *testing.T) {
	s := openPostgres(t, store.PostgresConfig{DSN: newDatabase(t)})
	op := &core.Operation{ID: "o", InstanceID: "i", State: core.OperationPending, ProgressText: "zero\x00byte"}
	var steps []*core.Step
	err := s.Update(t.Context(), func(tx core.Tx) error {
		if err := tx.InsertOperation(op); err != nil {
			return err
		}
		return tx.AddStep(&core.Step{Operation: "o", Text: "not \xff UTF-8", Detail: "\x00"})
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(tx core.Tx) (err error) {
		if op, err = tx.Operation("o"); err != nil {
			return err
		}
		steps, err = tx.Steps("o")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if op.ProgressText != "zero\uFFFDbyte" || steps[0].Text != "not \uFFFD UTF-8" || steps[0].Detail != "\uFFFD" {
		t.Errorf("got %q, %q, %q", op.ProgressText, steps[0].Text, steps[0].Detail)
	}
}

// TestPostgresLateFailure is that of a statement which was sent with the COMMIT.
func TestPostgresLateFailure(t *testing.T) {
	dsn := newDatabase(t)
	s := openPostgres(t, store.PostgresConfig{DSN: dsn, Timeout: 600 * time.Millisecond})
	c, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), "BEGIN; LOCK TABLE documents IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	runs := 0
	put := func(tx core.Tx) error { runs++; return tx.Put("k", []byte("v")) }
	if err := s.Update(t.Context(), put); core.CodeOf(err) != core.CodeOverloaded || runs != 1 {
		t.Errorf("a statement that could not be done: %v after %d runs, want a refusal after one", err, runs)
	}
	if _, err := c.Exec(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if n := one(t, dsn, "SELECT count(*)::text FROM documents"); n != "0" {
		t.Errorf("%s documents are stored", n)
	}
	if err := s.Update(t.Context(), put); err != nil {
		t.Error(err)
	}
}
