package pluginhost

import (
	"context"
	"errors"
	"time"
)

// await is the state of things while the broker's lease has ended: KeepUntil wakes the supervisor.
func (s *supervisor) await() time.Duration {
	s.closeTried()
	if s.cur == nil { // else it is about to end, which wakes the supervisor, too
		s.setState(StateRestarting, errors.New(lapsedWhy), time.Time{})
	}
	return 0
}

// noteFailed says when a target that failed is tried again beside a good one.
func (s *supervisor) noteFailed(want target, err error) {
	t := s.host.cfg.Timing
	if s.failed != want.id() {
		s.failed, s.failedPause = want.id(), t.BackoffMin
	}
	s.failedPause = min(2*s.failedPause, t.BackoffMax)
	s.failedNext = s.host.cfg.Now().Add(jitter(s.failedPause))
	var e *startError
	if errors.As(err, &e) && e.kind == kindUnconfigured {
		s.failedNext = s.host.cfg.Now().Add(24 * time.Hour) // only a change helps
	}
}

// revive starts a process where none serves: what is wanted, or the last good one.
func (s *supervisor) revive(ctx context.Context, want target) time.Duration {
	now := s.host.cfg.Now()
	choice := want
	problem := runnable(want)
	if problem != nil || s.failed == want.id() {
		if s.good != nil && s.good.id() != want.id() && checkPins(want.cfg, s.good.bin) == nil {
			choice, problem = *s.good, nil
		}
	}
	if problem != nil {
		s.setState(stateOf(want, problem), problem, time.Time{})
		return 0
	}
	next := s.restart.next
	if s.failed == choice.id() && s.failedNext.After(next) {
		next = s.failedNext
	}
	if now.Before(next) {
		return next.Sub(now)
	}
	s.setStarting()
	p, err := s.host.startProcess(ctx, choice, true)
	if err == nil {
		s.restart.started()
		s.serve(p)
		return s.step(ctx)
	}
	if ctx.Err() != nil {
		return 0
	}
	if s.host.lapsed() {
		return s.await()
	}
	s.log.Error("the plugin could not be started", "digest", choice.bin.digest, "error", err)
	return s.notRevived(ctx, choice, err)
}

// setStarting tells callers to wait, but not while the circuit breaker is only probing.
func (s *supervisor) setStarting() {
	s.update(func() {
		if s.state.waiting() {
			s.state, s.since = StateStarting, s.host.cfg.Now()
		}
	})
}

// notRevived notes a failed start and says when the next one is due.
func (s *supervisor) notRevived(ctx context.Context, choice target, err error) time.Duration {
	var e *startError
	if !errors.As(err, &e) {
		e = &startError{kind: kindCrashed, err: err}
	}
	if _, described := s.describe(); e.desc != nil && !described && e.kind != kindRefused && e.kind != kindUnconfigured {
		s.setDescription(*e.desc)
	}
	first := s.failed != choice.id()
	s.noteFailed(choice, err)
	if first && s.good != nil && s.good.id() != choice.id() && checkPins(choice.cfg, s.good.bin) == nil {
		return s.revive(ctx, s.wanted()) // now with the last good one
	}
	state, next := StateRestarting, s.failedNext
	switch e.kind {
	case kindInvalid:
		state = StateInvalid
	case kindUnavailable:
		state = StateUnavailable
	case kindRefused:
		state = StateRefused
	case kindUnconfigured:
		state, next = StateUnconfigured, time.Time{}
	default:
		s.restart.failed(s.host.cfg.Now())
		state, next = s.pauseState(), s.restart.next
		s.failedNext = next
	}
	s.setState(state, err, next)
	if next.IsZero() {
		return 0
	}
	return next.Sub(s.host.cfg.Now())
}
