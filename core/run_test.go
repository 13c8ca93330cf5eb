package core_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

// shift is a clock that a test moves.
type shift struct{ by atomic.Int64 }

func (s *shift) now() time.Time { return time.Now().Add(time.Duration(s.by.Load())) }

// TestRetries is the rule of that name.
func TestRetries(t *testing.T) {
	t.Run("unavailable is tried again, other errors end it", func(t *testing.T) {
		r := newRig(t)
		no := fails(core.CodeUnavailable, "not now")
		r.backend.on(core.VerbProvision, no, no, no)
		r.must("created", put("i", false))
		r.wantVerbs("provision", "provision", "provision", "provision")
		_, steps, err := r.b.Timeline(context.Background(), r.latest("i", "").ID)
		if err != nil {
			t.Fatal(err)
		}
		var kinds []core.StepKind
		for _, s := range steps {
			kinds = append(kinds, s.Kind)
		}
		want := []core.StepKind{"accepted", "call", "retry", "call", "retry", "call", "retry", "call", "done"}
		if diff := cmp.Diff(want, kinds); diff != "" {
			t.Errorf("the timeline (-want +got):\n%s", diff)
		}
		r.backend.on(core.VerbUpdate, fails(core.CodeFailed, "no"))
		r.must("failed", patch("i", false))
	})
	t.Run("until the deadline LOI-12", func(t *testing.T) {
		clock := &shift{}
		r := newRig(t, func(r *rig) { r.config.Now = clock.now })
		r.backend.every(core.VerbProvision, func(ctx context.Context, c core.Call, p func(core.Progress)) (core.Result, error) {
			clock.by.Add(int64(25 * time.Minute))
			return fails(core.CodeUnavailable, "the gateway is away")(ctx, c, p)
		})
		_, err := r.b.Provision(context.Background(), func() core.ProvisionRequest {
			q := put("i", false)
			q.Started = time.Time{}
			return q
		}())
		if e := core.AsError(err); e.Code != core.CodeDeadline || !strings.Contains(e.Message, "the gateway is away") {
			t.Errorf("the error is %v", err)
		}
		r.wantVerbs("provision", "provision", "provision")
	})
	t.Run("a call that runs into the deadline is cancelled", func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.service.Plans[0].Timeouts[core.VerbProvision] = 20 * time.Millisecond })
		g := r.backend.hold(core.VerbProvision)
		r.must("deadline_exceeded", put("i", false))
		receive(t, g.entered)
		if inst := r.instance("i"); inst == nil || len(inst.Attempted) != 1 {
			t.Errorf("the attempt is forgotten: %+v", inst)
		}
	})
	t.Run("resumed after its deadline it gets one full call", func(t *testing.T) {
		clock := &shift{}
		r := newRig(t, slow, func(r *rig) { r.config.Now = clock.now })
		g := r.backend.hold(core.VerbProvision)
		op := r.must("accepted", put("i", true))
		receive(t, g.entered)
		r.stop()
		clock.by.Store(int64(10 * time.Hour))
		r.restart()
		r.settles(op, "succeeded")
		r.wantVerbs("provision", "provision")
	})
}

// TestResume: a stop in the middle of everything leaves operations that go on.
func TestResume(t *testing.T) {
	t.Run("with the stored handle", func(t *testing.T) {
		r := newRig(t, slow)
		r.backend.on(core.VerbProvision, pends("absent when checked"))
		g := r.backend.hold(core.VerbProvision)
		op := r.must("accepted", put("i", true))
		queued := r.must("accepted", bind("i", "b", true))
		receive(t, g.entered)
		r.restart()
		r.settles(op, "succeeded")
		r.settles(queued, "succeeded")
		calls := r.backend.seen()
		if string(calls[2].Handle) != "absent when checked" || calls[2].OperationID != op {
			t.Errorf("the resumed call: %+v", calls[2])
		}
		if op := r.row(op); op.Failures != 0 {
			t.Errorf("the stop counts as %d failures", op.Failures)
		}
		r.wantVerbs("provision", "provision", "provision", "bind")
	})
	t.Run("a synchronous caller is told that the work goes on", func(t *testing.T) {
		r := newRig(t)
		g := r.backend.hold(core.VerbProvision)
		ch := r.background(put("i", false))
		receive(t, g.entered)
		r.stop()
		r.wants(ch, "still_running")
		r.must("overloaded", put("n", false)) // closed: without effect
		r.restart()
		r.until("it is resumed", func() bool { return r.unfinished() == 0 })
		r.must("unchanged", put("i", false))
	})
	t.Run("a superseded operation and its successor", func(t *testing.T) {
		r := newRig(t, slow)
		entered, release := make(chan struct{}), make(chan struct{})
		r.backend.on(core.VerbProvision, func(context.Context, core.Call, func(core.Progress)) (core.Result, error) {
			close(entered)
			<-release
			return core.Result{}, errors.New("cut")
		})
		op := r.must("accepted", put("i", true))
		receive(t, entered)
		gone := r.must("accepted", del("i", true))
		closed := make(chan struct{})
		go func() { defer close(closed); r.stop() }()
		close(release)
		receive(t, closed)
		r.restart()
		r.settles(gone, "succeeded")
		r.settles(op, "failed")
	})
}

