package postgres

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Shared is one server for the tests of a package, each with a schema of its own, which
// is made in no time. It starts with the first schema. The zero value is ready; safe for
// concurrent use, but for Run's end.
type Shared struct {
	once   sync.Once
	server *Server
	err    error

	mu      sync.Mutex
	schemas int
}

// Server is the server itself, started if it was not. ErrNotInstalled if there are no binaries.
func (s *Shared) Server() (*Server, error) {
	s.once.Do(func() { s.server, s.err = Start("", "fsync=off", "max_connections=300") })
	return s.server, s.err
}

// Schema makes an empty schema and gives the address by which a store finds it; drop
// removes it with all that is in it. ErrNotInstalled if there are no binaries.
func (s *Shared) Schema() (dsn string, drop func() error, err error) {
	server, err := s.Server()
	if err != nil {
		return "", nil, err
	}
	s.mu.Lock()
	s.schemas++
	name := fmt.Sprintf("test%d", s.schemas)
	s.mu.Unlock()
	drop = func() error { return Execute(server.DSN(), "DROP SCHEMA "+name+" CASCADE") }
	return server.DSN() + "&search_path=" + name, drop, Execute(server.DSN(), "CREATE SCHEMA "+name)
}

// Around is tests (a *testing.M) whose Run stops the server after them; its status is 1 if that fails.
func (s *Shared) Around(tests interface{ Run() int }) interface{ Run() int } {
	return around{s, tests}
}

type around struct {
	shared *Shared
	tests  interface{ Run() int }
}

// Run implements goleak.TestingM.
func (a around) Run() int {
	status := a.tests.Run()
	if a.shared.server == nil {
		return status
	}
	if err := a.shared.server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// Execute runs a statement over a connection of its own.
func Execute(dsn, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}
