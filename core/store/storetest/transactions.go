package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// writes is every writing method of core.Tx, with arguments that succeed where
// instance "i" with binding "b" and operation "o" exist.
var writes = map[string]func(core.Tx) error{
	"PutInstance":    func(tx core.Tx) error { return tx.PutInstance(&core.Instance{ID: "new"}) },
	"DeleteInstance": func(tx core.Tx) error { return tx.DeleteInstance("i") },
	"PutBinding":     func(tx core.Tx) error { return tx.PutBinding(&core.Binding{InstanceID: "i", ID: "new"}) },
	"DeleteBinding":  func(tx core.Tx) error { return tx.DeleteBinding("i", "b") },
	"InsertOperation": func(tx core.Tx) error {
		return tx.InsertOperation(operation("new", "new", "", core.OperationPending))
	},
	"UpdateOperation": func(tx core.Tx) error {
		return tx.UpdateOperation(operation("o", "i", "", core.OperationFailed))
	},
	"DeleteOperation":  func(tx core.Tx) error { return tx.DeleteOperation("o") },
	"DeleteTombstones": func(tx core.Tx) error { _, err := tx.DeleteTombstones(time.Now(), 10); return err },
	"AddStep":          func(tx core.Tx) error { return tx.AddStep(&core.Step{Operation: "o"}) },
	"NextFence":        func(tx core.Tx) error { _, err := tx.NextFence("i"); return err },
	"Secret": func(tx core.Tx) error {
		_, err := tx.Secret("i", "", "new", func() (string, error) { return "s", nil })
		return err
	},
	"Reserve":       func(tx core.Tx) error { return tx.Reserve("be", "f", "new", "i") },
	"Release":       func(tx core.Tx) error { return tx.Release("be", "f", "i") },
	"PutDefinition": func(tx core.Tx) error { return tx.PutDefinition(core.Definition{Digest: "new"}) },
	"Put":           func(tx core.Tx) error { return tx.Put("new", nil) },
}

// seed makes the rows that writes speak of.
func seed(tx core.Tx) error {
	return all(tx, putInstance(&core.Instance{ID: "i"}), putBinding("i", "b"),
		insert(operation("o", "i", "", core.OperationPending)))
}

