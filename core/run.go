package core

import (
	"context"
	"errors"
	"time"
)

// run does the work of one operation: call after call, until it is finished, must
// wait for another operation, or its tenure ends. call is the first one, if its
// start is journaled already.
func (b *Broker) run(j *job, call *pendingCall) {
	for {
		if call == nil {
			d, ok := b.takeStep(j)
			if !ok || d.call == nil && d.due.IsZero() {
				return
			}
			if d.call == nil {
				b.sched.wait(j, d.due.Sub(b.clock.Now()))
				if j.tenure.ctx.Err() != nil {
					return
				}
				continue
			}
			call = d.call
		}
		if !b.perform(j, call) {
			return
		}
		call = nil
	}
}

// takeStep decides the next step in a transaction. ok is false if there is nothing to do here any more.
func (b *Broker) takeStep(j *job) (d decision, ok bool) {
	if j.tenure.ctx.Err() != nil {
		return d, false
	}
	var refused *Error
	var state DispatcherState
	ok = b.insist(writeStart, j, func(tx Tx, fx *effects, w *work, _ bool) (err error) {
		d = decision{}
		if state, err = ReadDispatcher(tx); err != nil || state.Paused {
			return err
		}
		if refused != nil {
			return b.finishRefused(tx, fx, w, refused)
		}
		if w.unpinned != nil && w.op.State != OperationCancelling {
			return w.unpinned
		}
		d, err = b.next(tx, fx, w, j.calls > 0)
		if refused = refusal(err); refused != nil {
			return errRefused
		}
		return err
	})
	b.dispatcher.see(state) // before the job ends, or it would begin again at once
	return d, ok
}

// errRefused rolls a step back whose preparation failed; the next transaction ends the operation.
var errRefused = errors.New("the operation cannot begin")

// perform makes one plugin call and journals its result. It gives false when
// nothing is left to do here.
func (b *Broker) perform(j *job, pc *pendingCall) bool {
	j.calls++
	res, callErr := b.call(j, pc)
	if callErr != nil && j.tenure.ctx.Err() != nil {
		return false // the journal says that the operation is unfinished: it resumes
	}
	again, phase := false, pc.phase
	ok := b.insist(writeSettle, j, func(tx Tx, fx *effects, w *work, landed bool) (err error) {
		again, phase, j.alone = true, w.op.Phase, false
		if landed {
			return nil
		}
		if w.unpinned != nil {
			return w.unpinned
		}
		again, err = b.settle(tx, fx, w, res, callErr)
		phase, j.alone = w.op.Phase, len(w.unfinished) == 1 && !w.op.State.Unfinished()
		return err
	})
	if phase == PhaseUndo && pc.phase != PhaseUndo {
		j.calls = 0 // an undo gets a full call, too, however late it is
	}
	j.alone = j.alone && ok
	return ok && again && j.tenure.ctx.Err() == nil
}

// call makes one plugin call within its limits.
func (b *Broker) call(j *job, pc *pendingCall) (Result, *Error) {
	ctx, cancel := context.WithTimeoutCause(j.ctx, pc.limit, errDeadline)
	defer cancel()
	b.cfg.Fault(FaultBeforeCall)
	j.tenure.check(b.cfg.Now()) // this process may have been frozen until now
	if ctx.Err() != nil {
		return Result{}, interrupted(ctx)
	}
	began := b.clock.Now()
	traced, end := b.cfg.Trace.Call(ctx, &pc.op, &pc.call)
	res, err := b.cfg.Backends.Call(traced, pc.call, b.progress(j))
	end(err)
	b.cfg.Fault(FaultAfterCall)
	b.cfg.Observe.CallFinished(pc.call.Backend, pc.call.Verb, CodeOf(err), b.clock.Now().Sub(began))
	if err == nil {
		return res, nil
	}
	e := AsError(err)
	b.cfg.Log.Info("plugin call failed", "operation_id", j.id, "instance_id", j.instance, "binding_id", pc.call.BindingID,
		"backend", pc.call.Backend, "verb", pc.call.Verb, "fence", pc.call.Fence, "error", e)
	if ctx.Err() != nil {
		return Result{}, interrupted(ctx)
	}
	return Result{}, e
}

// interrupted is the error of a call that we ended ourselves.
func interrupted(ctx context.Context) *Error {
	if errors.Is(context.Cause(ctx), errDeadline) {
		return Errorf(CodeDeadline, "The work did not finish before its deadline.")
	}
	return Errorf(CodeCancelled, "The work was cancelled.").WithCause(context.Cause(ctx))
}

// progress journals the plugin's words, at most once a second.
func (b *Broker) progress(j *job) func(Progress) {
	var last time.Time
	return func(p Progress) {
		now := b.clock.Now()
		if !last.IsZero() && now.Sub(last) < time.Second {
			return
		}
		last = now
		err := b.commit(b.ctx, writeProgress, func(tx Tx, _ *effects) error {
			op, err := found(tx.Operation(j.id))
			if err != nil || op == nil || !op.State.Unfinished() || !j.holds(op) {
				return err
			}
			changed := op.ProgressText != p.Text
			op.ProgressText, op.ProgressPercent = p.Text, p.Percent
			if err := tx.UpdateOperation(op); err != nil || !changed {
				return err
			}
			return step(tx, op, now, StepProgress, p.Text, "")
		})
		if err != nil {
			b.cfg.Log.Warn("progress cannot be journaled", "operation_id", j.id, "error", err)
		}
	}
}
