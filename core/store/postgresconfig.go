package store

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PostgresConfig says where the database is and how it is used.
type PostgresConfig struct {
	// DSN is the address, as libpq takes it: a URL or key=value pairs, TLS included. Its
	// password never shows in an error or in the log. Several hosts may be named.
	DSN string
	// Cipher seals the secret columns. Nil stores them as they are.
	Cipher Cipher
	// Connections is how many transactions run at once, from this process. A quarter
	// of them is kept for Views. Seven more are for leases, hints and upkeep. Default 16; at least 4.
	Connections int
	// Queue is how many Updates may wait for their turn before more are refused with
	// core.CodeOverloaded. Default 4096.
	Queue int
	// Wait is how long a transaction waits for a free connection before it is
	// refused with core.CodeOverloaded. Default 5 s.
	Wait time.Duration
	// Timeout bounds each statement, and the network's silence. Default 15 s.
	Timeout time.Duration
	// Log hears of lost connections. Nil is silent.
	Log *slog.Logger
	// Now gives the time for the record of migrations. Leases go by the database's
	// clock. Default time.Now.
	Now func() time.Time
}

func (c PostgresConfig) withDefaults() PostgresConfig {
	if c.Cipher == nil {
		c.Cipher = plainCipher{}
	}
	if c.Connections <= 0 {
		c.Connections = 16
	}
	c.Connections = max(c.Connections, 4)
	if c.Queue <= 0 {
		c.Queue = 4096
	}
	if c.Wait <= 0 {
		c.Wait = 5 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 15 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// prepareConnections sets what every connection of the store has.
func prepareConnections(settings *pgxpool.Config, config PostgresConfig) {
	set := func(name, value string) {
		if _, said := settings.ConnConfig.RuntimeParams[name]; !said {
			settings.ConnConfig.RuntimeParams[name] = value
		}
	}
	millis := func(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
	set("application_name", "chandler")
	set("statement_timeout", millis(config.Timeout))
	// A frozen broker must not keep its locks longer than others wait for them; fn is quick.
	set("lock_timeout", millis(config.Timeout*2/3))
	set("idle_in_transaction_session_timeout", millis(config.Timeout/3))
	set("client_connection_check_interval", "5s") // while it waits for a lock
	set("tcp_keepalives_idle", "10")
	set("tcp_keepalives_interval", "5")
	set("tcp_keepalives_count", "3")
	// Tables grow from nothing to millions of rows faster than statistics follow; all
	// statements have their index. What is over in a millisecond needs no helpers.
	set("enable_seqscan", "off")
	set("jit", "off")
	set("max_parallel_workers_per_gather", "0")
	if settings.ConnConfig.ConnectTimeout == 0 {
		settings.ConnConfig.ConnectTimeout = min(config.Wait, 5*time.Second)
	}
	settings.MaxConns = int32(config.Connections)
	settings.MaxConnLifetime, settings.MaxConnLifetimeJitter = 30*time.Minute, 5*time.Minute
	settings.MaxConnIdleTime = 5 * time.Minute
	settings.PingTimeout = 5 * time.Second
	settings.AfterConnect = durable
}

// durable makes commits of the connection durable where the server's configuration
// would not wait for the disk; stronger settings stay.
func durable(ctx context.Context, c *pgx.Conn) error {
	var level string
	if err := c.QueryRow(ctx, "SHOW synchronous_commit").Scan(&level); err != nil || level != "off" {
		return err
	}
	_, err := c.Exec(ctx, "SET synchronous_commit = on")
	return err
}
