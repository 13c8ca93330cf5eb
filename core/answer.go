package core

import "context"

// created is the outcome of a verb that was done as a result of a request.
func created(verb Verb) Outcome {
	if verb == VerbProvision || verb == VerbBind {
		return Created
	}
	return Done
}

// answerInstance waits for the operation of an instance verb and answers.
func (b *Broker) answerInstance(ctx context.Context, r *request, acc acceptance, w waiting) (InstanceAnswer, error) {
	if acc.kind == verdictUnchanged {
		return instanceAnswer(Unchanged, acc.inst), nil
	}
	r.operation = acc.op.ID
	op, accepted, err := b.wait(ctx, r.Caller, w)
	switch {
	case err != nil:
		return InstanceAnswer{}, err
	case accepted:
		return InstanceAnswer{Outcome: Accepted, Operation: op.ID, DashboardURL: op.Wanted.DashboardURL,
			Metadata: InstanceMetadata{Labels: op.Wanted.Labels, Attributes: op.Wanted.Attributes}}, nil
	case op.State == OperationFailed:
		return InstanceAnswer{}, b.report(ctx, op)
	case r.verb == VerbDeprovision:
		return InstanceAnswer{Outcome: Done}, nil
	}
	var inst *Instance
	err = b.view(ctx, func(tx Tx) (err error) {
		inst, err = found(tx.Instance(op.InstanceID))
		return err
	})
	if err != nil {
		return InstanceAnswer{}, unreadable(op, err)
	}
	if inst == nil { // deleted in between
		return InstanceAnswer{}, noInstance(op.InstanceID)
	}
	outcome := created(r.verb)
	if w.joined && r.verb == VerbProvision {
		outcome = Unchanged
	}
	return instanceAnswer(outcome, inst), nil
}

func instanceAnswer(outcome Outcome, inst *Instance) InstanceAnswer {
	return InstanceAnswer{Outcome: outcome, DashboardURL: inst.DashboardURL,
		Metadata: InstanceMetadata{Labels: inst.Labels, Attributes: inst.Attributes}}
}

// answerBinding waits for the operation of a binding verb and answers.
func (b *Broker) answerBinding(ctx context.Context, r *request, acc acceptance, w waiting) (BindingAnswer, error) {
	if acc.kind == verdictUnchanged {
		return BindingAnswer{Outcome: Unchanged, Result: acc.bind.Result}, nil
	}
	r.operation = acc.op.ID
	op, accepted, err := b.wait(ctx, r.Caller, w)
	switch {
	case err != nil:
		return BindingAnswer{}, err
	case accepted:
		return BindingAnswer{Outcome: Accepted, Operation: op.ID}, nil
	case op.State == OperationFailed && op.Verb == VerbDeprovision && r.verb == VerbUnbind:
		return b.answerUnbindOf(ctx, r, op)
	case op.State == OperationFailed:
		return BindingAnswer{}, b.report(ctx, op)
	case r.verb == VerbUnbind:
		return BindingAnswer{Outcome: Done}, nil
	}
	var bind *Binding
	err = b.view(ctx, func(tx Tx) (err error) {
		bind, err = found(tx.Binding(op.InstanceID, op.BindingID))
		return err
	})
	if err != nil {
		return BindingAnswer{}, unreadable(op, err)
	}
	if bind == nil {
		return BindingAnswer{}, noBinding(op.BindingID)
	}
	outcome := Created
	if w.joined {
		outcome = Unchanged
	}
	return BindingAnswer{Outcome: outcome, Result: bind.Result}, nil
}

// answerUnbindOf answers an unbind that joined a deprovision which failed: the
// binding may be gone nevertheless.
func (b *Broker) answerUnbindOf(ctx context.Context, r *request, op *Operation) (BindingAnswer, error) {
	var bind *Binding
	err := b.view(ctx, func(tx Tx) (err error) {
		bind, err = found(tx.Binding(r.instanceID, r.bindingID))
		return err
	})
	if err != nil {
		return BindingAnswer{}, unreadable(op, err)
	}
	if bind == nil {
		return BindingAnswer{Outcome: Done}, nil
	}
	e := Errorf(CodeFailed, "The deletion of the instance, which would have deleted the binding too, failed: %s", op.Error.Message).
		WithHint("Delete the binding again.")
	return BindingAnswer{}, e.WithID(op.ID)
}

// unreadable is the answer where the work was done and the store does not say what came of
// it: never a 429, which would say that nothing was done.
func unreadable(op *Operation, err error) error {
	if refusal(err) != nil {
		return err
	}
	return Errorf(CodeUnavailable, "The %s was done, but its result cannot be read now.", op.Verb).
		WithHint("Repeat the request to get it.").WithCause(err).WithID(op.ID)
}

func noBinding(id string) *Error {
	return Errorf(CodeNotFound, "The service binding %q does not exist.", id)
}
