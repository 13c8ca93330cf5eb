package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chandler-broker/chandler/core"
)

// What may pass by itself is waited for; anything else must end the start at once.
func TestAway(t *testing.T) {
	for _, c := range []struct {
		why  string
		err  error
		away bool
	}{
		{"the store says that it cannot be reached", core.Errorf(core.CodeUnavailable, "x"), true},
		{"nothing has happened, try again", fmt.Errorf("open: %w", core.Errorf(core.CodeOverloaded, "x")), true},
		{"the address is wrong, and stays so", core.Errorf(core.CodeInvalid, "x"), false},
		{"a newer program has used the store", core.Errorf(core.CodeConflict, "x"), false},
		{"the server was killed in the middle of a migration", fmt.Errorf("migrate: %w", &pgconn.PgError{Code: "57P01"}), true},
		{"and the connection with it", fmt.Errorf("migrate: %w", io.ErrUnexpectedEOF), true},
		{"the network", &net.OpError{Op: "read", Err: errors.New("reset")}, true},
		{"the database user may not do it", fmt.Errorf("migrate: %w", &pgconn.PgError{Code: "42501"}), false},
		{"a shutdown", context.Canceled, false},
	} {
		if got := away(c.err); got != c.away {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}
