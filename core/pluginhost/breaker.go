package pluginhost

import (
	"math/rand/v2"
	"time"
)

// breaker decides when the next start of a process may be tried: after a pause that
// doubles with each failure, and, when failures come too often, only after a longer time in
// which calls are refused at once. Not safe for concurrent use; the supervisor owns it.
type breaker struct {
	timing   Timing
	failures []time.Time // within the window
	pause    time.Duration
	next     time.Time // no start before
	open     bool      // until next; then one start is the probe
	probing  bool      // the running process is the probe
	opened   int       // how often it opened since the last stable run
}

// failed notes a failed start or an end of the process that nobody asked for.
func (b *breaker) failed(now time.Time) {
	kept := b.failures[:0]
	for _, t := range b.failures {
		if now.Sub(t) < b.timing.BreakerWindow {
			kept = append(kept, t)
		}
	}
	b.failures = append(kept, now)
	if b.probing || len(b.failures) >= b.timing.BreakerFailures {
		b.open, b.probing = true, false
		wait := b.timing.BreakerOpen << min(b.opened, 3)
		b.opened++
		b.next = now.Add(wait)
		return
	}
	b.pause = min(max(2*b.pause, b.timing.BackoffMin), b.timing.BackoffMax)
	b.next = now.Add(jitter(b.pause))
}

// started notes that a process serves.
func (b *breaker) started() { b.probing, b.open = b.open || b.probing, false }

// stable notes that it served long enough to be trusted again.
func (b *breaker) stable() { *b = breaker{timing: b.timing} }

// jitter gives d, 20 % more or less, so that replicas and backends do not move in step.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()*0.4-0.2)*float64(d))
}