// TestSecretsStayOut: no secret in logs, audit records, timelines and operators' lists.
func TestSecretsStayOut(t *testing.T) {
	var log syncBuffer
	r := newRig(t, func(r *rig) {
		r.config.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	q := put("i", false)
	q.Parameters = []byte(`{"password":"hunter2","size":"x"}`)
	q.Identity = []byte(`{"platform":"kubernetes","username":"alice"}`)
	r.must("created", q)
	bq := bind("i", "b", false)
	bq.Parameters = []byte(`{"pin":"hunter2"}`)
	r.must("created", bq)
	r.backend.on(core.VerbUpdate, fails(core.CodeFailed, "no"))
	r.must("failed", patch("i", false))
	calls := r.backend.seen()
	secrets := append([]string{"hunter2"}, calls[0].Secrets...)
	if len(calls[0].Secrets) != 2 {
		t.Errorf("the host is told to mask %q", calls[0].Secrets)
	}
	if diff := cmp.Diff(calls[0].Secrets, calls[1].Secrets); diff != "" { // the pin is the same word
		t.Errorf("a bind gets the instance's inputs, so their secrets are masked, too (-want +got):\n%s", diff)
	}
	inst, bindings, err := r.b.InstanceDetail(context.Background(), "i")
	if err != nil {
		t.Fatal(err)
	}
	if inst.Applied.Inputs != nil || string(inst.Parameters) != `{"size":"x"}` || len(inst.Attempted) != 1 || inst.Attempted[0].Inputs != nil ||
		bindings[0].Result != nil || string(bindings[0].Parameters) != `{}` || bindings[0].Applied.Outputs != nil {
		t.Errorf("operators see %+v %+v", inst, bindings[0])
	}
	ops, err := r.b.Operations(context.Background(), core.OperationFilter{})
	if err != nil || len(ops) != 3 {
		t.Fatal(len(ops), err)
	}
	for _, op := range ops {
		if op.Seed != nil || op.Wanted.Inputs != nil || op.Wanted.Parameters != nil || op.Wanted.PlanID == "" {
			t.Errorf("operators see %+v", op)
		}
	}
	for _, s := range secrets {
		if strings.Contains(log.String(), s) {
			t.Errorf("the log has the secret %q", s)
		}
	}
	r.must("done", unbind("i", "b", false))
	calls = r.backend.seen()
	if last := calls[len(calls)-1]; !slices.Contains(last.Secrets, "key-2") || !slices.Contains(last.Secrets, "hunter2") {
		t.Errorf("an unbind gets the binding's outputs, but %q are masked", last.Secrets)
	}
	for _, want := range []string{`"result":"created"`, `"result":"failed"`, `"user":"tester"`, `alice`, `"event":"finished"`, `"request_id":"request"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the audit lacks %s", want)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestTombstones are kept as long as configured, and living instances keep their history.
func TestTombstones(t *testing.T) {
	clock := &shift{}
	r := newRig(t, func(r *rig) { r.config.Now = clock.now; r.config.KeepTombstones = time.Hour })
	r.must("created", put("living", false))
	r.must("created", put("i", false))
	r.must("done", del("i", false))
	r.b.Sweep()
	if r.poll("i", "", "").State != "succeeded" {
		t.Error("C-3: the tombstone is gone too early")
	}
	clock.by.Store(int64(2 * time.Hour))
	r.b.Sweep()
	if _, err := r.b.Poll(context.Background(), core.PollRequest{InstanceID: "i"}); core.CodeOf(err) != core.CodeNotFound {
		t.Errorf("the tombstone is kept: %v", err)
	}
	if r.poll("living", "", "").State != "succeeded" {
		t.Error("the history of a living instance is gone")
	}
}
