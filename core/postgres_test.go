package core_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// database is the PostgreSQL server that the tests share, each with a schema of its own.
var database struct {
	once   sync.Once
	server *postgres.Server
	err    error
	number atomic.Int64
}

// stopping stops it after the tests.
type stopping struct{ m *testing.M }

func (s stopping) Run() int {
	code := s.m.Run()
	if database.server != nil {
		if err := database.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(stopping{m}) }

// openPostgres gives each replica connections of its own. The test is skipped where
// PostgreSQL is not installed.
func openPostgres(t *testing.T) func() shared {
	t.Helper()
	database.once.Do(func() { database.server, database.err = postgres.Start("", "fsync=off", "max_connections=300") })
	if errors.Is(database.err, postgres.ErrNotInstalled) {
		t.Skip(database.err)
	}
	if database.err != nil {
		t.Fatal(database.err)
	}
	name := fmt.Sprintf("test%d", database.number.Add(1))
	execute(t, "CREATE SCHEMA "+name)
	t.Cleanup(func() { execute(t, "DROP SCHEMA "+name+" CASCADE") })
	return func() shared {
		s, err := store.OpenPostgres(context.Background(), store.PostgresConfig{DSN: database.server.DSN() + "&search_path=" + name, Connections: 4})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
}

func execute(t testing.TB, text string) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, database.server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
