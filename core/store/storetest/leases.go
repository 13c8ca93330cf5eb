package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// Peer tells how another replica opens the data of s; without it, replicas share
// the value. What peer gives is closed as what open gives.
func Peer(peer func(t *testing.T, s core.Store) core.Store) Option {
	return func(c *suite) { c.peer = peer }
}

// replicas opens an empty store as n replicas see it. It skips the test if the
// store is for one broker only.
func (c *suite) replicas(t *testing.T, n int) (core.Store, []core.Leases) {
	t.Helper()
	first := c.open(t)
	var list []core.Leases
	for i := range n {
		s := first
		if i > 0 && c.peer != nil {
			s = c.peer(t, first)
		}
		l, ok := s.(core.Leases)
		if !ok {
			t.Skip("this store does not implement core.Leases")
		}
		list = append(list, l)
	}
	return first, list
}

func replica(holder string) core.Replica {
	return core.Replica{Holder: holder, Name: "host/" + holder, Version: "v1", Keys: 3}
}

func renew(t *testing.T, l core.Leases, holder string, ttl time.Duration) {
	t.Helper()
	if err := l.Renew(context.Background(), replica(holder), ttl); err != nil {
		t.Fatalf("Renew %s: %v", holder, err)
	}
}

func claim(t *testing.T, l core.Leases, holder string, limit int) []string {
	t.Helper()
	ids, err := l.Claim(context.Background(), holder, limit)
	if err != nil {
		t.Fatalf("Claim for %s: %v", holder, err)
	}
	return append([]string{}, ids...)
}

// held is an unfinished operation of a holder.
func held(id, instance, binding, holder string, epoch int64) *core.Operation {
	op := operation(id, instance, binding, pending)
	op.Holder, op.Epoch = holder, epoch
	return op
}

// holders gives "holder epoch" by operation.
func holders(t *testing.T, s core.Store) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, op := range read(t, s, func(tx core.Tx) ([]*core.Operation, error) { return tx.Operations(core.OperationFilter{}) }) {
		m[op.ID] = fmt.Sprintf("%s %d", op.Holder, op.Epoch)
	}
	return m
}

func (c *suite) leases(t *testing.T) {
	ctx := context.Background()
	t.Run("a lease lives as long as it is renewed", func(t *testing.T) {
		_, l := c.replicas(t, 2)
		renew(t, l[0], "a", time.Hour)
		renew(t, l[1], "b", time.Hour)
		second := replica("a")
		second.Keys, second.Name, second.Version = 4, "renamed", "v2"
		if err := l[0].Renew(ctx, second, time.Hour); err != nil {
			t.Fatal(err)
		}
		list, err := l[1].Replicas(ctx)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "replicas", []core.Replica{second, replica("b")}, list)
	})
	t.Run("an ended lease is lost for ever", func(t *testing.T) {
		_, l := c.replicas(t, 2)
		renew(t, l[0], "a", time.Hour)
		renew(t, l[0], "a", 0) // ends at once
		renew(t, l[1], "b", time.Hour)
		for range 3 {
			for i := range l { // also if it asks through another connection
				wantErr(t, "Renew", l[i].Renew(ctx, replica("a"), time.Hour), core.ErrLeaseLost)
				_, err := l[i].Claim(ctx, "a", 10)
				wantErr(t, "Claim", err, core.ErrLeaseLost)
			}
		}
		list, err := l[0].Replicas(ctx)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "replicas", []core.Replica{replica("b")}, list)
	})
	t.Run("nobody claims without a lease", func(t *testing.T) {
		s, l := c.replicas(t, 1)
		update(t, s, insert(held("o", "i", "", "", 0)))
		_, err := l[0].Claim(ctx, "stranger", 10)
		wantErr(t, "Claim", err, core.ErrLeaseLost)
		same(t, "holders", map[string]string{"o": " 0"}, holders(t, s))
	})
	t.Run("release frees what is unfinished", func(t *testing.T) {
		s, l := c.replicas(t, 2)
		renew(t, l[0], "a", time.Hour)
		renew(t, l[1], "b", time.Hour)
		done := held("done", "i", "", "a", 7)
		done.State = succeeded
		update(t, s, func(tx core.Tx) error {
			return all(tx, insert(done), insert(held("o", "i", "", "a", 7)), insert(held("p", "j", "x", "b", 1)))
		})
		for range 2 { // again is fine
			if err := l[0].Release(ctx, "a"); err != nil {
				t.Fatal(err)
			}
		}
		same(t, "holders", map[string]string{"done": "a 7", "o": " 7", "p": "b 1"}, holders(t, s))
		wantErr(t, "Renew", l[0].Renew(ctx, replica("a"), time.Hour), core.ErrLeaseLost)
		same(t, "claimed at once", []string{"i"}, claim(t, l[1], "b", 10))
		same(t, "holders", map[string]string{"done": "a 7", "o": "b 8", "p": "b 1"}, holders(t, s))
		if err := l[0].Release(ctx, "never was"); err != nil {
			t.Error(err)
		}
	})
	t.Run("claim", c.claim)
	t.Run("two never claim the same", c.claimRace)
	t.Run("hints", c.hints)
}

