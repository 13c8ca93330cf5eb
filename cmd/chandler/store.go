package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// Pauses between attempts to reach a database that is away when the broker starts.
const (
	storePauseMin = 500 * time.Millisecond
	storePauseMax = 10 * time.Second
)

func (a *app) openStore(ctx context.Context) error {
	if err := os.MkdirAll(a.cfg.State, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	if a.cfg.Store.shared() {
		return a.openPostgres(ctx)
	}
	config := store.SQLiteConfig{Path: filepath.Join(a.cfg.State, "chandler.db")}
	if a.keyring != nil {
		config.Cipher = a.keyring
	}
	s, err := store.OpenSQLite(ctx, config)
	if err == nil {
		a.store = s
	}
	return err
}

func (a *app) openPostgres(ctx context.Context) (err error) {
	if a.stateLock == nil {
		if a.stateLock, err = lockState(a.cfg.State); err != nil {
			return err
		}
	}
	c := a.cfg.Store
	config := store.PostgresConfig{DSN: c.DSN, Connections: c.Connections,
		Wait: time.Duration(c.Wait), Timeout: time.Duration(c.Timeout), Log: a.log}
	if a.keyring != nil {
		config.Cipher = a.keyring
	}
	s, err := store.OpenPostgres(ctx, config)
	if err != nil {
		return err
	}
	a.store, a.leases = s, s
	return nil
}

// patiently repeats a step of the start for as long as the database is away: a
// broker that ended instead would be down longer than its database. What is wrong
// otherwise ends the start.
func (a *app) patiently(step func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for pause := storePauseMin; ; pause = min(2*pause, storePauseMax) {
			err := step(ctx)
			if err == nil || !a.cfg.Store.shared() || !away(err) {
				a.waits.Store(nil)
				return err
			}
			message := "the database is away; the start goes on when it is back"
			a.waits.Store(&message)
			a.log.Warn(message, "error", err, "next_attempt", pause)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(pause):
			}
		}
	}
}

// away tells whether a store's error may pass by itself: it says so, or the
// connection broke in the middle of something.
func away(err error) bool {
	var e *core.Error
	if errors.As(err, &e) {
		return e.Code == core.CodeUnavailable || e.Code == core.CodeOverloaded
	}
	var server *pgconn.PgError
	if errors.As(err, &server) { // 57P: the server shuts down or starts up; 08: the connection
		return strings.HasPrefix(server.Code, "57P") || strings.HasPrefix(server.Code, "08")
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}
