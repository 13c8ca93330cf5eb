// Package store keeps instances, bindings, operations and all that belongs to
// them in a SQL database, as core.Store says. OpenSQLite gives the embedded
// default: one file, one process, writes gathered by group commit. OpenPostgres gives
// the one for several replicas: updates run side by side and are kept apart by locks
// (locks.go). Both run the same statements through the same code; the texts are those
// of SQLite, and what differs is behind the interface conn.
//
// The package must not know HTTP, YAML, gRPC, plugins or the rules of the
// lifecycle: what may follow what is decided in core, inside Update. It enforces
// only what must hold whoever writes: one pending operation per target, one holder
// per reserved value, and no secret in the clear (every secret column passes the
// Cipher).
//
// A second implementation proves itself with the suite in core/store/storetest.
package store
