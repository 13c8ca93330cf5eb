package core

import (
	"context"
	"errors"
	"time"
)

// storeTimeout bounds one store transaction.
const storeTimeout = 30 * time.Second

// effects are what follows from a transaction once it is durable. A transaction
// may run more than once, so it only notes them.
type effects struct {
	finished  []*Operation // ended in this transaction
	interrupt []string     // operations whose plugin call must end
	consider  []string     // instances whose queue may have moved
}

// commit runs fn in one transaction, between its fault points, and then lets its
// effects happen. The client's hanging up does not end it.
func (b *Broker) commit(ctx context.Context, w write, fn func(Tx, *effects) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	var fx effects
	b.cfg.Fault(w.before)
	err := b.cfg.Store.Update(ctx, func(tx Tx) error {
		fx = effects{}
		return fn(tx, &fx)
	})
	if err != nil {
		return err
	}
	b.cfg.Fault(w.after)
	b.announce(&fx)
	return nil
}

// pause waits; false if ctx ended first.
func (b *Broker) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil // both may be over, as with no pause at all
	case <-ctx.Done():
		return false
	}
}

// backoff is the pause after so many failures before: doubled each time, with up to 20 % of jitter.
func (b *Broker) backoff(failures int) time.Duration {
	d := b.cfg.BackoffMin
	for range failures {
		if d >= b.cfg.BackoffMax {
			break
		}
		d *= 2
	}
	d = min(d, b.cfg.BackoffMax)
	if r, err := b.clock.bytes(1); err == nil {
		d += d / 5 * time.Duration(r[0]) / 255
	}
	return d
}

// announce lets the effects of a durable transaction happen.
func (b *Broker) announce(fx *effects) {
	for _, id := range fx.interrupt {
		if !b.sched.interrupt(id) {
			b.hint(HintInterrupt, id)
		}
	}
	for _, op := range fx.finished {
		if b.holds(op) {
			b.sched.census.remove(op)
		}
		code := ErrorCode("")
		if op.Error != nil {
			code = op.Error.Code
		}
		b.cfg.Observe.OperationFinished(op.Backend, op.Verb, code, op.FinishedAt.Sub(op.CreatedAt))
		b.cfg.Trace.Finished(op)
		b.auditFinish(op)
		b.sched.finished(op.ID, op)
		b.hint(HintFinished, op.ID)
	}
	for _, id := range fx.consider {
		b.sched.consider(id)
	}
	b.hint(HintConsider, fx.consider...)
}

// view runs fn over one consistent state. A read that fails had no effect, so the error
// is CodeOverloaded whatever the store says of itself; our own errors pass through.
func (b *Broker) view(ctx context.Context, fn func(Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	err := b.cfg.Store.View(ctx, fn)
	if err == nil || refusal(err) != nil || CodeOf(err) == CodeOverloaded {
		return err
	}
	e := Errorf(CodeOverloaded, "The broker's store cannot be read now; nothing was changed.").
		WithHint("Send the request again in a moment.").WithCause(err)
	e.RetryAfter = 5 * time.Second
	return e
}

// storeError turns a failure of the store to write into an Error; our own pass through,
// such as CodeOverloaded for what was refused without effect.
func storeError(err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	return Errorf(CodeUnavailable, "The broker's store cannot be used now.").
		WithHint("Send the request again later; the operator finds the cause in the log.").WithCause(err)
}

// found turns ErrNotFound into a nil row.
func found[T any](row *T, err error) (*T, error) {
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return row, err
}

// step appends a line to the operation's timeline.
func step(tx Tx, op *Operation, at time.Time, kind StepKind, text, detail string) error {
	return tx.AddStep(&Step{Operation: op.ID, At: at, Kind: kind, Text: text, Detail: detail})
}
