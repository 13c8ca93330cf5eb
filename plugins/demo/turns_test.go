package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// Turns are one after the other, of two processes that share the directory, too: no
// increment is lost though each rests on what it read, and what is told as written is there.
func TestTurnsExclude(t *testing.T) {
	dir := t.TempDir()
	var both [2]*store
	for i := range both { // two processes: each has the lock file open by itself
		s, err := openStore(dir)
		if err != nil {
			t.Fatal(err)
		}
		s.turns.unsynced = i == 1
		both[i] = s
	}
	const callers, rounds = 8, 10
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range rounds {
				before, err := both[i%2].count("n")
				if err != nil {
					t.Error(err)
				}
				raw, err := os.ReadFile(filepath.Join(dir, "counters.json"))
				var n int
				if _, bad := fmt.Sscanf(string(raw), `{"n":%d}`, &n); err != nil || bad != nil || n < before {
					t.Errorf("%d was told and the file says %s (%v)", before, raw, err)
				}
			}
		})
	}
	wg.Wait()
	if n, err := both[0].count("n"); err != nil || n != callers*rounds+1 {
		t.Errorf("%d after %d increments: %v", n, callers*rounds, err)
	}
}

// Within a batch a turn sees what those before it wrote; what failed is seen by nobody,
// and nobody else fails with it.
func TestTurnsOfABatch(t *testing.T) {
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.dir, "file")
	refused := errors.New("refused")
	started, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // holds the batch open until the others wait for the next one
		if err := s.locked(func(*turn) error { close(started); <-release; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-started
	results := make([]error, 3)
	bodies := []func(*turn) error{
		func(t *turn) error { t.replace(file, []byte("1")); return nil },
		func(t *turn) error { t.replace(file, []byte("lost")); return refused },
		func(t *turn) error {
			raw, err := t.file(file)
			if n, bad := strconv.Atoi(string(raw)); err != nil || bad != nil || n != 1 {
				return fmt.Errorf("a later turn sees %q, %v", raw, err)
			}
			t.remove(file)
			if _, err := t.file(file); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("a removed file gives %v", err)
			}
			t.replace(file, []byte("2"))
			return nil
		},
	}
	for i, f := range bodies {
		wg.Go(func() { results[i] = s.locked(f) })
		for waiting := 0; waiting <= i; { // in this order
			s.turns.mu.Lock()
			waiting = len(s.turns.waiting)
			s.turns.mu.Unlock()
		}
	}
	close(release)
	wg.Wait()
	if results[0] != nil || !errors.Is(results[1], refused) || results[2] != nil {
		t.Errorf("got %v", results)
	}
	if raw, err := os.ReadFile(file); err != nil || string(raw) != "2" {
		t.Errorf("the file holds %q, %v", raw, err)
	}
}

// A panic ends the turn of its own caller, and the directory stays usable.
func TestTurnPanics(t *testing.T) {
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if p := recover(); p != "oh" {
				t.Errorf("the caller's panic is %v", p)
			}
		}()
		_ = s.locked(func(*turn) error { panic("oh") })
	}()
	if n, err := s.count("n"); err != nil || n != 1 {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}
