package core

import (
	"context"
	"errors"
	"slices"
)

// attempt is what one transaction of a job wrote, if its commit was done.
type attempt struct {
	mark mark
	fx   effects
}

// mark tells the states of an operation's work apart: each step changes it.
type mark struct {
	phase                    Phase
	fence                    int64
	calls, failures, unbinds int
	handle                   string
	nextAt, finishedAt       int64
}

func markOf(op *Operation) mark {
	return mark{phase: op.Phase, fence: op.Fence, calls: op.Calls, failures: op.Failures, unbinds: len(op.Wanted.Unbinds),
		handle: string(op.Handle), nextAt: op.NextAt.UnixMicro(), finishedAt: op.FinishedAt.UnixMicro()}
}

// insist runs fn over the work of a job in one transaction, however often the store
// fails, since the work must not be lost. It gives false if there is nothing to do for the job any
// more (the operation has finished, or is another replica's), or if its tenure ends
// first: the journal then has the older state. A commit that seemed to fail may have
// been done: landed tells fn that the row is what an earlier attempt made of it.
func (b *Broker) insist(w write, j *job, fn func(tx Tx, fx *effects, w *work, landed bool) error) bool {
	var attempts []attempt
	for failures := 0; ; failures++ {
		mine, taken := false, false
		err := b.commitWork(j, w, func(tx Tx, fx *effects) error {
			mine, taken = false, false
			unfinished, err := tx.Unfinished(j.instance)
			if err != nil {
				return err
			}
			op := operationOf(unfinished, j.id)
			if op == nil { // it has finished, or was purged
				if op, err = found(tx.Operation(j.id)); err != nil || op == nil {
					return err
				}
			}
			before := landed(attempts, op)
			switch {
			case !op.State.Unfinished():
				if before != nil { // by us: whoever waits must be told
					*fx = before.fx
				}
				return nil
			case !j.holds(op):
				taken = true
				return nil
			}
			work, err := b.load(tx, op, unfinished)
			if err != nil || work == nil {
				return err
			}
			if err := fn(tx, fx, work, before != nil); err != nil {
				return err
			}
			mine = true
			attempts = append(attempts, attempt{markOf(work.op), *fx})
			return nil
		})
		if taken {
			b.cfg.Log.Warn("the operation was taken over by another replica; nothing more is written here", "operation_id", j.id, "at", w.before)
		}
		if err == nil {
			return mine
		}
		if errors.Is(err, errRefused) {
			continue
		}
		b.cfg.Log.Error("the journal cannot be written; trying again", "operation_id", j.id, "at", w.before, "error", err)
		if !b.pause(j.tenure.ctx, b.backoff(failures)) {
			return false
		}
	}
}

const (
	// maxWorks bounds the transactions that the work of operations has under way, so that
	// requests find room in the store's queue.
	maxWorks = 256
	// maxBegins bounds those that begin the work of operations which resume or were queued:
	// thousands may do so at once, and what is under way must not stand behind them.
	maxBegins = 32
)

// commitWork is commit in a goroutine of its own: the deep stack that a transaction needs
// must not stay with each of thousands of operations that wait for their plugins. When the
// job's tenure has ended it does not wait for its turn: the end of a lease waits for all of these.
func (b *Broker) commitWork(j *job, w write, fn func(Tx, *effects) error) error {
	places := b.works
	if w == writeStart && j.calls == 0 {
		places = b.begins
	}
	select {
	case places <- struct{}{}:
	default:
		select {
		case places <- struct{}{}:
		case <-j.tenure.ctx.Done():
			return context.Cause(j.tenure.ctx)
		}
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-places }()
		done <- b.commit(j.tenure.ctx, w, fn)
	}()
	return <-done
}

// operationOf gives the operation with that id, nil if it is not among them.
func operationOf(list []*Operation, id string) *Operation {
	if i := slices.IndexFunc(list, func(op *Operation) bool { return op.ID == id }); i >= 0 {
		return list[i]
	}
	return nil
}

// landed gives the attempt that made the row what it is, nil if none did.
func landed(attempts []attempt, op *Operation) *attempt {
	now := markOf(op)
	for i := range attempts {
		if attempts[i].mark == now {
			return &attempts[i]
		}
	}
	return nil
}
