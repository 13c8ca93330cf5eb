package core

import (
	"context"
	"sync"
	"time"
)

// tenure is the time in which this broker holds one lease: what it runs, it runs under
// a tenure. Without Config.Leases there is one, of the holder "", which ends with the broker.
type tenure struct {
	holder string
	ctx    context.Context // of the work; ends with the cause ErrLeaseEnding or errShutdown
	stop   context.CancelCauseFunc

	mu    sync.Mutex
	until time.Time   // from then on no plugin call runs; zero: no bound
	alarm *time.Timer // ends ctx then
	over  bool        // no job begins any more
	jobs  sync.WaitGroup
}

func newTenure(ctx context.Context, holder string) *tenure {
	t := &tenure{holder: holder}
	t.ctx, t.stop = context.WithCancelCause(ctx)
	return t
}

// extend lets plugin calls run until then, by the local clock.
func (t *tenure) extend(until time.Time, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.until = until
	if t.alarm != nil {
		t.alarm.Stop()
	}
	if t.over {
		return
	}
	t.alarm = time.AfterFunc(until.Sub(now), func() { t.check(until) })
}

// check ends the work if the tenure's time is up, and tells whether it goes on. A process that was
// frozen comes here before its alarm does. Both clocks count: the monotonic one
// stands still while some machines sleep, and the other one may be put back.
func (t *tenure) check(now time.Time) bool {
	t.mu.Lock()
	until := t.until
	t.mu.Unlock()
	if !until.IsZero() && (!now.Before(until) || !now.Round(0).Before(until.Round(0))) {
		t.stop(ErrLeaseEnding)
	}
	return t.ctx.Err() == nil
}

// begin counts a job in; false if the tenure is over.
func (t *tenure) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.ctx.Err() != nil {
		return false
	}
	t.jobs.Add(1)
	return true
}

// close lets no job begin any more. The channel that it gives is closed when the
// last one has ended.
func (t *tenure) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.alarm != nil {
		t.alarm.Stop()
	}
	ended := make(chan struct{})
	go func() { // its owner waits for the channel
		t.jobs.Wait()
		close(ended)
	}()
	return ended
}
