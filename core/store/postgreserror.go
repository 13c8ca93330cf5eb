package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chandler-broker/chandler/core"
)

// sqlState is the code of an error that the server has sent; "" for any other.
func sqlState(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// isConflict tells of errors by which the server lets one of two transactions give way.
func isConflict(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01":
		return true
	}
	return false
}

// isLost tells of errors by which the server ends the connection or its use.
func isLost(err error) bool {
	switch state := sqlState(err); {
	case strings.HasPrefix(state, "08"), strings.HasPrefix(state, "57P"),
		state == "25P03", // idle in transaction for too long
		state == "25006": // read-only: the server became a standby
		return true
	case state == "0A000": // "cached plan must not change result type", after a migration
		return true
	}
	return false
}

// isBusy tells of errors that mean "not now": time-outs and exhausted resources.
func isBusy(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	state := sqlState(err)
	return state == "55P03" || state == "57014" || strings.HasPrefix(state, "53")
}

// refused is the error for what had no effect and may be sent again.
func refused(what string, err error) *core.Error {
	if err == nil {
		err = errors.New("try again")
	}
	return &core.Error{Code: core.CodeOverloaded, Message: "The broker's database cannot be used now; nothing was changed.",
		Hint: "Send the request again later.", Detail: fmt.Sprintf("%s: %v", what, err), RetryAfter: 2 * time.Second}
}

// failure implements conn: an error before the commit, so that nothing has happened.
func (c *pgConn) failure(what string, err error) error {
	switch {
	case sqlState(err) == otherKeyset:
		c.again = errKeyset
		return errKeyset
	case errors.Is(err, errPlan), isConflict(err):
		c.again = err
		return err
	case isBusy(err):
		return refused(what, err)
	case isLost(err), c.conn.Conn().IsClosed():
		c.again = fmt.Errorf("%s: %w", what, err)
		return refused(what, err)
	}
	return unavailable(what, err)
}

// uncertain gives the error for a failed COMMIT. Only what the server says of the
// transaction, or an error before the first byte was sent, is certain.
func (c *pgConn) uncertain(err error) error {
	state := sqlState(err)
	switch {
	case isConflict(err), state == "25P03", pgconn.SafeToRetry(err):
		c.again = err
		return refused("commit", err)
	case strings.HasPrefix(state, "23"), strings.HasPrefix(state, "40"), strings.HasPrefix(state, "25"):
		return refused("commit", err)
	}
	return core.Errorf(core.CodeUnavailable, "The broker's database was lost while it stored the change; nobody can tell whether it did.").
		WithHint("Send the same request again: it finds out.").WithCause(fmt.Errorf("commit: %w", err))
}
