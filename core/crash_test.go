package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// crash ends a broker at one fault point, as kill -9 would: from there on nothing is
// written, and no plugin call begins. A call in flight is cut, its effects stay.
type crash struct {
	core.Store
	core.Backends
	point core.FaultPoint
	nth   int

	mu   sync.Mutex
	seen int
	dead chan struct{}
}

var errCrashed = errors.New("the broker is dead")

func (c *crash) fault(p core.FaultPoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p != c.point || c.seen == c.nth {
		return
	}
	if c.seen++; c.seen == c.nth {
		close(c.dead)
	}
}

func (c *crash) crashed() bool {
	select {
	case <-c.dead:
		return true
	default:
		return false
	}
}

func (c *crash) View(ctx context.Context, fn func(core.Tx) error) error {
	if c.crashed() {
		return errCrashed
	}
	return c.Store.View(ctx, fn)
}

func (c *crash) Update(ctx context.Context, fn func(core.Tx) error) error {
	if c.crashed() {
		return errCrashed
	}
	return c.Store.Update(ctx, func(tx core.Tx) error {
		err := fn(tx)
		if c.crashed() {
			return errCrashed
		}
		return err
	})
}

func (c *crash) Call(ctx context.Context, call core.Call, progress func(core.Progress)) (core.Result, error) {
	if c.crashed() {
		return core.Result{}, errCrashed
	}
	return c.Backends.Call(ctx, call, progress)
}

// crashing replaces the rig's broker by one that crashes; the store stays open.
func (r *rig) crashing(point core.FaultPoint, nth int) *crash {
	r.t.Helper()
	c := &crash{Store: r.store, Backends: r.backend, point: point, nth: nth, dead: make(chan struct{})}
	r.stop()
	config := r.config
	config.Store, config.Backends, config.Fault = c, c, c.fault
	config.SyncBudget = 200 * time.Millisecond // a dead broker answers nobody
	var err error
	if r.b, err = core.New(config); err != nil {
		r.t.Fatal(err)
	}
	if err := r.b.Start(context.Background()); err != nil && !c.crashed() {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) stop() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.b.Close(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// job is one lifecycle call of the crash tests: what is there before, the request, and what a
// platform that repeats it until it is answered must find afterwards.
type job struct {
	name    string
	prepare func(r *rig)
	request func(async bool) any
	// end are the answers that end the platform's repetition.
	end   []string
	check func(r *rig)
}

// steps makes a verb take four calls: progress and pending, unavailable, pending, done.
func steps(r *rig, verb core.Verb) {
	talks := func(ctx context.Context, call core.Call, progress func(core.Progress)) (core.Result, error) {
		progress(core.Progress{Text: "half way", Percent: 50})
		return pends("one")(ctx, call, progress)
	}
	r.backend.on(verb, talks, fails(core.CodeUnavailable, "not now"), pends("two"))
}

func jobs() []job {
	one := func(r *rig) {
		instances, _ := r.backend.exists()
		if diff := cmp.Diff(map[string]bool{"i": true}, instances); diff != "" || r.backend.made["i"] != 1 {
			r.t.Errorf("instances, made %d times (-want +got):\n%s", r.backend.made["i"], diff)
		}
	}
	none := func(r *rig) {
		instances, keys := r.backend.exists()
		if len(instances)+len(keys) > 0 || r.instance("i") != nil {
			r.t.Errorf("left behind: %v %v %+v", instances, keys, r.instance("i"))
		}
	}
	adopted := func(r *rig) {
		instances, _ := r.backend.exists()
		if inst := r.instance("i"); !instances["i"] || r.backend.made["i"] != 0 || inst == nil || !inst.Ready {
			r.t.Errorf("there are %v, made %d times; the row is %+v", instances, r.backend.made["i"], inst)
		}
		r.onlyVerbs("adopt")
	}
	provisioned := func(r *rig) { r.must("created", put("i", false)) }
	bound := func(r *rig) { provisioned(r); r.must("created", bind("i", "b", false)) }
	return []job{
		{"provision", func(r *rig) { steps(r, core.VerbProvision) },
			func(a bool) any { return put("i", a) }, []string{"created", "unchanged"}, one},
		{"provision that is undone", func(r *rig) {
			r.backend.every(core.VerbProvision, func(ctx context.Context, call core.Call, p func(core.Progress)) (core.Result, error) {
				if _, err := r.backend.done(ctx, call, p); err != nil {
					return core.Result{}, err
				}
				return fails(core.CodeInvalid, "no")(ctx, call, p)
			})
		}, func(a bool) any { return put("i", a) }, []string{"invalid_input"}, none},
		{"adopt", func(r *rig) { steps(r, core.VerbAdopt) },
			func(a bool) any { return adopt("i", a) }, []string{"created", "unchanged"}, adopted},
		{"adopt that is refused", func(r *rig) { r.backend.every(core.VerbAdopt, fails(core.CodeConflict, "another's")) },
			func(a bool) any { return adopt("i", a) }, []string{"conflict"}, func(r *rig) {
				none(r)
				r.onlyVerbs("adopt")
			}},
		{"update", func(r *rig) { provisioned(r); steps(r, core.VerbUpdate) },
			func(a bool) any { return patch("i", a) }, []string{"done", "unchanged"}, func(r *rig) {
				one(r)
				if p := string(r.instance("i").Parameters); p != `{"size":"big"}` {
					r.t.Errorf("the parameters are %s", p)
				}
			}},
		{"bind", func(r *rig) { provisioned(r); steps(r, core.VerbBind) },
			func(a bool) any { return bind("i", "b", a) }, []string{"created", "unchanged"}, func(r *rig) {
				one(r)
				_, keys := r.backend.exists()
				view, err := r.b.Binding(context.Background(), "i", "b")
				if err != nil {
					r.t.Fatal(err)
				}
				var credentials struct{ Key string }
				if err := json.Unmarshal(view.Result.Credentials, &credentials); err != nil {
					r.t.Fatal(err)
				}
				if diff := cmp.Diff(map[string]string{"b": credentials.Key}, keys); diff != "" {
					r.t.Errorf("the live key is not the one of the credentials (-want +got):\n%s", diff)
				}
			}},
		{"unbind", func(r *rig) { bound(r); steps(r, core.VerbUnbind) },
			func(a bool) any { return unbind("i", "b", a) }, []string{"done", "gone"}, func(r *rig) {
				one(r)
				if _, keys := r.backend.exists(); len(keys) > 0 || r.binding("i", "b") != nil {
					r.t.Errorf("left behind: %v", keys)
				}
			}},
		{"deprovision with a binding left", func(r *rig) { bound(r); steps(r, core.VerbDeprovision); steps(r, core.VerbUnbind) },
			func(a bool) any { return del("i", a) }, []string{"done", "gone"}, none},
	}
}

// TestUndoneLeavesNoRow: what failed by the user's fault, before anybody was told
// that it goes on, is gone with the transaction that finished it.
func TestUndoneLeavesNoRow(t *testing.T) {
	r := newRig(t)
	r.backend.on(core.VerbProvision, fails(core.CodeConflict, "taken"))
	c := r.crashing(core.FaultBeforeReport, 1)
	r.do(put("i", false))
	if !c.crashed() {
		t.Fatal("the failure was not about to be told")
	}
	if r.instance("i") != nil {
		t.Error("the row is left")
	}
}

// TestCrash ends the broker at every fault point of every verb and starts another
// one over the same store. The platform repeats its request until it is answered.
// Exactly one instance, and exactly the keys of the completed bind, exist at the end.
func TestCrash(t *testing.T) {
	for _, j := range jobs() {
		for _, async := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/async=%v", j.name, async), func(t *testing.T) {
				t.Parallel()
				crashEverywhere(t, j, async)
			})
		}
	}
}

