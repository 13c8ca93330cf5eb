package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// supervisor brings what a backend runs to what it should run. All of it runs on one goroutine.
type supervisor struct {
	*backend
	cur     *process // serves; nil if none
	good    *target  // the last that served; nil if none did
	restart breaker  // for starts while nothing serves

	// A target that does not start while another one serves, or could.
	failed      string // its id; "" if none
	failedPause time.Duration
	failedNext  time.Time
}

// supervise runs until ctx ends, then lets the calls finish until hard ends, too.
func (b *backend) supervise(ctx, hard context.Context) {
	defer close(b.ended)
	s := &supervisor{backend: b, restart: breaker{timing: b.host.cfg.Timing}}
	for {
		var timer <-chan time.Time
		if wait := s.step(ctx); wait > 0 {
			timer = time.After(wait)
		}
		var exited chan struct{}
		if s.cur != nil {
			exited = s.cur.child.exited
		}
		select {
		case <-ctx.Done():
			b.update(func() { b.cur, b.state, b.since, b.next = nil, StateStopped, b.host.cfg.Now(), time.Time{} })
			if s.cur != nil {
				s.cur.drain(hard)
			}
			return
		case <-b.wake:
		case <-exited:
		case <-timer:
		}
	}
}

// step does what can be done now and says after which time there is more to do; 0 means when something changes.
func (s *supervisor) step(ctx context.Context) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	s.noticeEnd()
	want := s.wanted()
	if s.good == nil {
		s.good = s.host.lastGood(s.name, want)
	}
	defer s.noteDigests()
	if s.host.lapsed() {
		return s.await()
	}
	if s.cur == nil {
		defer s.closeTried()
		return s.revive(ctx, want)
	}
	if want.id() == s.cur.want.id() && s.cur.want.bin != nil {
		return s.settle(want)
	}
	return s.replace(ctx, want)
}

func (s *supervisor) closeTried() {
	select {
	case <-s.tried:
	default:
		close(s.tried)
	}
}

// noticeEnd takes the serving process away if it has ended.
func (s *supervisor) noticeEnd() {
	if s.cur == nil {
		return
	}
	select {
	case <-s.cur.child.exited:
	default:
		return
	}
	p := s.cur
	s.cur = nil
	if p.killedWhy() != lapsedWhy && !s.host.lapsed() { // else the guard may have killed it: nobody's fault
		s.restart.failed(s.host.cfg.Now())
	}
	err := p.crashed("%s", p.death())
	p.log.Error("the plugin process ended", "error", err.Error(), "digest", p.want.bin.digest)
	s.update(func() { s.backend.cur = nil; s.restarts++ })
	s.setState(s.pauseState(), err, s.restart.next)
	p.stop()
}

func (s *supervisor) pauseState() State {
	if s.restart.open {
		return StateOpen
	}
	return StateRestarting
}

// settle is the normal case: what serves is what is wanted.
func (s *supervisor) settle(want target) time.Duration {
	s.failed = ""
	s.cur.setLimits(want.cfg.Limits)
	problem := want.problem
	if problem == nil { // pins may have changed; what runs goes on, but is not started again
		problem = checkPins(want.cfg, s.cur.want.bin)
	}
	s.setState(StateRunning, problem, time.Time{})
	if age := s.host.cfg.Now().Sub(s.cur.since); age < s.host.cfg.Timing.Stable {
		return s.host.cfg.Timing.Stable - age
	}
	s.restart.stable()
	return 0
}

// replace starts what is wanted beside what serves. Whatever goes wrong changes nothing.
func (s *supervisor) replace(ctx context.Context, want target) time.Duration {
	now := s.host.cfg.Now()
	if err := runnable(want); err != nil {
		s.setState(StateRunning, err, time.Time{})
		return 0
	}
	if s.failed == want.id() && now.Before(s.failedNext) {
		return s.failedNext.Sub(now)
	}
	trying, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	over := make(chan struct{})
	go func() { // should the serving process end meanwhile, it must be revived first
		defer close(over)
		select {
		case <-s.cur.child.exited:
			stop(errors.New("the process that serves has ended"))
		case <-trying.Done():
		}
	}()
	p, err := s.host.startProcess(trying, want, true)
	stop(nil)
	<-over
	if err != nil {
		s.noteFailed(want, err)
		s.setState(StateRunning, fmt.Errorf("an older process goes on serving, since %w", err), s.failedNext)
		s.log.Error("a new plugin process cannot take over; the old one goes on", "digest", want.bin.digest, "error", err)
		return s.failedNext.Sub(s.host.cfg.Now())
	}
	old := s.cur
	s.serve(p)
	s.host.retire(old)
	return s.settle(want)
}

// serve lets new calls go to p.
func (s *supervisor) serve(p *process) {
	s.cur = p
	good := p.want
	s.good = &good
	s.setDescription(p.desc)
	if known := s.host.goodDigest(s.name); len(p.want.cfg.SHA256) == 0 && known != p.want.bin.digest {
		p.log.Warn("the plugin's binary is new and not pinned; it is trusted on first sight", "digest", p.want.bin.digest, "before", known)
	}
	s.update(func() {
		s.backend.cur, s.state, s.since, s.problem, s.next = p, StateRunning, s.host.cfg.Now(), "", time.Time{}
	})
	p.log.Info("the plugin serves", "version", p.desc.Version, "digest", p.want.bin.digest)
	if err := s.host.saveGood(s.name, p.want.bin.digest); err != nil {
		s.log.Warn("the last good binary could not be noted", "error", err)
	}
	s.host.notify(s.name)
}

// noteDigests says which copies are still needed.
func (s *supervisor) noteDigests() {
	var digests []string
	for _, t := range []*target{s.good, s.curTarget()} {
		if t != nil && t.bin != nil {
			digests = append(digests, t.bin.digest)
		}
	}
	s.update(func() { s.digests = digests })
}

func (s *supervisor) curTarget() *target {
	if s.cur == nil {
		return nil
	}
	return &s.cur.want
}

// runnable says what keeps a target from being started at all.
func runnable(t target) error {
	if t.bin == nil {
		return t.problem
	}
	return checkPins(t.cfg, t.bin)
}

func stateOf(t target, problem error) State {
	if problem != nil && t.bin == nil {
		return StateMissing
	}
	return StateRefused
}
