package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

func TestPathsAndModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "a?b #c%41")
	s := open(t, dir)
	if err := s.Update(t.Context(), func(tx core.Tx) error { return tx.Put("k", nil) }); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"": 0o700 | fs.ModeDir, "chandler.db": 0o600, "chandler.db-wal": 0o600, "chandler.db-shm": 0o600, "chandler.db.lock": 0o600,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%q has mode %v, want %v", name, info.Mode(), want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "chandler.db")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("a database that others could read has mode %v (%v), want 0600", info.Mode(), err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	link := filepath.Join(t.TempDir(), "link.db") // the same file by another name
	if err := os.Symlink(filepath.Join(dir, "chandler.db"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "chandler.db"), link} {
		_, err := store.OpenSQLite(t.Context(), store.SQLiteConfig{Path: path})
		var e *core.Error
		if !errors.As(err, &e) || e.Hint == "" || !strings.Contains(e.Message, filepath.Join(dir, "chandler.db.lock")) ||
			!strings.Contains(e.Message, fmt.Sprintf("pid %d", os.Getpid())) {
			t.Errorf("a second open of %s: %v, want an error that names the lock file and the holder", path, err)
		}
	}
	if err := s.Update(t.Context(), func(tx core.Tx) error { return tx.Put("k", nil) }); err != nil {
		t.Errorf("the holder, after that: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir) // the lock is free
}

func TestRefusesWhatIsNotAStore(t *testing.T) {
	for _, tc := range []struct {
		name, why string
		make      func(t *testing.T, path string)
	}{
		{"text", "a mistyped path must not destroy a file", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("precious text\n", 1000)), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"sqlite", "nor write into the database of another program", func(t *testing.T, path string) {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("CREATE TABLE precious (x); INSERT INTO precious VALUES (1)"); err != nil {
				t.Fatal(err)
			}
		}},
		{"application", "an empty one that another program has claimed", func(t *testing.T, path string) {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("PRAGMA application_id = 7"); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			tc.make(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = store.OpenSQLite(t.Context(), store.SQLiteConfig{Path: path})
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: error %v, want one that names the file", tc.why, err)
			}
			after, err := os.ReadFile(path)
			if err != nil || string(before) != string(after) {
				t.Errorf("%s: the file changed (%v)", tc.why, err)
			}
		})
	}
	if _, err := store.OpenSQLite(t.Context(), store.SQLiteConfig{Path: t.TempDir()}); err == nil {
		t.Error("a directory was opened")
	}
	if _, err := store.OpenSQLite(t.Context(), store.SQLiteConfig{}); err == nil {
		t.Error("no path was opened")
	}
}

func TestCancelledView(t *testing.T) {
	s := open(t, t.TempDir(), func(c *store.SQLiteConfig) { c.Readers = 1 })
	ctx, cancel := context.WithCancel(t.Context())
	err := s.View(ctx, func(tx core.Tx) error {
		waiting, stop := context.WithCancel(t.Context())
		stop()
		if err := s.View(waiting, func(core.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("a View that waits for a reader: %v", err)
		}
		cancel()
		_, err := tx.Counts()
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a query after the end of the context: %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("the reader is unusable afterwards: %v", err)
	}
}
