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

// insist commits fn however often the store fails, since the work must not be
// lost. It gives false if the broker closes first: the journal then has the older state.
func (b *Broker) insist(w write, op string, fn func(Tx, *effects) error) bool {
	for failures := 0; ; failures++ {
		err := b.commit(b.ctx, w, fn)
		if err == nil {
			return true
		}
		if errors.Is(err, errRefused) {
			continue
		}
		b.cfg.Log.Error("the journal cannot be written; trying again", "operation_id", op, "at", w.before, "error", err)
		if !b.pause(b.ctx, b.backoff(failures)) {
			return false
		}
	}
}

// pause waits; false if ctx ended first.
func (b *Broker) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
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
		b.sched.interrupt(id)
	}
	for _, op := range fx.finished {
		b.unfinished.Add(-1)
		code := ErrorCode("")
		if op.Error != nil {
			code = op.Error.Code
		}
		b.cfg.Observe.OperationFinished(op.Backend, op.Verb, code, op.FinishedAt.Sub(op.CreatedAt))
		b.cfg.Trace.Finished(op)
		b.auditFinish(op)
		b.sched.finished(op.ID)
	}
	for _, id := range fx.consider {
		b.sched.consider(id)
	}
}

// view runs fn over one consistent state; errors that are not ours become store errors.
func (b *Broker) view(ctx context.Context, fn func(Tx) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	return storeError(b.cfg.Store.View(ctx, fn))
}

// storeError turns a failure of the store into an Error; our own pass through.
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
