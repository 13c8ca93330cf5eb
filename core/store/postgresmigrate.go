package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chandler-broker/chandler/core"
)

//go:embed migrations/postgres/*.sql
var postgresMigrationFiles embed.FS

// compatibleFrom is the first line of a migration: programs that know the schema from
// this version on work with it. While replicas are upgraded one by one, old ones go on
// beside the new schema; so a migration only adds, until a later one may remove what
// no program uses that it is compatible with.
const compatibleFrom = "-- compatible_from: "

func (m migration) compatibleFrom() (int, error) {
	line, _, _ := strings.Cut(m.sql, "\n")
	number, ok := strings.CutPrefix(line, compatibleFrom)
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || n > m.version {
		return 0, fmt.Errorf("migration %04d_%s: the first line must be %qN", m.version, m.name, compatibleFrom)
	}
	return n, nil
}

// migratePostgres brings the schema to the newest version, under a lock that other
// processes wait for, over a connection of its own.
func migratePostgres(ctx context.Context, settings *pgx.ConnConfig, now func() time.Time) error {
	list, err := loadMigrations(postgresMigrationFiles, "migrations/postgres")
	if err != nil {
		return err
	}
	settings = settings.Copy()
	settings.RuntimeParams["statement_timeout"] = "0" // an index may take long
	settings.RuntimeParams["lock_timeout"] = "0"      // so may another process's migration
	settings.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	c, err := pgx.ConnectConfig(ctx, settings)
	if err != nil {
		return core.Errorf(core.CodeUnavailable, "The PostgreSQL database cannot be reached.").
			WithHint("Check the configured address, that the server runs, and that the user may log in.").WithCause(err)
	}
	defer c.Close(context.WithoutCancel(ctx)) // and with it the lock
	return (&postgresSchema{conn: c, now: now}).migrate(ctx, list)
}

// postgresSchema is the schema of a database that is being opened.
type postgresSchema struct {
	conn *pgx.Conn
	now  func() time.Time
}

const minPostgres = 140000 // client_connection_check_interval

func (p *postgresSchema) migrate(ctx context.Context, list []migration) error {
	var version int
	if err := p.conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	if version < minPostgres {
		return core.Errorf(core.CodeConflict, "The PostgreSQL server has version %d.%d.", version/10000, version%10000).
			WithHint("Chandler needs %d or newer.", minPostgres/10000)
	}
	if _, err := p.conn.Exec(ctx, "SELECT pg_advisory_lock(3, 1)"); err != nil {
		return fmt.Errorf("lock the store for its migration: %w", err)
	}
	if err := p.mark(ctx); err != nil {
		return err
	}
	applied, compatible, err := p.history(ctx)
	if err != nil {
		return err
	}
	if len(applied) > len(list) && compatible > len(list) {
		return core.Errorf(core.CodeConflict, "The store has schema version %d, for programs that know version %d or newer; this one knows versions up to %d.",
			len(applied), compatible, len(list)).
			WithHint("It was used by a newer chandler. Start that version again, or restore a backup from before the upgrade.")
	}
	for i, m := range list {
		if i >= len(applied) {
			if err := p.apply(ctx, m); err != nil {
				return fmt.Errorf("migrate the store to version %d (%s): %w", m.version, m.name, err)
			}
			continue
		}
		if applied[i] != m.checksum() {
			return core.Errorf(core.CodeConflict, "The store was brought to schema version %d by a different build of chandler.", m.version).
				WithHint("Start the build that made it, or restore a backup.")
		}
	}
	return nil
}

// mark makes an empty schema ours. It refuses one that holds something else.
func (p *postgresSchema) mark(ctx context.Context) error {
	var schema *string
	var ours bool
	var others int
	err := p.conn.QueryRow(ctx, `SELECT current_schema(),
		EXISTS (SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace(current_schema()) AND relname = 'chandler_migrations'),
		(SELECT count(*) FROM pg_class c WHERE relnamespace = to_regnamespace(current_schema()) AND relkind IN ('r', 'p')
			AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))`).Scan(&schema, &ours, &others)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	hint := "Give the store a database of its own, or a schema by search_path in its address."
	switch {
	case schema == nil:
		return core.Errorf(core.CodeConflict, "The PostgreSQL database has no schema that the user may use.").WithHint("%s", hint)
	case ours:
		return nil
	case others > 0:
		return core.Errorf(core.CodeConflict, "The PostgreSQL database holds tables that are not those of a store of chandler.").WithHint("%s", hint)
	}
	_, err = p.conn.Exec(ctx, `CREATE TABLE chandler_migrations (
		version         INTEGER NOT NULL PRIMARY KEY,
		name            TEXT NOT NULL,
		checksum        TEXT NOT NULL, -- SHA-256 of the migration's text
		compatible_from INTEGER NOT NULL, -- programs that know this version or a newer one work with it
		applied_at      BIGINT NOT NULL
	)`)
	if err != nil {
		return fmt.Errorf("prepare the store: %w", err)
	}
	return nil
}

// history gives the checksums of the applied migrations, in order, and the oldest
// version of programs that work with all of them.
func (p *postgresSchema) history(ctx context.Context) (list []string, compatible int, err error) {
	rows, err := p.conn.Query(ctx, "SELECT version, checksum, compatible_from FROM chandler_migrations ORDER BY version")
	if err != nil {
		return nil, 0, fmt.Errorf("open the store: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var version, from int
		var sum string
		if err := rows.Scan(&version, &sum, &from); err != nil {
			return nil, 0, fmt.Errorf("open the store: %w", err)
		}
		if version != len(list)+1 {
			return nil, 0, fmt.Errorf("the table chandler_migrations lacks version %d", len(list)+1)
		}
		list, compatible = append(list, sum), max(compatible, from)
	}
	return list, compatible, rows.Err()
}

// apply runs the migration and records it, or changes nothing. A table that it
// changes is locked for a moment only: if another replica's transaction is in the
// way, it steps back and tries again, so that nobody queues up behind it.
func (p *postgresSchema) apply(ctx context.Context, m migration) error {
	from, err := m.compatibleFrom()
	if err != nil {
		return err
	}
	for {
		err := pgx.BeginFunc(ctx, p.conn, func(t pgx.Tx) error {
			if _, err := t.Exec(ctx, "SET LOCAL lock_timeout = '1s'"); err != nil {
				return err
			}
			if _, err := t.Exec(ctx, m.sql); err != nil {
				return err
			}
			_, err := t.Exec(ctx, "INSERT INTO chandler_migrations VALUES ($1, $2, $3, $4, $5)",
				m.version, m.name, m.checksum(), from, p.now().UnixMicro())
			return err
		})
		if sqlState(err) != "55P03" {
			return err
		}
		if !pause(ctx, 200*time.Millisecond) {
			return errors.Join(ctx.Err(), err)
		}
	}
}
