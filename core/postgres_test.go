package core_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// database is the PostgreSQL server that the tests share, each with a schema of its own.
var database postgres.Shared

func TestMain(m *testing.M) { goleak.VerifyTestMain(database.Around(m)) }

// openPostgres gives each replica connections of its own. The test is skipped where
// PostgreSQL is not installed.
func openPostgres(t *testing.T) func() shared {
	t.Helper()
	dsn, drop, err := database.Schema()
	if errors.Is(err, postgres.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
	return func() shared {
		s, err := store.OpenPostgres(context.Background(), store.PostgresConfig{DSN: dsn, Connections: 4})
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
