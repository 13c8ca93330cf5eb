package store_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// ledger is what writers were told about each id.
type ledger struct {
	mu                       sync.Mutex
	changed                  *sync.Cond
	stored, refused, unknown map[string]bool
}

func newLedger() *ledger {
	l := &ledger{stored: map[string]bool{}, refused: map[string]bool{}, unknown: map[string]bool{}}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *ledger) note(t *testing.T, id string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.stored[id] = true
	case core.CodeOf(err) == core.CodeOverloaded && core.AsError(err).RetryAfter > 0:
		l.refused[id] = true
	case core.CodeOf(err) == core.CodeUnavailable:
		l.unknown[id] = true
	default:
		t.Errorf("%s: %v is neither a refusal nor an unknown outcome", id, err)
	}
	l.changed.Broadcast()
}

// await waits until n more ids are in the set.
func (l *ledger) await(set map[string]bool, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for want := len(set) + n; len(set) < want; {
		l.changed.Wait()
	}
}

// TestServerKilledUnderLoad kills the server with all its processes again and again
// while two replicas write, and compares what is stored with what was told.
func TestServerKilledUnderLoad(t *testing.T) {
	const writers, kills = 6, 4
	server, err := postgres.Start("", "fsync=off") // the operating system lives on
	skipWithoutPostgres(t, err)
	defer server.Stop()
	stores := [2]*store.Postgres{}
	for i := range stores {
		stores[i] = openPostgres(t, store.PostgresConfig{DSN: server.DSN(), Wait: time.Second})
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	book := newLedger()
	var running sync.WaitGroup
	for w := range writers {
		running.Go(func() { write(ctx, t, stores[w%2], w, book) })
	}
	missed := make(chan struct{}, 100)
	running.Go(func() {
		stores[0].Listen(ctx, func(h core.Hint) {
			if h.Kind == core.HintMissed {
				missed <- struct{}{}
			}
		})
	})
	for range kills {
		book.await(book.stored, 60)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		book.await(book.refused, 12)
		if err := stores[0].Ping(ctx); core.CodeOf(err) != core.CodeOverloaded {
			t.Errorf("Ping while the server is down: %v", err)
		}
		if err := server.Restart(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-missed:
		case <-time.After(time.Minute):
			t.Fatal("the listener was not told that it missed hints")
		}
	}
	book.await(book.stored, 60)
	stop()
	running.Wait()
	compare(t, stores[1], book, writers)
	t.Logf("%d kills: %d stored, %d refused, %d unknown", kills, len(book.stored), len(book.refused), len(book.unknown))
}

// write stores one instance after the other and counts them in a document.
func write(ctx context.Context, t *testing.T, s core.Store, writer int, book *ledger) {
	counter := fmt.Sprint("n", writer)
	for i := 0; ctx.Err() == nil; i++ {
		id := fmt.Sprintf("w%d-%d", writer, i)
		err := s.Update(context.Background(), func(tx core.Tx) error {
			if err := tx.PutInstance(&core.Instance{ID: id, ServiceID: "s", PlanID: counter}); err != nil {
				return err
			}
			n, err := count(tx, counter)
			if err != nil {
				return err
			}
			return tx.Put(counter, []byte(strconv.Itoa(n+1)))
		})
		book.note(t, id, err)
	}
}

func count(tx core.Tx, counter string) (int, error) {
	b, err := tx.Get(counter)
	if errors.Is(err, core.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(b))
}

// compare checks that what was told is what is stored, each once.
func compare(t *testing.T, s core.Store, book *ledger, writers int) {
	t.Helper()
	found, counted := map[string]bool{}, 0
	var uses []core.PlanUse
	var counts core.Counts
	err := s.View(context.Background(), func(tx core.Tx) (err error) {
		for after := ""; ; {
			page, err := tx.Instances(core.InstanceFilter{After: after, Limit: 1000})
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			for _, in := range page {
				found[in.ID] = true
				after = in.ID
			}
		}
		for w := range writers {
			n, err := count(tx, fmt.Sprint("n", w))
			if err != nil {
				return err
			}
			counted += n
		}
		if uses, err = tx.PlansInUse(); err != nil {
			return err
		}
		counts, err = tx.Counts()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for id := range found {
		if book.unknown[id] {
			want[id] = true // either is right
		}
		if book.refused[id] {
			t.Errorf("%s was refused, but is stored", id)
		}
	}
	for id := range book.stored {
		want[id] = true
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("stored (-told +found):\n%s", diff)
	}
	used := 0
	for _, u := range uses {
		used += u.Instances
	}
	if counted != len(found) || used != len(found) || int(counts.Instances) != len(found) {
		t.Errorf("%d instances, %d counted beside them, %d in plans, %d in all", len(found), counted, used, counts.Instances)
	}
}
