package main

import (
	"context"
	"errors"
	"time"
)

// cycle measures complete cycles as fast as they go, between two measurements of
// bare journal commits, since the disk has its moods.
func (s settings) cycle(ctx context.Context, r *report) (err error) {
	t, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	before, err := bareCommits(ctx, t.dir, s.workers, s.bareTime())
	if err != nil {
		return err
	}
	res, err := s.loopOf(t, s.rate, demoPlan.cycle).run(ctx)
	if err != nil {
		return err
	}
	after, err := bareCommits(ctx, t.dir, s.workers, s.bareTime())
	if err != nil {
		return err
	}
	bare := (before + after) / 2
	r.Loops["cycle"] = res
	r.Values["bare journal commits, in cycles' worth per second"] = bare
	if s.rate == 0 {
		r.least("cycles per second / bare journal commits' worth", res.PerSec/bare, 0.5)
		r.least("cycles per second", res.PerSec, 2000)
	}
	return nil
}

// bareTime is how long each of the two measurements of bare commits takes.
func (s settings) bareTime() time.Duration { return max(s.duration/3, 100*time.Millisecond) }

func (s settings) loopOf(t *target, rate float64, turn func(context.Context, *session) error) loop {
	l := loop{workers: s.workers, warmup: s.warmup, duration: s.duration, rate: rate, turn: turn, connect: t.connect}
	if t.broker != nil {
		l.meter = t.meter
	}
	return l
}
