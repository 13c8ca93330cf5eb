package store

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// opened gives a store in a new directory.
func opened(t testing.TB, change ...func(*SQLiteConfig)) *SQLite {
	t.Helper()
	config := SQLiteConfig{Path: filepath.Join(t.TempDir(), "chandler.db")}
	for _, c := range change {
		c(&config)
	}
	s, err := OpenSQLite(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// batched runs the fns as members of one batch: the writer is held by another
// Update until all of them wait, in this order. It gives their errors.
func batched(t *testing.T, s *SQLite, fns ...func(core.Tx) error) []error {
	t.Helper()
	release := hold(t, s)
	errs := make([]error, len(fns))
	done := make(chan struct{})
	for i, fn := range fns {
		waiting := len(s.writer.queue)
		go func() {
			defer func() { done <- struct{}{} }()
			errs[i] = s.Update(context.Background(), fn)
		}()
		for len(s.writer.queue) == waiting {
			runtime.Gosched()
		}
	}
	release()
	for range fns {
		<-done
	}
	return errs
}

// hold keeps the writer busy with a member that changes nothing, until release is called and that
// member has ended.
func hold(t *testing.T, s *SQLite) (release func()) {
	t.Helper()
	began, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		errHeld := errors.New("nothing to keep") // so that its answer does not depend on the batch
		if err := s.Update(context.Background(), func(core.Tx) error { close(began); <-end; return errHeld }); err != errHeld {
			t.Errorf("the member that holds the writer: %v", err)
		}
	}()
	<-began
	return func() { close(end); <-ended }
}

func has(t *testing.T, s *SQLite, key string) bool {
	t.Helper()
	err := s.View(t.Context(), func(tx core.Tx) error { _, err := tx.Get(key); return err })
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func put(key string) func(core.Tx) error {
	return func(tx core.Tx) error { return tx.Put(key, nil) }
}

func TestAnswersComeAfterTheCommit(t *testing.T) {
	s := opened(t)
	first := make(chan error, 1)
	release := hold(t, s)
	go func() { first <- s.Update(context.Background(), put("first")) }()
	for len(s.writer.queue) < 1 {
		runtime.Gosched()
	}
	second := make(chan error, 1)
	go func() {
		second <- s.Update(context.Background(), func(tx core.Tx) error {
			if _, err := tx.Get("first"); err != nil {
				t.Errorf("the batch has no common transaction: %v", err)
			}
			if has(t, s, "first") {
				t.Error("a View sees what is not committed")
			}
			if len(first) > 0 {
				t.Error("the first member was answered before the commit")
			}
			return tx.Put("second", nil)
		})
	}()
	for len(s.writer.queue) < 2 {
		runtime.Gosched()
	}
	release()
	if err := errors.Join(<-first, <-second); err != nil {
		t.Fatal(err)
	}
	if !has(t, s, "first") || !has(t, s, "second") {
		t.Error("committed writes are missing")
	}
}

func TestMembersOfABatchDoNotHarmEachOther(t *testing.T) {
	refused := errors.New("refused")
	seen := func(keys ...string) func(tx core.Tx) error {
		return func(tx core.Tx) error {
			for _, k := range keys {
				if _, err := tx.Get(k); err != nil {
					return err
				}
			}
			return nil
		}
	}
	fail := func(key string) func(core.Tx) error {
		return func(tx core.Tx) error {
			if err := tx.Put(key, nil); err != nil {
				return err
			}
			return refused
		}
	}
	for _, tc := range []struct {
		why  string
		fns  []func(core.Tx) error
		errs []error
		want map[string]bool
	}{
		{"the first fails and has no savepoint", []func(core.Tx) error{fail("a"), put("b")}, []error{refused, nil}, map[string]bool{"a": false, "b": true}},
		{"one in the middle", []func(core.Tx) error{put("a"), fail("b"), put("c"), seen("a", "c")}, []error{nil, refused, nil, nil}, map[string]bool{"a": true, "b": false, "c": true}},
		{"two in a row", []func(core.Tx) error{put("a"), fail("b"), fail("b"), seen("a", "b")}, []error{nil, refused, refused, core.ErrNotFound}, map[string]bool{"a": true, "b": false}},
		{"nobody writes", []func(core.Tx) error{fail("a"), fail("b")}, []error{refused, refused}, map[string]bool{"a": false, "b": false}},
	} {
		t.Run(tc.why, func(t *testing.T) {
			s := opened(t)
			for i, err := range batched(t, s, tc.fns...) {
				if err != tc.errs[i] {
					t.Errorf("member %d: %v, want %v", i, err, tc.errs[i])
				}
			}
			for key, want := range tc.want {
				if got := has(t, s, key); got != want {
					t.Errorf("%s exists: %v, want %v", key, got, want)
				}
			}
		})
	}
}

// breakCommit leaves a broken foreign key that SQLite looks at only when it commits.
func breakCommit(t core.Tx) error {
	if _, err := t.(*tx).s.exec("PRAGMA defer_foreign_keys = ON"); err != nil {
		return err
	}
	return t.PutBinding(&core.Binding{InstanceID: "no such instance", ID: "b"})
}

func TestFailedCommitFailsAll(t *testing.T) {
	s := opened(t)
	refused := errors.New("refused")
	errs := batched(t, s, put("a"), func(tx core.Tx) error { return refused }, breakCommit, put("b"))
	for i, err := range errs {
		var e *core.Error
		if !errors.As(err, &e) || e.Code != core.CodeUnavailable || !strings.Contains(e.Detail, "commit") {
			t.Errorf("member %d: %v, want that the commit failed", i, err)
		}
	}
	if has(t, s, "a") || has(t, s, "b") {
		t.Error("writes of a failed batch exist")
	}
	if err := s.Ping(t.Context()); core.CodeOf(err) != core.CodeUnavailable {
		t.Errorf("Ping after a failed commit: %v", err)
	}
	if err := s.Update(t.Context(), put("c")); err != nil {
		t.Fatalf("the next batch: %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping after a good commit: %v", err)
	}
}

// TestFullDisk has a member hide a failure after which SQLite may have ended the
// transaction: what is acknowledged must exist, and nothing else.
func TestFullDisk(t *testing.T) {
	fill := func(tx core.Tx) error {
		if err := tx.Put("big", make([]byte, 1<<20)); err == nil {
			t.Error("the disk is not full")
		}
		if err := tx.Put("after", nil); core.CodeOf(err) != core.CodeUnavailable {
			t.Errorf("a write after the failure: %v", err)
		}
		return nil
	}
	for position := range 3 { // the first member has no savepoint
		s := opened(t)
		err := s.Update(t.Context(), func(core.Tx) error {
			var pages int64 // as good as a full disk: SQLite fails in the same place
			return s.writer.session.value(context.Background(), "PRAGMA max_page_count = 80", &pages)
		})
		if err != nil {
			t.Fatal(err)
		}
		keys := []string{"a", "b", "c"}
		fns := []func(core.Tx) error{put("a"), put("b"), put("c")}
		keys[position], fns[position] = "big", fill
		errs := batched(t, s, fns...)
		if core.CodeOf(errs[position]) != core.CodeUnavailable {
			t.Errorf("position %d: the failure was hidden: %v", position, errs[position])
		}
		for i, key := range keys {
			if acknowledged := errs[i] == nil; acknowledged != has(t, s, key) {
				t.Errorf("position %d: %s: answer %v, exists %v", position, key, errs[i], has(t, s, key))
			}
		}
		if err := s.Update(t.Context(), put("small")); err != nil {
			t.Errorf("position %d: a small write after it: %v", position, err)
		}
	}
}

func TestFullQueueIsOverload(t *testing.T) {
	s := opened(t, func(c *SQLiteConfig) { c.Queue = 1 })
	release := hold(t, s)
	waiting := make(chan error, 1)
	go func() { waiting <- s.Update(context.Background(), put("a")) }()
	for len(s.writer.queue) < 1 {
		runtime.Gosched()
	}
	err := s.Update(t.Context(), func(core.Tx) error { t.Error("fn ran"); return nil })
	var e *core.Error
	if !errors.As(err, &e) || e.Code != core.CodeOverloaded || e.RetryAfter <= 0 {
		t.Errorf("Update with a full queue: %v", err)
	}
	release()
	if err := <-waiting; err != nil {
		t.Errorf("the one that waited: %v", err)
	}
}

func TestWaitingCallerGivesUp(t *testing.T) {
	s := opened(t)
	release := hold(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() { answer <- s.Update(ctx, func(core.Tx) error { t.Error("fn ran"); return nil }) }()
	for len(s.writer.queue) < 1 {
		runtime.Gosched()
	}
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) { // while the writer is still held
		t.Errorf("Update: %v", err)
	}
	release()
	if err := s.Update(t.Context(), put("a")); err != nil { // behind the withdrawn one
		t.Error(err)
	}
}

func TestCloseRefusesWhoWaits(t *testing.T) {
	s := opened(t)
	release := hold(t, s)
	answer, closed := make(chan error, 1), make(chan error, 1)
	go func() {
		answer <- s.Update(context.Background(), func(core.Tx) error { t.Error("fn ran"); return nil })
	}()
	for len(s.writer.queue) < 1 {
		runtime.Gosched()
	}
	go func() { closed <- s.Close() }()
	<-s.writer.quit
	release()
	if err := <-answer; core.CodeOf(err) != core.CodeUnavailable {
		t.Errorf("the waiting Update: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestLockOfAnotherProgram(t *testing.T) {
	s := opened(t, func(c *SQLiteConfig) { c.BusyTimeout = time.Millisecond })
	var file string
	if err := s.writer.session.value(t.Context(), "SELECT file FROM pragma_database_list", &file); err != nil {
		t.Fatal(err)
	}
	other, err := openSession(t.Context(), "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.script(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(core.Tx) error { t.Error("fn ran"); return nil })
	if core.CodeOf(err) != core.CodeUnavailable || !strings.Contains(err.Error(), "locked") {
		t.Errorf("Update: %v", err)
	}
	if err := other.script(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), put("a")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