func (c *suite) claim(t *testing.T) {
	for _, tc := range []struct {
		why   string
		rows  []*core.Operation
		limit int
		want  []string          // instances
		after map[string]string // holders
	}{
		{"free ones", []*core.Operation{held("1", "i", "", "", 0), held("2", "j", "b", "", 4)}, 10,
			[]string{"i", "j"}, map[string]string{"1": "self 1", "2": "self 5"}},
		{"all operations of an instance together, in whatever state", []*core.Operation{held("1", "i", "", "dead", 3),
			{ID: "2", InstanceID: "i", State: cancelling, Holder: "dead", Epoch: 2}, held("3", "i", "b", "", 0)}, 10,
			[]string{"i"}, map[string]string{"1": "self 4", "2": "self 3", "3": "self 1"}},
		{"whose holder never had a lease", []*core.Operation{held("1", "i", "", "unknown", 1)}, 10,
			[]string{"i"}, map[string]string{"1": "self 2"}},
		{"not those of the living", []*core.Operation{held("1", "i", "", "other", 1), held("2", "j", "", "dead", 1)}, 10,
			[]string{"j"}, map[string]string{"1": "other 1", "2": "self 2"}},
		{"not an instance of which the living hold a part", []*core.Operation{held("1", "i", "", "other", 1), held("2", "i", "b", "", 0)}, 10,
			[]string{}, map[string]string{"1": "other 1", "2": " 0"}},
		{"one's own stay as they are", []*core.Operation{held("1", "i", "", "self", 5), held("2", "i", "b", "", 0), held("3", "j", "", "self", 1)}, 10,
			[]string{"i"}, map[string]string{"1": "self 5", "2": "self 1", "3": "self 1"}},
		{"finished ones are nobody's", []*core.Operation{{ID: "1", InstanceID: "i", State: failed, Holder: "dead"}}, 10,
			[]string{}, map[string]string{"1": "dead 0"}},
		{"no more instances than the limit", []*core.Operation{held("1", "i", "", "", 0), held("2", "i", "b", "", 0), held("3", "j", "", "", 0)}, 1,
			[]string{"i"}, map[string]string{"1": "self 1", "2": "self 1", "3": " 0"}},
		{"nothing", nil, 10, []string{}, map[string]string{}},
	} {
		t.Run(tc.why, func(t *testing.T) {
			s, l := c.replicas(t, 2)
			renew(t, l[0], "self", time.Hour)
			renew(t, l[1], "other", time.Hour)
			renew(t, l[1], "dead", time.Hour)
			renew(t, l[1], "dead", 0)
			update(t, s, func(tx core.Tx) error {
				for _, op := range tc.rows {
					if err := tx.InsertOperation(op); err != nil {
						return err
					}
				}
				return nil
			})
			same(t, "claimed", tc.want, claim(t, l[0], "self", tc.limit))
			same(t, "holders and epochs", tc.after, holders(t, s))
		})
	}
}

func (c *suite) claimRace(t *testing.T) {
	const instances, claimers = 60, 6
	s, l := c.replicas(t, claimers)
	update(t, s, func(tx core.Tx) error {
		for i := range instances {
			if err := tx.InsertOperation(held(fmt.Sprint("o", i), fmt.Sprint("i", i), "", "dead", 1)); err != nil {
				return err
			}
		}
		return nil
	})
	var mu sync.Mutex
	claimed := map[string]string{}
	together(claimers, func(i int) {
		self := fmt.Sprint("h", i)
		if err := l[i].Renew(context.Background(), replica(self), time.Hour); err != nil {
			t.Error(err)
			return
		}
		for {
			ids, err := l[i].Claim(context.Background(), self, 3)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			for _, id := range ids {
				if before := claimed[id]; before != "" {
					t.Errorf("%s was claimed by %s and %s", id, before, self)
				}
				claimed[id] = self
			}
			all := len(claimed) == instances
			mu.Unlock()
			if all || t.Failed() {
				return
			}
		}
	})
	want := map[string]string{}
	for id, self := range claimed {
		want["o"+id[1:]] = self + " 2"
	}
	same(t, "holders", want, holders(t, s))
}

// hints tests what can be promised of them: without a break of the connection they
// arrive, once a listener has been heard of.
func (c *suite) hints(t *testing.T) {
	_, l := c.replicas(t, 2)
	ctx, cancel := context.WithCancel(context.Background())
	heard := make(chan core.Hint, 10000)
	done := make(chan error, 1)
	go func() { done <- l[1].Listen(ctx, func(h core.Hint) { heard <- h }) }()
	await := func(want core.Hint) {
		t.Helper()
		limit := time.After(time.Minute)
		// Listening begins at some time after Listen was called.
		for again := time.NewTicker(10 * time.Millisecond); ; {
			select {
			case h := <-heard:
				if h == want {
					again.Stop()
					return
				}
			case <-again.C:
				l[0].Hint(want)
			case <-limit:
				t.Fatalf("%+v was not heard", want)
			}
		}
	}
	await(core.Hint{Kind: core.HintConsider, ID: "first"})
	many := []core.Hint{{Kind: core.HintInterrupt, ID: "it's \"quoted\" ß \x01"}, {Kind: core.HintFinished, ID: ""}}
	for i := range 300 {
		many = append(many, core.Hint{Kind: core.HintConsider, ID: fmt.Sprint("i", i)})
	}
	many = append(many, core.Hint{Kind: core.HintDocument, ID: "last"})
	l[0].Hint(many...)
	missing := map[core.Hint]bool{}
	for _, h := range many {
		missing[h] = true
	}
	for limit := time.After(time.Minute); len(missing) > 0; {
		select {
		case h := <-heard:
			delete(missing, h)
		case <-limit:
			t.Fatalf("%d hints were not heard: %v", len(missing), cmp.Diff(nil, missing))
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Listen: %v", err)
	}
	l[0].Hint(core.Hint{Kind: core.HintConsider, ID: "nobody listens"})
}