// crashEverywhere crashes at each point's first, second, … time, until it is not reached.
func crashEverywhere(t *testing.T, j job, async bool) {
	points := core.FaultPoints
	if !async { // where a caller who waits makes a difference
		points = []core.FaultPoint{core.FaultBeforeAccept, core.FaultAfterAccept, core.FaultBeforeSettle,
			core.FaultAfterSettle, core.FaultBeforeDetach, core.FaultAfterDetach, core.FaultBeforeReport, core.FaultAfterReport}
	}
	for _, point := range points {
		for nth := 1; ; nth++ {
			reached := false
			t.Run(fmt.Sprintf("%s/%d", point, nth), func(t *testing.T) { reached = crashOnce(t, j, async, point, nth) })
			if !reached {
				break
			}
		}
	}
}

// crashOnce gives false if the point was never reached for the nth time.
func crashOnce(t *testing.T, j job, async bool, point core.FaultPoint, nth int) bool {
	r := newRig(t, slow)
	j.prepare(r)
	c := r.crashing(point, nth)
	ended := r.background(j.request(async))
	answer := receive(t, ended)
	if !c.crashed() && answer.word == "accepted" || answer.word == "still_running" {
		r.finishedOrDead(c)
		r.do(j.request(async)) // the platform asks again, or tells a failure
	}
	crashed := c.crashed()
	r.stop()
	r.startBroker()
	r.repeat(j)
	j.check(r)
	return crashed
}

// finishedOrDead waits until no operation is unfinished, or the broker is dead.
func (r *rig) finishedOrDead(c *crash) {
	r.t.Helper()
	r.until("the work ends", func() bool { return c.crashed() || r.unfinished() == 0 })
}

func (r *rig) unfinished() (n int) {
	r.t.Helper()
	err := r.store.View(context.Background(), func(tx core.Tx) error {
		list, err := tx.Unfinished("")
		n = len(list)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// repeat is a platform that sends its request until it gets one of the final answers.
func (r *rig) repeat(j job) {
	r.t.Helper()
	r.until("the resumed work ends", func() bool { return r.unfinished() == 0 })
	var answer string
	r.until("an answer that ends it", func() bool {
		answer, _ = r.do(j.request(false))
		for _, end := range j.end {
			if answer == end {
				return true
			}
		}
		return false
	})
}
