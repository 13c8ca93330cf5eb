package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/store/storetest"
	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// common is the server that most tests share, each with databases of its own.
var common struct {
	once   sync.Once
	server *postgres.Server
	err    error
	number atomic.Int64
}

// stopping stops the common server after the tests.
type stopping struct{ m *testing.M }

func (s stopping) Run() int {
	code := s.m.Run()
	if common.server != nil {
		if err := common.server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// started gives what start gave; it skips the test where PostgreSQL is not installed.
func started(t testing.TB, s *postgres.Server, err error) *postgres.Server {
	t.Helper()
	if errors.Is(err, postgres.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newDatabase makes an empty schema on the common server, which is made in no time,
// and gives the address by which a store finds it.
func newDatabase(t testing.TB) string {
	t.Helper()
	common.once.Do(func() { common.server, common.err = postgres.Start("", "fsync=off", "max_connections=300") })
	s := started(t, common.server, common.err)
	name := fmt.Sprintf("test%d", common.number.Add(1))
	execute(t, s.DSN(), "CREATE SCHEMA "+name)
	t.Cleanup(func() { execute(t, s.DSN(), "DROP SCHEMA "+name+" CASCADE") })
	return s.DSN() + "&search_path=" + name
}

// execute runs a statement over a connection of its own.
func execute(t testing.TB, dsn, text string) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// openPostgres opens the store and closes it at the end of the test.
func openPostgres(t testing.TB, config store.PostgresConfig) *store.Postgres {
	t.Helper()
	s, err := store.OpenPostgres(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// conformance runs the suite over PostgreSQL.
func conformance(t *testing.T, config store.PostgresConfig) {
	var mu sync.Mutex
	addresses := map[core.Store]string{}
	openAt := func(t *testing.T, dsn string) core.Store {
		config := config
		config.DSN = dsn
		s := openPostgres(t, config)
		mu.Lock()
		defer mu.Unlock()
		addresses[s] = dsn
		return s
	}
	storetest.Run(t, func(t *testing.T) core.Store { return openAt(t, newDatabase(t)) },
		storetest.Reopen(func(t *testing.T, s core.Store) core.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openAt(t, addresses[s])
		}),
		storetest.Peer(func(t *testing.T, s core.Store) core.Store { return openAt(t, addresses[s]) }))
}

func TestPostgresConformance(t *testing.T) { conformance(t, store.PostgresConfig{}) }

func TestPostgresConformanceWithCipher(t *testing.T) {
	conformance(t, store.PostgresConfig{Cipher: &toyCipher{seen: map[string]bool{}}})
}