func (c *suite) transactions(t *testing.T) {
	ctx := context.Background()
	t.Run("a View cannot write", func(t *testing.T) {
		s := c.open(t)
		update(t, s, seed)
		for name, write := range writes {
			if err := s.View(ctx, write); err == nil {
				t.Errorf("%s succeeded in a View", name)
			}
			if err := s.Update(ctx, write); err != nil && name != "UpdateOperation" && name != "AddStep" && name != "PutBinding" {
				t.Errorf("%s in an Update: %v", name, err) // the excepted ones may come after the row was deleted
			}
		}
	})
	t.Run("a View sees one state, whatever is committed meanwhile", func(t *testing.T) {
		s := c.open(t)
		update(t, s, func(tx core.Tx) error { return all(tx, put("a", "1"), put("b", "1")) })
		err := s.View(ctx, func(tx core.Tx) error {
			first, err := tx.Get("a")
			if err != nil {
				return err
			}
			update(t, s, func(tx core.Tx) error { return all(tx, put("a", "2"), put("b", "2")) })
			second, err := tx.Get("b")
			same(t, "b after a commit beside the View", string(first), string(second))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "a in the next View", "2", get(t, s, "a"))
	})
	t.Run("fn sees its own writes", func(t *testing.T) {
		s := c.open(t)
		update(t, s, func(tx core.Tx) error {
			if err := seed(tx); err != nil {
				return err
			}
			op, err := tx.LatestOperation("i", "")
			if err != nil {
				return err
			}
			same(t, "operation", "o", op.ID)
			counts, err := tx.Counts()
			if err != nil { // fn may run again
				return err
			}
			same(t, "counts", core.Counts{Instances: 1, Bindings: 1, Unfinished: map[core.Verb]int64{core.VerbProvision: 1}}, counts)
			return nil
		})
	})
	c.withoutEffect(t)
	t.Run("rows belong to the caller", func(t *testing.T) {
		s := c.open(t)
		in := &core.Instance{ID: "i", PlanID: "p", Parameters: []byte(`{"a":1}`), Attempted: []core.Attempt{{Handle: []byte("h")}}}
		update(t, s, putInstance(in))
		in.PlanID, in.Parameters[0], in.Attempted[0].Handle[0] = "changed", 'X', 'X'
		got := read(t, s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance("i") })
		got.PlanID, got.Parameters[0], got.Attempted[0].Handle[0] = "changed", 'X', 'X'
		again := read(t, s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance("i") })
		same(t, "instance", &core.Instance{ID: "i", PlanID: "p", Parameters: []byte(`{"a":1}`),
			Attempted: []core.Attempt{{Handle: []byte("h")}}}, again)
	})
	t.Run("a context that has ended", func(t *testing.T) {
		s := c.open(t)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		fail := func(core.Tx) error { t.Error("fn ran"); return nil }
		wantErr(t, "Update", s.Update(ended, fail), context.Canceled)
		wantErr(t, "View", s.View(ended, fail), context.Canceled)
	})
	t.Run("a context that ends while fn runs changes nothing", func(t *testing.T) {
		s := c.open(t)
		running, cancel := context.WithCancel(ctx)
		err := s.Update(running, func(tx core.Tx) error { cancel(); return tx.Put("a", []byte("1")) })
		if err != nil {
			t.Fatal(err)
		}
		same(t, "a", "1", get(t, s, "a"))
	})
	t.Run("after Close every call fails", func(t *testing.T) {
		s := c.open(t)
		if err := s.Ping(ctx); err != nil {
			t.Fatalf("Ping before Close: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		nothing := func(core.Tx) error { t.Error("fn ran"); return nil }
		for name, err := range map[string]error{"Ping": s.Ping(ctx), "View": s.View(ctx, nothing), "Update": s.Update(ctx, nothing)} {
			if err == nil {
				t.Errorf("%s after Close succeeded", name)
			}
		}
	})
	t.Run("a transaction that is over cannot be used", func(t *testing.T) {
		s := c.open(t)
		var kept core.Tx
		update(t, s, func(tx core.Tx) error { kept = tx; return nil })
		if err := kept.Put("late", nil); err == nil {
			t.Error("Put succeeded after Update had returned")
		}
		wantErr(t, "Get", readErr(s, func(tx core.Tx) ([]byte, error) { return tx.Get("late") }), core.ErrNotFound)
	})
}

// withoutEffect tests the ways in which fn ends other than well.
func (c *suite) withoutEffect(t *testing.T) {
	failure := errors.New("fn failed")
	for _, tc := range []struct {
		name, why string
		end       func()
		err       error
	}{
		{"error", "an answer that refuses must leave nothing behind, and the caller compares the error", func() {}, failure},
		{"panic", "a defect in one request must not break the others", func() { panic("defect") }, nil},
		{"exit", "runtime.Goexit ends the goroutine like t.FailNow does", nil, nil},
	} {
		t.Run("no effect after "+tc.name, func(t *testing.T) {
			s := c.open(t)
			update(t, s, put("a", "before"))
			var err error
			var panicked any
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { panicked = recover() }()
				err = s.Update(context.Background(), func(tx core.Tx) error {
					if err := all(tx, put("a", "after"), seed); err != nil {
						return err
					}
					if tc.end == nil {
						exit()
					}
					tc.end()
					return failure
				})
			}()
			<-done
			if tc.err != nil && err != tc.err {
				t.Errorf("Update gave %v, want exactly fn's error", err)
			}
			if tc.name == "panic" && panicked != "defect" {
				t.Errorf("recovered %v, want fn's panic", panicked)
			}
			same(t, "a", "before", get(t, s, "a"))
			wantErr(t, "Instance", readErr(s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance("i") }), core.ErrNotFound)
			update(t, s, seed) // nothing of it is in the way
		})
	}
}

func put(key, value string) func(core.Tx) error {
	return func(tx core.Tx) error { return tx.Put(key, []byte(value)) }
}

func get(t *testing.T, s core.Store, key string) string {
	t.Helper()
	return string(read(t, s, func(tx core.Tx) ([]byte, error) { return tx.Get(key) }))
}
