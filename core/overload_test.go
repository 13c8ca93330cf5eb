package core_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// TestOverload is the rule of that name: refused without effect.
func TestOverload(t *testing.T) {
	t.Run("too many unfinished operations ORP-01", func(t *testing.T) {
		r := newRig(t, slow, func(r *rig) { r.config.MaxUnfinished = 1 })
		g := r.backend.hold(core.VerbProvision)
		op := r.must("accepted", put("i", true))
		_, err := r.b.Provision(context.Background(), put("n", true))
		if e := core.AsError(err); e.Code != core.CodeOverloaded || e.RetryAfter <= 0 || r.instance("n") != nil {
			t.Errorf("%+v", e)
		}
		close(g.release)
		r.settles(op, "succeeded")
		r.until("its place is free", func() bool { // a moment after the journal says so
			answer, _ := r.do(put("n", false))
			return answer == "created"
		})
	})
	t.Run("the store fails: 429 if nothing was written, 500 if nobody knows ORP-01", func(t *testing.T) {
		for _, unknown := range []bool{false, true} {
			r := newRig(t)
			r.stop()
			broken := &brokenStore{Store: r.store, views: unknown}
			config := r.config
			config.Store = broken
			b, err := core.New(config)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
			r.b = b
			broken.on.Store(true)
			want := map[bool]string{false: "overloaded", true: "unavailable"}[unknown]
			r.must(want, put("i", false))
			broken.on.Store(false)
			r.must("created", put("i", false))
		}
	})
}

// brokenStore fails to write, and with views to read, while it is on.
type brokenStore struct {
	core.Store
	on    atomic.Bool
	views bool
}

func (s *brokenStore) Update(ctx context.Context, fn func(core.Tx) error) error {
	if s.on.Load() {
		return errors.New("disk full")
	}
	return s.Store.Update(ctx, fn)
}

func (s *brokenStore) View(ctx context.Context, fn func(core.Tx) error) error {
	if s.on.Load() && s.views {
		return errors.New("disk gone")
	}
	return s.Store.View(ctx, fn)
}

// TestUnique: x-unique inputs are reserved from the journal row on.
func TestUnique(t *testing.T) {
	named := func(id, bucket string) core.ProvisionRequest {
		q := put(id, false)
		q.Parameters = []byte(`{"bucket":"` + bucket + `"}`)
		return q
	}
	r := newRig(t)
	r.must("created", named("i", "photos"))
	_, err := r.b.Provision(context.Background(), named("j", "photos"))
	if e := core.AsError(err); e.Code != core.CodeConflict || !e.Backend || !strings.Contains(e.Message, "photos") {
		t.Errorf("the error is %+v", e)
	}
	if len(r.backend.seen()) != 1 || r.instance("j") != nil {
		t.Error("the plugin was called, or a row is left")
	}
	q := patch("i", false)
	q.Parameters = []byte(`{"bucket":"pictures"}`)
	r.backend.on(core.VerbUpdate, fails(core.CodeConflict, "taken at the backend"))
	r.must("conflict", q)
	r.must("created", named("p", "pictures")) // undone: free again
	r.must("conflict", q)                     // and now reserved by another
	q.Parameters = []byte(`{"bucket":"films"}`)
	r.must("done", q)
	r.must("created", named("j", "photos")) // the old name is free
	r.must("done", del("i", false))
	r.must("created", named("k", "films"))
}
