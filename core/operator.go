package core

import (
	"context"
	"errors"
	"fmt"
)

// Cancel ends an unfinished operation: its plugin call is cancelled, and when that has
// returned the operation fails with CodeCancelled (unless the call was done after
// all). CodeNotFound, or CodeUnprocessable for a finished operation.
func (b *Broker) Cancel(ctx context.Context, by Caller, operation string) error {
	return b.operate(ctx, by, "cancel", operation, func(tx Tx, fx *effects, w *work) error {
		op := w.op
		if op.State == OperationPending {
			op.State, op.CancelledBy = OperationCancelling, operatorCancels
		}
		if op.Calls == 0 {
			return b.finishCancelled(tx, fx, w)
		}
		fx.interrupt = append(fx.interrupt, op.ID)
		return tx.UpdateOperation(op)
	})
}

// Abandon fails an unfinished operation without calling the plugin again. What it
// tried is remembered for the next operation. Errors are those of Cancel.
func (b *Broker) Abandon(ctx context.Context, by Caller, operation string) error {
	return b.operate(ctx, by, "abandon", operation, func(tx Tx, fx *effects, w *work) error {
		fx.interrupt = append(fx.interrupt, w.op.ID)
		w.op.CancelledBy = operatorCancels
		e := Errorf(CodeCancelled, "The %s was abandoned by an operator; something of it may be left at the backend.", w.op.Verb)
		return b.finishFailed(tx, fx, w, e, leftAttempt)
	})
}

// operate runs an operator's verb on an unfinished operation.
func (b *Broker) operate(ctx context.Context, by Caller, verb, operation string, fn func(Tx, *effects, *work) error) (err error) {
	leave, err := b.enter()
	if err != nil {
		return err
	}
	defer leave()
	instance := ""
	defer func() { b.auditOperator(by, verb, instance, operation, err) }()
	err = b.commit(ctx, writeOperator, func(tx Tx, fx *effects) error {
		if err := notFinal(tx); err != nil {
			return err
		}
		op, err := found(tx.Operation(operation))
		if err != nil {
			return err
		}
		if op == nil {
			return Errorf(CodeNotFound, "The operation %q does not exist.", operation)
		}
		instance = op.InstanceID
		var w *work
		if op.State.Unfinished() {
			unfinished, err := tx.Unfinished(op.InstanceID)
			if err != nil {
				return err
			}
			if w, err = b.load(tx, op, unfinished); err != nil {
				return err
			}
		}
		if w == nil {
			return Errorf(CodeUnprocessable, "The operation %q is finished already (%s).", operation, op.State)
		}
		if err := step(tx, op, b.clock.Now(), StepOperator, verb+operatorName(by), ""); err != nil {
			return err
		}
		fx.consider = append(fx.consider, op.InstanceID)
		return fn(tx, fx, w)
	})
	return storeError(err)
}

// notFinal refuses what would change a store whose final export may exist. An ordinary
// pause is a good time for operators' verbs.
func notFinal(tx Tx) error {
	s, err := ReadDispatcher(tx)
	if err == nil && (s.Final || s.Moved) {
		err = s.refused()
	}
	return err
}

func operatorName(by Caller) string {
	if by.User == "" {
		return ""
	}
	return " by " + by.User
}

// Retry starts a new operation that wants the same as a failed one, and gives its
// id. Only the newest operation of its subject can be retried, and never a bind: the
// platform was told that it failed. CodeNotFound, CodeUnprocessable, CodeConcurrency.
func (b *Broker) Retry(ctx context.Context, by Caller, operation string) (id string, err error) {
	leave, err := b.enter()
	if err != nil {
		return "", err
	}
	defer leave()
	defer func() { b.auditOperator(by, "retry", "", operation, err) }()
	var old *Operation
	err = b.view(ctx, func(tx Tx) (err error) {
		old, err = found(tx.Operation(operation))
		return err
	})
	switch {
	case err != nil:
		return "", err
	case old == nil:
		return "", Errorf(CodeNotFound, "The operation %q does not exist.", operation)
	case old.State != OperationFailed:
		return "", Errorf(CodeUnprocessable, "Only a failed operation can be retried; this one is %s.", old.State)
	case old.Verb == VerbBind:
		return "", Errorf(CodeUnprocessable, "A bind cannot be retried: the platform was told that it failed.").
			WithHint("The platform binds again under a new id.")
	}
	r := &request{Caller: by, verb: old.Verb, instanceID: old.InstanceID, bindingID: old.BindingID}
	acc, _, release, err := b.accept(ctx, r, func(tx Tx, fx *effects, op *Operation) (acceptance, error) {
		return b.acceptRetry(tx, fx, op, operation, by)
	})
	if err != nil {
		return "", err
	}
	release()
	return acc.op.ID, nil
}

