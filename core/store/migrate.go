package store

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/chandler-broker/chandler/core"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// applicationID marks a SQLite file as ours ("chdl" in its header).
const applicationID = 0x6368646c

// migration brings a database from the version before to its version. A
// migration that was released never changes: its checksum is in every database.
type migration struct {
	version int
	name    string
	sql     string
}

func (m migration) checksum() string {
	sum := sha256.Sum256([]byte(m.sql))
	return hex.EncodeToString(sum[:])
}

// loadMigrations reads NNNN_name.sql from dir; versions must be 1, 2, 3 ….
func loadMigrations(fsys fs.FS, dir string) ([]migration, error) {
	entries, err := fs.ReadDir(fsys, dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var list []migration
	for _, e := range entries {
		number, name, ok := strings.Cut(strings.TrimSuffix(e.Name(), ".sql"), "_")
		version, err := strconv.Atoi(number)
		if !ok || err != nil || version != len(list)+1 {
			return nil, fmt.Errorf("migration %s: want %04d_name.sql", e.Name(), len(list)+1)
		}
		text, err := fs.ReadFile(fsys, path.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		list = append(list, migration{version: version, name: name, sql: string(text)})
	}
	return list, nil
}

// migrate brings the database to the newest version, one transaction for each
// step. fresh says that it is empty. It refuses a database of a newer program and one
// whose history is not ours.
func migrate(ctx context.Context, s *session, file string, fresh bool, list []migration, now func() time.Time) error {
	if fresh {
		if err := mark(ctx, s); err != nil {
			return fmt.Errorf("prepare the store %s: %w", file, err)
		}
	}
	applied, err := history(ctx, s)
	if err != nil {
		return err
	}
	if len(applied) > len(list) {
		return core.Errorf(core.CodeConflict,
			"The store %s has schema version %d; this program knows versions up to %d.", file, len(applied), len(list)).
			WithHint("It was used by a newer chandler. Start that version again, or restore a backup from before the upgrade.")
	}
	for i, m := range list {
		if i >= len(applied) {
			if err := m.apply(ctx, s, now()); err != nil {
				return fmt.Errorf("migrate the store %s to version %d (%s): %w", file, m.version, m.name, err)
			}
			continue
		}
		if applied[i] != m.checksum() {
			return core.Errorf(core.CodeConflict,
				"The store %s was brought to schema version %d by a different build of chandler.", file, m.version).
				WithHint("Start the build that made it, or restore a backup.")
		}
	}
	return nil
}

// checkOurs refuses a database that holds something else; it only reads. fresh
// is true for an empty one.
func checkOurs(ctx context.Context, s *session, file string) (fresh bool, err error) {
	var id, tables int64
	if err := s.value(ctx, "PRAGMA application_id", &id); err != nil {
		return false, core.Errorf(core.CodeConflict, "The file %s is not a store of chandler.", file).
			WithHint("Give the store a path of its own.").WithCause(err)
	}
	if id == applicationID {
		return false, nil
	}
	if err := s.value(ctx, "SELECT count(*) FROM sqlite_schema", &tables); err != nil {
		return false, fmt.Errorf("open the store %s: %w", file, err)
	}
	if id != 0 || tables != 0 {
		return false, core.Errorf(core.CodeConflict, "The file %s is a SQLite database, but not a store of chandler.", file).
			WithHint("Give the store a path of its own.")
	}
	return true, nil
}

// mark makes an empty database ours.
func mark(ctx context.Context, s *session) error {
	return s.script(ctx, fmt.Sprintf(`BEGIN IMMEDIATE;
PRAGMA application_id = %d;
CREATE TABLE migrations (
  version    INTEGER NOT NULL PRIMARY KEY,
  name       TEXT NOT NULL,
  checksum   TEXT NOT NULL, -- SHA-256 of the migration's text
  applied_at INTEGER NOT NULL
);
COMMIT`, applicationID))
}

// history gives the checksums of the applied migrations, in order.
func history(ctx context.Context, s *session) ([]string, error) {
	rows, err := s.conn.QueryContext(ctx, "SELECT version, checksum FROM migrations ORDER BY version")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var version int
		var sum string
		if err := rows.Scan(&version, &sum); err != nil {
			return nil, err
		}
		if version != len(list)+1 {
			return nil, fmt.Errorf("the table migrations lacks version %d", len(list)+1)
		}
		list = append(list, sum)
	}
	return list, rows.Err()
}

// apply runs the migration and records it, or changes nothing.
func (m migration) apply(ctx context.Context, s *session, at time.Time) (err error) {
	if err := s.script(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.script(context.WithoutCancel(ctx), "ROLLBACK") // may have happened already
		}
	}()
	if err := s.script(ctx, m.sql); err != nil {
		return err
	}
	_, err = s.conn.ExecContext(ctx, "INSERT INTO migrations (version, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
		m.version, m.name, m.checksum(), at.UnixMicro())
	if err != nil {
		return err
	}
	return s.script(ctx, "COMMIT")
}
