package core

import (
	"context"
	"errors"
	"slices"
	"time"
)

// request is what all lifecycle requests have in common.
type request struct {
	Caller
	verb                  Verb
	instanceID, bindingID string
	serviceID, planID     string
	operation             string // the operation that answers it, for the audit record
}

// acceptance is what the accepting transaction decided.
type acceptance struct {
	verdict
	op   *Operation // new or joined; nil if nothing had to be done
	call *pendingCall
	inst *Instance
	bind *Binding
}

// accept runs decide in one transaction. decide gets the skeleton of a new operation;
// if it returns verdictNew it has journaled the operation with admit. The
// operation's goroutine starts after the commit; finished is closed when it ends.
func (b *Broker) accept(ctx context.Context, r *request, decide func(tx Tx, fx *effects, op *Operation) (acceptance, error)) (
	acc acceptance, finished *watch, release func(), err error) {
	op, err := b.newOperation(r)
	if err != nil {
		return acc, nil, nil, AsError(err)
	}
	t := b.tenure()
	if t != nil && t.holder != "" {
		op.Holder, op.Epoch = t.holder, 1
	}
	b.sched.hold(t, op)
	finished, release = b.sched.watch(op.ID)
	err = b.commit(ctx, writeAccept, func(tx Tx, fx *effects) (err error) {
		state, err := ReadDispatcher(tx) // here, so that no replica misses a pause
		if err == nil {
			err = state.refused()
		}
		if err != nil {
			return err
		}
		fresh := *op
		acc, err = decide(tx, fx, &fresh)
		return err
	})
	if err != nil || acc.kind != verdictNew {
		b.sched.census.remove(op)
		b.sched.drop(op.ID)
		release()
		switch {
		case err != nil: // after drop: what is journaled after all must be free to start
			err = b.commitFailed(ctx, op, err)
		case acc.kind == verdictJoin:
			finished, release = b.sched.watch(acc.op.ID)
			return acc, finished, release, nil
		}
		return acc, nil, func() {}, err
	}
	b.accepted(acc.op, acc.call)
	return acc, finished, release, nil
}

// accepted starts the work of a journaled operation, here or at the replica that holds it.
func (b *Broker) accepted(op *Operation, first *pendingCall) {
	held := b.holds(op)
	if !held {
		b.sched.census.remove(op)
	}
	switch {
	case !op.State.Unfinished():
		b.sched.drop(op.ID)
		return
	case held || first != nil:
		b.sched.launch(op, first)
		return
	}
	b.sched.drop(op.ID)
	if op.Holder != "" {
		b.hint(HintConsider, op.InstanceID)
		return
	}
	b.hint(HintConsider, "") // whoever comes first
	if b.replica != nil {
		b.replica.look()
	}
}

// commitFailed finds out what a failed commit means: our own errors are refusals;
// after a failure of the store it looks whether the operation is journaled. Without
// effect is 429, since a 5xx makes platforms delete; if nobody can say, it is 500.
func (b *Broker) commitFailed(ctx context.Context, fresh *Operation, err error) error {
	if e := refusal(err); e != nil {
		return e
	}
	if CodeOf(err) == CodeOverloaded { // ours or the store's: without effect
		return err
	}
	if errors.Is(err, ErrBusy) {
		return Errorf(CodeConcurrency, "The Service Broker does not support concurrent requests that mutate the same resource.").WithCause(err)
	}
	var op *Operation
	seen := b.view(ctx, func(tx Tx) (err error) {
		op, err = found(tx.Operation(fresh.ID))
		return err
	})
	switch {
	case seen != nil: // the work must not wait for the next start if it is journaled after all
		b.spawn(func() { b.sched.consider(fresh.InstanceID) })
		return storeError(err)
	case op != nil:
		if b.holds(op) {
			b.sched.census.add(op)
		}
		b.sched.consider(op.InstanceID)
		b.hint(HintConsider, op.InstanceID)
		return stillRunning(op)
	}
	e := Errorf(CodeOverloaded, "The broker cannot take the request now; nothing was changed.").
		WithHint("Send it again in a moment.").WithCause(err)
	e.RetryAfter = 5 * time.Second
	return e
}