// acceptRetry journals the new operation of a retry.
func (b *Broker) acceptRetry(tx Tx, fx *effects, op *Operation, operation string, by Caller) (acc acceptance, err error) {
	old, err := found(tx.Operation(operation))
	if err != nil {
		return acc, err
	}
	s, err := observe(tx, op.InstanceID, op.BindingID)
	if err != nil {
		return acc, err
	}
	switch {
	case old == nil || s.inst == nil || op.BindingID != "" && s.bind == nil:
		return acc, Errorf(CodeUnprocessable, "What the operation %q worked on does not exist any more.", operation)
	case len(s.unfinished) > 0:
		return acc, concurrency(s.unfinished[0])
	case s.last == nil || s.last.ID != old.ID:
		return acc, Errorf(CodeUnprocessable, "The operation %q is not the newest of %s.", operation, subject(op.InstanceID, op.BindingID))
	}
	w := &work{op: op, inst: s.inst, bind: s.bind}
	if w.plan, err = b.pinned(tx, old.Definition); err != nil {
		return acc, err
	}
	op.Request, op.Definition, op.Backend, op.Wanted = old.Request, old.Definition, old.Backend, old.Wanted
	op.Wanted.Unbinds, op.Wanted.Undo, op.Wanted.Effects = nil, nil, false
	op.Identity, op.Detached = old.Identity, true
	if op.BindingID != "" {
		s.bind.LastOperation = op.ID
	} else {
		s.inst.LastOperation = op.ID
	}
	if err := w.put(tx); err != nil {
		return acc, err
	}
	if err := step(tx, old, b.clock.Now(), StepOperator, "retry"+operatorName(by)+" as "+op.ID, ""); err != nil {
		return acc, err
	}
	acc = acceptance{verdict: verdict{kind: verdictNew}, op: op, inst: s.inst, bind: s.bind}
	acc.call, err = b.admit(tx, fx, w, &s, nil)
	return acc, err
}

// Purge forgets an instance, its bindings and reservations without calling the
// plugin, and says what may be left behind at the backend. CodeNotFound if it does not exist.
func (b *Broker) Purge(ctx context.Context, by Caller, instanceID string) (report PurgeReport, err error) {
	leave, err := b.enter()
	if err != nil {
		return report, err
	}
	defer leave()
	defer func() { b.auditOperator(by, "purge", instanceID, "", err) }()
	err = b.commit(ctx, writeOperator, func(tx Tx, fx *effects) error {
		if err := notFinal(tx); err != nil {
			return err
		}
		inst, err := tx.Instance(instanceID)
		if errors.Is(err, ErrNotFound) {
			return noInstance(instanceID)
		}
		if err != nil {
			return err
		}
		if report, err = purgeReport(tx, inst); err != nil {
			return err
		}
		unfinished, err := tx.Unfinished(instanceID)
		if err != nil {
			return err
		}
		for _, op := range unfinished {
			if err := step(tx, op, b.clock.Now(), StepOperator, "purge"+operatorName(by), ""); err != nil {
				return err
			}
			fx.interrupt = append(fx.interrupt, op.ID)
			op.CancelledBy = operatorCancels
			e := Errorf(CodeCancelled, "The %s ended since an operator purged the instance.", op.Verb).WithID(op.ID)
			if err := b.finish(tx, fx, op, OperationFailed, e); err != nil {
				return err
			}
		}
		fx.consider = append(fx.consider, instanceID)
		return tx.DeleteInstance(instanceID)
	})
	return report, storeError(err)
}

// purgeReport lists what the backend may still have.
func purgeReport(tx Tx, inst *Instance) (PurgeReport, error) {
	r := PurgeReport{InstanceID: inst.ID, Backend: inst.Backend}
	bindings, err := tx.Bindings(inst.ID)
	if err != nil {
		return r, err
	}
	if inst.Applied.Inputs != nil {
		r.MayBeLeft = append(r.MayBeLeft, fmt.Sprintf("instance %s at backend %s", inst.ID, inst.Backend))
	}
	for _, a := range inst.Attempted {
		r.MayBeLeft = append(r.MayBeLeft, fmt.Sprintf("what the unfinished %s %s made or left", a.Verb, a.Operation))
	}
	for _, bind := range bindings {
		r.Bindings = append(r.Bindings, bind.ID)
		if traces(bind) {
			r.MayBeLeft = append(r.MayBeLeft, fmt.Sprintf("credentials of binding %s", bind.ID))
		}
	}
	unfinished, err := tx.Unfinished(inst.ID)
	if err != nil {
		return r, err
	}
	for _, op := range unfinished {
		if op.Calls > 0 {
			r.MayBeLeft = append(r.MayBeLeft, fmt.Sprintf("what the running %s %s has made or left", op.Verb, op.ID))
		}
	}
	return r, nil
}
