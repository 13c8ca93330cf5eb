package postgres_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// query gives the one value of a query over a connection of its own.
func query(t *testing.T, dsn, text string) string {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	var value string
	if err := c.QueryRow(ctx, text).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestServer(t *testing.T) {
	s, err := postgres.Start("", "fsync=off", "max_connections=33")
	if errors.Is(err, postgres.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if got := query(t, s.DSN(), "SHOW max_connections"); got != "33" {
		t.Errorf("max_connections is %s", got)
	}
	dir := query(t, s.DSN(), "SHOW unix_socket_directories")
	c, err := pgx.Connect(t.Context(), s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), "CREATE TABLE kept AS SELECT 'kept' AS v"); err != nil {
		t.Fatal(err)
	}
	for _, again := range []struct {
		name string
		fn   func() error
	}{{"kill", s.Kill}, {"kill what is down", s.Kill}, {"start", s.Restart}, {"restart", s.Restart}} {
		if err := again.fn(); err != nil {
			t.Fatalf("%s: %v", again.name, err)
		}
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Error("a connection survived the kill")
	}
	c.Close(t.Context())
	if got := query(t, s.DSN(), "SELECT v FROM kept"); got != "kept" {
		t.Errorf("after the kill: %q", got)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", dir, err)
	}
}