// newOperation makes the skeleton of an operation.
func (b *Broker) newOperation(r *request) (*Operation, error) {
	id, err := b.clock.operationID()
	if err != nil {
		return nil, err
	}
	seed, err := b.clock.bytes(32)
	if err != nil {
		return nil, err
	}
	return &Operation{ID: id, Verb: r.verb, InstanceID: r.instanceID, BindingID: r.bindingID,
		State: OperationPending, Phase: PhaseCall, Seed: seed, ProgressPercent: -1,
		User: r.User, Identity: r.Identity, RequestID: r.RequestID, Trace: r.Trace, CreatedAt: b.clock.Now()}, nil
}

// admit journals a new operation: supersedes what cancel says, and records the
// start of its first call if nothing stands before it.
func (b *Broker) admit(tx Tx, fx *effects, w *work, s *situation, cancel []*Operation) (*pendingCall, error) {
	op := w.op
	if e := b.sched.census.admit(op, &b.cfg); e != nil {
		return nil, e
	}
	op.CreatedAt = after(op.CreatedAt, s)
	op.Deadline = op.CreatedAt.Add(w.plan.Timeouts[op.Verb])
	assign(op, s.unfinished)
	others := s.unfinished
	if err := b.supersede(tx, fx, op, s, cancel); err != nil {
		return nil, err
	}
	if err := tx.PutDefinition(w.plan.Definition); err != nil {
		return nil, err
	}
	w.fresh, w.last = true, s.last
	for _, other := range others {
		if other.State.Unfinished() { // still, after supersede
			w.unfinished = append(w.unfinished, other)
		}
	}
	w.unfinished = append(w.unfinished, op)
	before := b.blockedBy(op, w.unfinished)
	switch {
	case op.Verb == VerbUnbind && !traces(w.bind) && !unfinishedBind(w): // never called: nothing to wait for
		if err := w.journal(tx); err != nil {
			return nil, err
		}
		return nil, b.complete(tx, fx, w, Result{})
	case !b.holds(op):
		return nil, w.queue(tx, "waits for the replica that runs the instance's operations")
	case before != nil:
		return nil, w.queue(tx, "waits for the "+string(before.Verb)+" "+before.ID)
	}
	d, err := b.next(tx, fx, w, false)
	return d.call, err
}

// queue journals an operation that has to wait.
func (w *work) queue(tx Tx, why string) error {
	if err := w.journal(tx); err != nil {
		return err
	}
	return step(tx, w.op, w.op.CreatedAt, StepQueued, why, "")
}

// assign gives an operation the holder of the instance's other unfinished ones, so that one
// replica decides what may run side by side.
func assign(op *Operation, others []*Operation) {
	for _, other := range others {
		if other.Holder != op.Holder {
			op.Holder, op.Epoch = other.Holder, other.Epoch
		}
	}
}

// unfinishedBind tells whether a bind of the work's binding is still being cancelled.
func unfinishedBind(w *work) bool {
	return slices.ContainsFunc(w.unfinished, func(op *Operation) bool {
		return op.Verb == VerbBind && op.BindingID == w.op.BindingID
	})
}

func acceptedText(op *Operation) string {
	text := string(op.Verb) + " of " + subject(op.InstanceID, op.BindingID)
	if op.User != "" {
		text += " by " + op.User
	}
	return text
}

// after gives at, or a time just after the newest operation of the situation: the
// order of an instance's operations survives clocks that go back.
func after(at time.Time, s *situation) time.Time {
	for _, op := range append(s.unfinished, s.last) {
		if op != nil && !at.After(op.CreatedAt) {
			at = op.CreatedAt.Add(time.Microsecond)
		}
	}
	return at
}

// supersede marks operations as cancelling. One that never called its plugin ends at once.
func (b *Broker) supersede(tx Tx, fx *effects, by *Operation, s *situation, cancel []*Operation) error {
	for _, op := range cancel {
		if op.State == OperationPending {
			op.CancelledBy = by.ID
		}
		op.State = OperationCancelling
		by.Wanted.Effects = true
		if err := step(tx, op, by.CreatedAt, StepCancel, "superseded by the "+string(by.Verb)+" "+by.ID, ""); err != nil {
			return err
		}
		if op.Calls > 0 {
			if err := tx.UpdateOperation(op); err != nil {
				return err
			}
			fx.interrupt = append(fx.interrupt, op.ID)
			continue
		}
		e := Errorf(CodeCancelled, "The %s was cancelled since a deletion was requested.", op.Verb).WithID(op.ID)
		if err := b.finish(tx, fx, op, OperationFailed, e); err != nil {
			return err
		}
	}
	s.unfinished = nil // read again by whoever needs it
	return nil
}
