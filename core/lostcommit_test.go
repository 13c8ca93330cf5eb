package core_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// lossy is a store whose every second commit is done, but its answer is lost.
type lossy struct {
	core.Store
	on    atomic.Bool
	count atomic.Int64
}

func (l *lossy) Update(ctx context.Context, fn func(core.Tx) error) error {
	err := l.Store.Update(ctx, fn)
	if err == nil && l.on.Load() && l.count.Add(1)%2 == 1 {
		return core.Errorf(core.CodeUnavailable, "The outcome is not known.").WithCause(errors.New("the connection was lost during the commit"))
	}
	return err
}

// TestLostCommits: no result of a plugin call is settled twice, no call is left out
// and whoever waits is told, though the answers to commits are lost all the time.
func TestLostCommits(t *testing.T) {
	for _, j := range jobs() {
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			j.prepare(r)
			r.stop()
			l := &lossy{Store: r.store}
			config := r.config
			config.Store = l
			r.withConfig(config)
			l.on.Store(true)
			seen := len(r.backend.seen())
			answer, _ := r.do(j.request(false))
			for answer == "still_running" { // its own journaling was not known
				r.until("the work ends", func() bool { return r.unfinished() == 0 })
				answer, _ = r.do(j.request(false))
			}
			r.until("the work ends", func() bool { return r.unfinished() == 0 })
			lost := r.backend.verbs()[seen:]
			l.on.Store(false)
			r.repeat(j)
			j.check(r)

			calm := newRig(t) // the same without any loss
			j.prepare(calm)
			seen = len(calm.backend.seen())
			calm.do(j.request(false))
			if want := calm.backend.verbs()[seen:]; len(want) == 0 || len(lost) < len(want) {
				t.Errorf("called %v, want %v", lost, want)
			}
		})
	}
}

// withConfig replaces the rig's broker.
func (r *rig) withConfig(config core.Config) {
	r.t.Helper()
	var err error
	if r.b, err = core.New(config); err != nil {
		r.t.Fatal(err)
	}
	if err := r.b.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}
