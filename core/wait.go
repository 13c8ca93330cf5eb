package core

import (
	"context"
	"time"
)

// waiting is how an accepted or joined operation is answered.
type waiting struct {
	op       *Operation
	finished *watch
	release  func()
	joined   bool
	// may202: the caller takes 202 for this verb and plan.
	may202 bool
}

// may202 tells whether a request can be answered 202.
func may202(c Caller, plan *Plan, verb Verb) bool {
	if !c.AcceptsIncomplete || plan.Async[verb] == AsyncNever {
		return false
	}
	return verb != VerbBind || plan.Service.BindingsRetrievable
}

// wait waits for an operation as long as its caller may wait. It gives the finished
// operation; or accepted, if the answer is 202; or the error that says that the work goes on.
func (b *Broker) wait(ctx context.Context, c Caller, w waiting) (op *Operation, accepted bool, err error) {
	defer func() { w.release() }()
	if op, err = b.reload(ctx, w); err != nil || !op.State.Unfinished() {
		if err == nil && w.joined && w.may202 && op.State == OperationFailed && !op.Reported && !leftNoTrace(op) {
			return op, true, nil
		}
		return op, false, err
	}
	timer := time.NewTimer(b.patience(c, w))
	defer timer.Stop()
	op, err = b.outcome(ctx, &w, timer.C)
	if op != nil || err != nil {
		return op, false, err
	}
	hungUp := ctx.Err() != nil
	op, removed, err := b.detach(ctx, w, hungUp)
	switch {
	case CodeOf(err) == CodeConcurrency:
		return nil, false, b.takenBack(w.op)
	case err != nil: // whatever the store says of itself, the work is journaled and goes on
		return nil, false, stillRunning(w.op).WithCause(err)
	case removed:
		return nil, false, b.takenBack(op)
	case !op.State.Unfinished():
		return op, false, nil
	case w.may202 && !hungUp:
		return op, true, nil
	}
	return nil, false, stillRunning(op)
}

// outcome gives the operation when it has finished; nil if the time is up first, the caller
// hangs up or the broker closes. What it hears of the end may come from another replica; the store decides.
func (b *Broker) outcome(ctx context.Context, w *waiting, timeUp <-chan time.Time) (*Operation, error) {
	var again <-chan time.Time
	for failures := 0; ; {
		select {
		case <-w.finished.closed:
			if op := w.finished.op; op != nil {
				return op, nil
			}
			w.release()
			w.finished, w.release = b.sched.watch(w.op.ID)
		case <-again:
		case <-timeUp:
			return nil, nil
		case <-b.ctx.Done():
			return nil, nil
		case <-ctx.Done():
			return nil, nil
		}
		op, err := b.reload(ctx, waiting{op: w.op, joined: true})
		switch {
		case CodeOf(err) == CodeOverloaded: // the store cannot be read now; the work is done all the same
			again = time.After(b.backoff(failures))
			failures++
		case err != nil || !op.State.Unfinished():
			return op, err
		}
	}
}

// patience is how long the caller waits: a repeat that takes 202 not at all.
func (b *Broker) patience(c Caller, w waiting) time.Duration {
	if w.may202 {
		if w.joined || b.cfg.FastAnswer < 0 {
			return 0
		}
		return b.cfg.FastAnswer
	}
	if c.Started.IsZero() {
		return b.cfg.SyncBudget
	}
	return max(0, c.Started.Add(b.cfg.SyncBudget).Sub(b.cfg.Now()))
}

// reload reads the operation again. A new one that nobody joined yet is as the
// accepting transaction left it, unless it finished.
func (b *Broker) reload(ctx context.Context, w waiting) (*Operation, error) {
	if !w.joined {
		return w.op, nil
	}
	var op *Operation
	err := b.view(ctx, func(tx Tx) (err error) {
		op, err = found(tx.Operation(w.op.ID))
		return err
	})
	if err == nil && op == nil { // removed at the end of another caller's budget
		err = queuedTooLong(w.op)
	}
	return op, err
}

