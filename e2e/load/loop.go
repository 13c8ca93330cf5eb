package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// loop is a closed loop: each worker begins its next turn when its last one is over.
type loop struct {
	workers          int
	warmup, duration time.Duration
	// rate, in turns per second of all workers together, paces the loop; 0 does not. The
	// first request of a turn is measured from the moment at which its turn was
	// due, so that a slow answer is not hidden by the requests that it held up.
	rate float64
	// turn is one turn of a worker; nil-safe to repeat after an error.
	turn func(ctx context.Context, s *session) error
	// connect makes a worker's connection.
	connect func() (*client, error)
	// meter gives the processor time of the processes so far; nil if nobody asks.
	meter func() usage
}

// session is one worker's: its connection and what it measured.
type session struct {
	*client
	window *window
	due    time.Time // of the turn's first request; zero once that was measured
	taken  map[string]latencies
	turns  int
	failed int
	first  error // the first failure
}

// window is the measured part of a run.
type window struct{ from, to time.Time }

func (w *window) holds(t time.Time) bool { return !t.Before(w.from) && t.Before(w.to) }

// measure runs one request and notes how long it took, if it ended in the window.
func (s *session) measure(name string, request func() error) error {
	began := time.Now()
	if !s.due.IsZero() {
		began, s.due = s.due, time.Time{}
	}
	err := request()
	if ended := time.Now(); err == nil && s.window.holds(ended) {
		s.taken[name] = append(s.taken[name], ended.Sub(began))
	}
	return err
}

// result is what a loop measured.
type result struct {
	Workers  int                `json:"workers"`
	Seconds  float64            `json:"seconds"`
	Offered  float64            `json:"offered_per_second,omitempty"`
	Turns    int                `json:"turns"`
	PerSec   float64            `json:"turns_per_second"`
	Failed   int                `json:"failed"`
	Failure  string             `json:"first_failure,omitempty"`
	Requests map[string]summary `json:"requests"`
	// CPU is processor time per turn, in microseconds, by process.
	CPU usage `json:"cpu_us_per_turn,omitempty"`
	// Busy is the share of all processors that these processes used.
	Busy usage `json:"cpu_share,omitempty"`
}

// run runs the loop to its end and gives what it measured. It fails only if ctx ends;
// requests that fail are counted.
func (l loop) run(ctx context.Context) (result, error) {
	began := time.Now()
	w := &window{from: began.Add(l.warmup), to: began.Add(l.warmup + l.duration)}
	sessions := make([]*session, l.workers)
	var tickets atomic.Int64
	var wg sync.WaitGroup
	for i := range sessions {
		c, err := l.connect()
		if err != nil {
			return result{}, err
		}
		s := &session{client: c, window: w, taken: map[string]latencies{}}
		sessions[i] = s
		wg.Go(func() {
			defer s.close()
			l.work(ctx, s, began, &tickets)
		})
	}
	var before, after usage
	if l.meter != nil {
		before = l.meterAt(ctx, w.from)
		after = l.meterAt(ctx, w.to)
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return result{}, context.Cause(ctx)
	}
	return l.gather(sessions, before, after), nil
}

func (l loop) work(ctx context.Context, s *session, began time.Time, tickets *atomic.Int64) {
	for ctx.Err() == nil {
		if l.rate > 0 {
			s.due = began.Add(time.Duration(float64(tickets.Add(1)-1) / l.rate * float64(time.Second)))
			if !sleepUntil(ctx, s.due) {
				return
			}
		}
		if !time.Now().Before(s.window.to) {
			return
		}
		err := l.turn(ctx, s)
		s.due = time.Time{}
		switch {
		case err != nil && ctx.Err() == nil:
			s.failed++
			if s.first == nil {
				s.first = err
			}
		case s.window.holds(time.Now()):
			s.turns++
		}
	}
}

// sleepUntil waits until t; false if ctx ends first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l loop) meterAt(ctx context.Context, t time.Time) usage {
	sleepUntil(ctx, t)
	return l.meter()
}

func (l loop) gather(sessions []*session, before, after usage) result {
	r := result{Workers: l.workers, Seconds: l.duration.Seconds(), Offered: l.rate, Requests: map[string]summary{}}
	all := map[string]latencies{}
	var failures []error
	for _, s := range sessions {
		r.Turns += s.turns
		r.Failed += s.failed
		failures = append(failures, s.first)
		for name, taken := range s.taken {
			all[name] = append(all[name], taken...)
		}
	}
	for name, taken := range all {
		r.Requests[name] = taken.summarise()
	}
	r.PerSec = float64(r.Turns) / l.duration.Seconds()
	if err := errors.Join(failures...); err != nil {
		for _, f := range failures {
			if f != nil {
				r.Failure = f.Error()
				break
			}
		}
	}
	if used := after.minus(before); len(used) > 0 && r.Turns > 0 {
		r.CPU, r.Busy = used.per(float64(r.Turns)), used.share(l.duration)
	}
	return r
}
