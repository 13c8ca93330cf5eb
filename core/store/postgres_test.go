package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/store/storetest"
	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// database is the server that most tests share, each with a schema of its own.
var database postgres.Shared

// skipWithoutPostgres skips the test where PostgreSQL is not installed; another error fails it.
func skipWithoutPostgres(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, postgres.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// newDatabase makes an empty schema on the shared server and gives the address by
// which a store finds it.
func newDatabase(t testing.TB) string {
	t.Helper()
	dsn, drop, err := database.Schema()
	skipWithoutPostgres(t, err)
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
	return dsn
}

// serverDSN is the address of the shared server, where no store is.
func serverDSN(t testing.TB) string {
	t.Helper()
	s, err := database.Server()
	skipWithoutPostgres(t, err)
	return s.DSN()
}

// execute runs a statement over a connection of its own.
func execute(t testing.TB, dsn, statement string) {
	t.Helper()
	if err := postgres.Execute(dsn, statement); err != nil {
		t.Fatal(err)
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