// detach marks that the caller is told that the work goes on. A queued bind or
// unbind whose caller waits synchronously is removed instead, with nothing left.
func (b *Broker) detach(ctx context.Context, w waiting, hungUp bool) (op *Operation, removed bool, err error) {
	if w.joined && w.op.Detached && (w.may202 || hungUp) {
		return w.op, false, nil
	}
	err = b.commit(ctx, writeDetach, func(tx Tx, fx *effects) error {
		var err error
		removed = false
		if op, err = found(tx.Operation(w.op.ID)); err != nil || op == nil {
			if err == nil {
				err = queuedTooLong(w.op)
			}
			return err
		}
		if !op.State.Unfinished() || op.Detached {
			return nil
		}
		if !w.may202 && !hungUp && op.Calls == 0 && op.BindingID != "" && !op.Wanted.Effects {
			removed = true
			return b.unqueue(tx, fx, op)
		}
		op.Detached = true
		return tx.UpdateOperation(op)
	})
	if err != nil {
		return nil, false, storeError(err)
	}
	return op, removed, nil
}

// unqueue takes a queued bind or unbind back as if it had never been accepted.
func (b *Broker) unqueue(tx Tx, fx *effects, op *Operation) error {
	if err := tx.DeleteOperation(op.ID); err != nil {
		return err
	}
	gone := *op
	gone.State, gone.FinishedAt = OperationFailed, b.clock.Now()
	gone.Error = Errorf(CodeConcurrency, "The %s waited for another operation longer than its caller.", op.Verb).WithID(op.ID)
	fx.finished = append(fx.finished, &gone)
	fx.consider = append(fx.consider, op.InstanceID)
	bind, err := found(tx.Binding(op.InstanceID, op.BindingID))
	if err != nil || bind == nil {
		return err
	}
	last, err := found(tx.LatestOperation(op.InstanceID, op.BindingID))
	if err != nil {
		return err
	}
	if op.Verb == VerbBind && !bind.Ready && !traces(bind) {
		return tx.DeleteBinding(op.InstanceID, op.BindingID)
	}
	bind.LastOperation = ""
	if last != nil {
		bind.LastOperation = last.ID
	}
	return tx.PutBinding(bind)
}

// takenBack is the answer to a request whose operation was taken back before it began.
func (b *Broker) takenBack(op *Operation) *Error {
	if b.ctx.Err() != nil { // its time was not over
		return notOpen()
	}
	return queuedTooLong(op)
}

// queuedTooLong is the answer to a queued request that was taken back.
func queuedTooLong(op *Operation) *Error {
	return Errorf(CodeConcurrency, "The Service Broker does not support concurrent requests that mutate the same resource.").
		WithHint("The %s waited for another operation until its time was over; nothing of it is left. Send it again later.", op.Verb)
}

// stillRunning is the answer at the end of the synchronous budget.
func stillRunning(op *Operation) *Error {
	return Errorf(CodeStillRunning, "The %s is not done yet and goes on.", op.Verb).
		WithHint("Repeat the request to wait for it, or send DELETE to cancel it.").WithID(op.ID)
}

// report marks that the caller is told of a failure by an error response. Where the error
// is a 4xx, which promises that nothing is left, a row that waited for the
// failure to be told goes, too.
func (b *Broker) report(ctx context.Context, op *Operation) error {
	e := op.Error
	if e == nil {
		e = Errorf(CodeFailed, "The %s failed.", op.Verb)
	}
	e = e.WithID(op.ID)
	if op.Reported {
		return e
	}
	err := b.commit(ctx, writeReport, func(tx Tx, _ *effects) error {
		now, err := found(tx.Operation(op.ID))
		if err != nil || now == nil || now.Reported {
			return err
		}
		now.Reported = true
		if err := tx.UpdateOperation(now); err != nil {
			return err
		}
		return forgetReported(tx, now)
	})
	if err != nil {
		b.cfg.Log.Warn("a failure that was told cannot be journaled as told", "operation_id", op.ID, "error", err)
	}
	return e
}

// refused tells whether an operation's failure is answered with a 4xx.
func refused(e *Error) bool { return userCaused(e) || e.Code == CodeUnprocessable }

// forgetReported deletes the row of a provision or bind that failed without leaving
// anything, once its failure was answered with a 4xx.
func forgetReported(tx Tx, op *Operation) error {
	if op.Error == nil || !refused(op.Error) || op.Verb != VerbProvision && op.Verb != VerbBind {
		return nil
	}
	s, err := observe(tx, op.InstanceID, op.BindingID)
	if err != nil || s.last == nil || s.last.ID != op.ID || len(s.unfinished) > 0 {
		return err
	}
	switch {
	case op.Verb == VerbProvision && s.inst != nil && !s.inst.Ready && len(s.inst.Attempted) == 0:
		return tx.DeleteInstance(op.InstanceID)
	case op.Verb == VerbBind && s.bind != nil && !s.bind.Ready && !traces(s.bind):
		return tx.DeleteBinding(op.InstanceID, op.BindingID)
	}
	return nil
}
