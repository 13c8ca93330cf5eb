package core_test

import (
	"context"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// dispatcher gives the state that the store has.
func (r *rig) dispatcher() core.DispatcherState {
	r.t.Helper()
	s, err := r.b.Dispatcher(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) pauses(why string) core.DispatcherState {
	r.t.Helper()
	s, err := r.b.Pause(context.Background(), caller(false), why)
	if err != nil || !s.Paused || s.Why != why || s.By != "tester" {
		r.t.Fatalf("%+v, %v", s, err)
	}
	return s
}

func (r *rig) resumes() {
	r.t.Helper()
	if s, err := r.b.Resume(context.Background(), caller(false)); err != nil || s.Paused {
		r.t.Fatalf("%+v, %v", s, err)
	}
}

// A pause cancels no call and starts none; what was accepted goes on afterwards, also over a restart.
func TestPause(t *testing.T) {
	r := newRig(t, slow)
	r.must("created", put("there", false))
	running := r.backend.hold(core.VerbProvision, pends("later"))
	id := r.must("accepted", put("i", true))
	<-running.entered
	r.pauses("maintenance")

	for _, request := range []any{put("new", true), put("there", false), patch("there", true), bind("there", "b", true), unbind("there", "b", true), del("there", true)} {
		r.must(string(core.CodeOverloaded), request)
	}
	if _, err := r.b.Instance(context.Background(), "there"); err != nil {
		t.Errorf("a fetch: %v", err)
	}
	if v := r.poll("i", "", id); v.State != "in progress" {
		t.Errorf("a poll: %+v", v)
	}
	if q := r.dispatcher().Quiet; len(q) > 0 {
		t.Errorf("quiet (%v) while a call runs", q)
	}
	close(running.release)
	r.until("the broker is quiet", func() bool { return len(r.dispatcher().Quiet) == 1 })
	before := len(r.backend.seen())
	r.restart()
	r.must(string(core.CodeOverloaded), put("new", true))
	r.until("the broker is quiet again", func() bool { return len(r.dispatcher().Quiet) == 1 })
	if now := len(r.backend.seen()); now != before {
		t.Errorf("%d calls in the pause", now-before)
	}
	r.resumes()
	r.settled("i", "", id)
	if r.instance("i") == nil {
		t.Error("the operation of before the pause did not go on")
	}
	r.must("created", put("new", false))
}

// An operator may put a restored store in order before it goes on.
func TestOperatorsVerbsInAPause(t *testing.T) {
	r := newRig(t, slow)
	r.backend.every(core.VerbProvision, fails(core.CodeUnavailable, "away"))
	r.must("accepted", put("i", true))
	r.pauses("restored")
	if _, err := r.b.Purge(context.Background(), caller(false), "i"); err != nil {
		t.Errorf("purge: %v", err)
	}
	r.resumes()
}

// A final export belongs to one pause, and what it was made of does not change any more.
func TestFinalPause(t *testing.T) {
	r := newRig(t, slow)
	r.must("created", put("there", false))
	running := r.backend.hold(core.VerbProvision)
	r.must("accepted", put("i", true))
	<-running.entered

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := r.b.PauseFinal(ctx, caller(false)); core.CodeOf(err) != core.CodeDeadline {
		t.Fatalf("beside a running call: %v", err)
	}
	close(running.release)
	s, err := r.b.PauseFinal(context.Background(), caller(false))
	if err != nil || !s.Final {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := r.b.Purge(context.Background(), caller(false), "there"); core.CodeOf(err) != core.CodeOverloaded {
		t.Errorf("purge in a final pause: %v", err)
	}
	mine := core.FinalExport{ID: "e", Digest: "d"}
	for _, c := range []struct {
		why    string
		export core.FinalExport
	}{
		{"nothing was exported", mine},
	} {
		if err := r.b.Moved(context.Background(), caller(false), c.export); core.CodeOf(err) != core.CodeConflict {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	if err := r.b.Exported(context.Background(), s.Revision, mine); err != nil {
		t.Fatal(err)
	}
	if err := r.b.Moved(context.Background(), caller(false), core.FinalExport{ID: "e", Digest: "cut off"}); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("another file: %v", err)
	}
	r.resumes() // gives it up
	if err := r.b.Moved(context.Background(), caller(false), mine); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("after a resume: %v", err)
	}
	if s, err = r.b.PauseFinal(context.Background(), caller(false)); err != nil {
		t.Fatal(err)
	}
	if err := r.b.Exported(context.Background(), s.Revision-1, mine); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("an export of an earlier pause: %v", err)
	}
	if err := r.b.Exported(context.Background(), s.Revision, mine); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the answer to the first one may be lost
		if err := r.b.Moved(context.Background(), caller(false), mine); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.b.Resume(context.Background(), caller(false)); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("resume of a moved store: %v", err)
	}
	r.must(string(core.CodeOverloaded), put("new", true))
	again, err := core.New(r.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Start(context.Background()); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("start on a moved store: %v", err)
	}
}

// All replicas follow a pause, whichever of them is told; none begins a call in it, also
// without hints, and after it each goes on with what it holds.
func TestPauseOverReplicas(t *testing.T) {
	eachStore(t, func(t *testing.T, open func() shared) {
		f := fleet(t, open, 2)
		a, b := f[0], f[1]
		for _, m := range f {
			m.line.noHints.Store(true)
		}
		a.backend.every(core.VerbProvision, fails(core.CodeUnavailable, "away"))
		ids := []string{a.must("accepted", put("of a", true)), b.must("accepted", put("of b", true))}
		a.pauses("the backend is rebuilt")
		b.must(string(core.CodeOverloaded), put("new", true))
		a.until("both replicas are quiet", func() bool { return len(a.dispatcher().Quiet) == 2 })
		before := len(a.backend.seen())
		a.backend.every(core.VerbProvision, a.backend.done)
		if s, err := b.b.PauseFinal(context.Background(), caller(false)); err != nil || len(s.Quiet) != 2 {
			t.Errorf("a final pause: %+v, %v", s, err)
		}
		if now := len(a.backend.seen()); now != before {
			t.Errorf("%d calls in the pause", now-before)
		}
		b.resumes()
		a.settled("of a", "", ids[0])
		a.settled("of b", "", ids[1])
	})
}
