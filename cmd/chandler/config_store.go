package main

import (
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chandler-broker/chandler/core"
)

// The drivers of a store.
const (
	driverSQLite   = "sqlite"
	driverPostgres = "postgres"
)

// StoreConfig says where instances, bindings and the journal are kept.
type StoreConfig struct {
	// Driver is "sqlite" (a file in State, for one broker; the default) or "postgres"
	// (a database that several brokers share).
	Driver string `yaml:"driver"`
	// DSN is PostgreSQL's connection string, as a URL or as key=value pairs. What it
	// leaves open comes from the PG… variables. It is treated as a secret.
	DSN string `yaml:"dsn"`
	// Connections is how many transactions may run at once; 0 means the store's default.
	Connections int `yaml:"connections"`
	// Wait is how long a request waits for a free connection before it is refused;
	// Timeout bounds each statement, and the network's silence. 0 means the store's default.
	Wait    Duration `yaml:"wait"`
	Timeout Duration `yaml:"timeout"`
}

// shared tells whether other brokers may work over the same store.
func (c StoreConfig) shared() bool { return c.Driver == driverPostgres }

func (c StoreConfig) check(add func(format string, args ...any)) {
	switch {
	case c.Driver != driverSQLite && c.Driver != driverPostgres:
		hint := ""
		if d := core.EditDistance(c.Driver, "postgresql"); d < 3 {
			hint = "; did you mean postgres?"
		}
		add("store.driver: %q is not sqlite or postgres%s", c.Driver, hint)
	case c.Driver == driverPostgres && c.DSN == "":
		add("store.dsn: is missing; PostgreSQL needs a connection string, such as postgres://chandler@db.example.org/chandler")
	case c.Driver == driverSQLite && c.DSN != "":
		add("store.dsn: is for store.driver postgres only")
	}
	if c.Connections < 0 {
		add("store.connections: is negative")
	}
}

// secrets are the connection string and the password in it.
func (c StoreConfig) secrets() []string {
	if c.DSN == "" {
		return nil
	}
	list := []string{c.DSN}
	if settings, err := pgconn.ParseConfig(c.DSN); err == nil {
		list = append(list, settings.Password)
	}
	return list
}
