package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/store/storetest"
)

// open opens the SQLite store of the directory and closes it at the end of the test.
func open(t testing.TB, dir string, change ...func(*store.SQLiteConfig)) *store.SQLite {
	t.Helper()
	config := store.SQLiteConfig{Path: filepath.Join(dir, "chandler.db")}
	for _, c := range change {
		c(&config)
	}
	s, err := store.OpenSQLite(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestSQLiteConformance(t *testing.T) {
	dirs := map[core.Store]string{}
	openIn := func(t *testing.T, dir string) core.Store {
		s := open(t, dir)
		dirs[s] = dir
		return s
	}
	storetest.Run(t, func(t *testing.T) core.Store { return openIn(t, t.TempDir()) },
		storetest.Reopen(func(t *testing.T, s core.Store) core.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return openIn(t, dirs[s])
		}))
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(childVariable); dir != "" {
		fmt.Fprintln(os.Stderr, child(dir)) // it ends only by failing or being killed
		os.Exit(1)
	}
	goleak.VerifyTestMain(database.Around(m))
}
