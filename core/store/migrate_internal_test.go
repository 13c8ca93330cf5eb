package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// migrated brings the database of the file to the end of the list.
func migrated(t *testing.T, file string, list []migration) error {
	t.Helper()
	s, err := openSession(t.Context(), dsn(file, SQLiteConfig{}.withDefaults(), false))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := writeAhead(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	fresh, err := checkOurs(t.Context(), s, file)
	if err != nil {
		return err
	}
	return migrate(t.Context(), s, file, fresh, list, time.Now)
}

// schema gives the text of every table, index and trigger.
func schema(t *testing.T, file string) map[string]string {
	t.Helper()
	s, err := openSession(t.Context(), dsn(file, SQLiteConfig{}.withDefaults(), true))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	rows, err := s.conn.QueryContext(t.Context(), "SELECT name, coalesce(sql, '') FROM sqlite_schema")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	m := map[string]string{}
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}
		m[name] = text
	}
	return m
}

func realMigrations(t *testing.T) []migration {
	t.Helper()
	list, err := loadMigrations(migrationFiles, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestMigrateFromEveryVersion makes a database of each older version, with the
// rows that the program of that version left (testdata/version-N.sql), and opens it.
func TestMigrateFromEveryVersion(t *testing.T) {
	list := realMigrations(t)
	newest := filepath.Join(t.TempDir(), "newest.db")
	if err := migrated(t, newest, list); err != nil {
		t.Fatal(err)
	}
	for version := range len(list) + 1 {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "old.db")
			if err := migrated(t, file, list[:version]); err != nil {
				t.Fatal(err)
			}
			if version > 0 {
				rows, err := os.ReadFile(fmt.Sprintf("testdata/version-%d.sql", version))
				if err != nil {
					t.Fatalf("every version needs its rows: %v", err)
				}
				script(t, file, string(rows))
			}
			s, err := OpenSQLite(t.Context(), SQLiteConfig{Path: file})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if diff := cmp.Diff(schema(t, newest), schema(t, file)); diff != "" {
				t.Errorf("schema (-newest +migrated):\n%s", diff)
			}
			if version > 0 {
				oldRows(t, s, version)
			}
		})
	}
}

