package core

import (
	"context"
	"time"
)

// Close stops accepting, cancels the running plugin calls, answers the waiting
// requests and waits for every goroutine. Unfinished operations stay in the journal
// and resume with the next Start over the same store. It fails if ctx ends before
// everything has returned; what is left then still ends on its own.
//
// With Leases it hands its operations over to the other replicas first, and as long as these
// work, requests go on to be taken and answered, until none is left or three quarters of ctx's
// time are over.
func (b *Broker) Close(ctx context.Context) error {
	if b.replica != nil {
		b.handOver(ctx)
	}
	b.mu.Lock()
	b.phase = phaseClosed
	b.mu.Unlock()
	b.stop(errShutdown)
	done := make(chan struct{})
	go func() {
		b.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return Errorf(CodeDeadline, "the broker's work did not end in time").WithCause(ctx.Err())
	}
}

// handOver gives the operations to the other replicas and waits for what the requests that
// wait here come to there. Nobody loses by the end of one of several replicas.
func (b *Broker) handOver(ctx context.Context) {
	b.mu.Lock()
	started := b.phase == phaseOpen
	b.mu.Unlock()
	if !started {
		return
	}
	var enough <-chan time.Time
	if end, ok := ctx.Deadline(); ok {
		timer := time.NewTimer(time.Until(end) * 3 / 4)
		defer timer.Stop()
		enough = timer.C
	}
	b.replica.stop(errShutdown)
	select {
	case <-b.replica.left:
	case <-enough:
		return
	case <-ctx.Done():
		return
	}
	if !b.replica.others() {
		return
	}
	b.mu.Lock()
	b.closing = true
	b.allAnswered()
	b.mu.Unlock()
	select {
	case <-b.answered:
	case <-enough:
	case <-ctx.Done():
	}
}

// allAnswered lets no request in any more once none is left. The lock is held.
func (b *Broker) allAnswered() {
	if !b.closing || b.requests > 0 {
		return
	}
	b.phase = phaseClosed
	select {
	case <-b.answered:
	default:
		close(b.answered)
	}
}