func script(t *testing.T, file, text string) {
	t.Helper()
	s, err := openSession(t.Context(), dsn(file, SQLiteConfig{}.withDefaults(), false))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.script(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

// oldRows checks what testdata/version-N.sql says, through the store.
func oldRows(t *testing.T, s *SQLite, version int) {
	t.Helper()
	at := time.UnixMicro(1700000000000001).UTC()
	err := s.View(t.Context(), func(tx core.Tx) error {
		in, err := tx.Instance("i")
		if err != nil {
			return err
		}
		want := &core.Instance{ID: "i", ServiceID: "s", PlanID: "p", Definition: "d", Backend: "be", OrganizationGUID: "org",
			SpaceGUID: "space", Parameters: []byte(`{"size":1}`), Context: []byte(`{}`), Ready: true, Usable: true,
			Applied:       core.Applied{Inputs: []byte(`{"bucket":"b"}`), Outputs: []byte(`{"endpoint":"e"}`)},
			Attempted:     []core.Attempt{{Operation: "o", Verb: core.VerbUpdate, Inputs: []byte(`{"bucket":"c"}`), Handle: []byte("h")}},
			LastOperation: "o", CreatedAt: at, UpdatedAt: at}
		if version >= 3 {
			want.Applied.Version = "1.2.3"
		}
		if diff := cmp.Diff(want, in); diff != "" {
			t.Errorf("instance (-want +got):\n%s", diff)
		}
		b, err := tx.Binding("i", "b")
		if err != nil {
			return err
		}
		if b.Result == nil || string(b.Result.Credentials) != `{"uri":"u"}` {
			t.Errorf("binding: %+v", b.Result)
		}
		op, err := tx.LatestOperation("i", "")
		if err != nil {
			return err
		}
		if op.ID != "o" || string(op.Wanted.Inputs) != `{"bucket":"c"}` || op.Error.Message != "no" || op.Left[0] != "x" {
			t.Errorf("operation: %+v", op)
		}
		if want := version >= 3; (op.Trace != "") != want || (op.Holder == "h" && op.Epoch == 2) != want {
			t.Errorf("operation's trace, holder and epoch: %q, %q, %d", op.Trace, op.Holder, op.Epoch)
		}
		steps, err := tx.Steps("o")
		if err != nil || len(steps) != 1 {
			t.Errorf("steps: %v, %v", steps, err)
		}
		secret, err := tx.Secret("i", "", "admin", nil)
		if err != nil || secret != "pw" {
			t.Errorf("secret: %q, %v", secret, err)
		}
		counts, err := tx.Counts()
		if diff := cmp.Diff(core.Counts{Instances: 1, Bindings: 1, Unfinished: map[core.Verb]int64{core.VerbUpdate: 1}}, counts); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMigrationsRefuse(t *testing.T) {
	one := migration{version: 1, name: "one", sql: "CREATE TABLE a (x)"}
	two := migration{version: 2, name: "two", sql: "CREATE TABLE b (x)"}
	for _, tc := range []struct {
		why           string
		before, after []migration
		want          string
	}{
		{"a newer program has used it", []migration{one, two}, []migration{one}, "schema version 2; this program knows versions up to 1"},
		{"a released migration was changed", []migration{one}, []migration{{version: 1, name: "one", sql: "CREATE TABLE a (y)"}, two}, "different build"},
	} {
		t.Run(tc.why, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.db")
			if err := migrated(t, file, tc.before); err != nil {
				t.Fatal(err)
			}
			before := schema(t, file)
			err := migrated(t, file, tc.after)
			var e *core.Error
			if !errors.As(err, &e) || !strings.Contains(e.Message, tc.want) || !strings.Contains(e.Message, file) || e.Hint == "" {
				t.Errorf("error %v, want %q, the file and a hint", err, tc.want)
			}
			if diff := cmp.Diff(before, schema(t, file)); diff != "" {
				t.Errorf("the refused database changed:\n%s", diff)
			}
		})
	}
}

func TestFailedMigrationLeavesTheVersionBefore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.db")
	one := migration{version: 1, name: "one", sql: "CREATE TABLE a (x)"}
	broken := migration{version: 2, name: "two", sql: "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1)"}
	good := migration{version: 2, name: "two", sql: "CREATE TABLE b (x); INSERT INTO b VALUES (1)"}
	if err := migrated(t, file, []migration{one, broken}); err == nil || !strings.Contains(err.Error(), "version 2 (two)") {
		t.Fatalf("error %v, want one that names the migration", err)
	}
	if _, ok := schema(t, file)["b"]; ok {
		t.Error("half of the migration was kept")
	}
	for range 2 { // the second time there is nothing to do
		if err := migrated(t, file, []migration{one, good}); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := schema(t, file)["b"]; !ok {
		t.Error("the corrected migration did not run")
	}
}

func TestMigrationFilesAreNumbered(t *testing.T) {
	for why, fsys := range map[string]fstest.MapFS{
		"a gap":           {"m/0001_a.sql": {}, "m/0003_b.sql": {}},
		"the same number": {"m/0001_a.sql": {}, "m/0001_b.sql": {}},
		"no number":       {"m/a.sql": {}},
		"no name":         {"m/0001.sql": {}},
	} {
		if _, err := loadMigrations(fsys, "m"); err == nil {
			t.Errorf("%s: accepted", why)
		}
	}
}

// TestNewerDatabase is what an operator sees after a downgrade.
func TestNewerDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.db")
	list := realMigrations(t)
	next := migration{version: len(list) + 1, name: "future", sql: "CREATE TABLE future (x)"}
	if err := migrated(t, file, append(list, next)); err != nil {
		t.Fatal(err)
	}
	_, err := OpenSQLite(context.Background(), SQLiteConfig{Path: file})
	want := fmt.Sprintf("schema version %d; this program knows versions up to %d", len(list)+1, len(list))
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}
