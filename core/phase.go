package core

// nextDeprovisionCall goes through the phases of a deprovision: check, the bindings
// left behind, the instance.
func (b *Broker) nextDeprovisionCall(tx Tx, w *work) (*Call, error) {
	op, inst := w.op, w.inst
	call := &Call{Verb: VerbDeprovision, Inputs: op.Wanted.Inputs, Instance: inst.Applied, Attempted: inst.Attempted}
	if op.Phase == PhaseCheck {
		call.Check = true
		return call, nil
	}
	for len(op.Wanted.Unbinds) > 0 {
		left := op.Wanted.Unbinds[0]
		bind, err := found(tx.Binding(op.InstanceID, left.BindingID))
		if err != nil {
			return nil, err
		}
		if bind != nil && traces(bind) {
			op.Phase = PhaseUnbind
			return bindingCall(VerbUnbind, left.Inputs, inst, bind), nil
		}
		if bind != nil {
			if err := tx.DeleteBinding(op.InstanceID, left.BindingID); err != nil {
				return nil, err
			}
		}
		op.Wanted.Unbinds = op.Wanted.Unbinds[1:]
	}
	op.Phase = PhaseCall
	if inst.Applied.Inputs == nil && len(inst.Attempted) == 0 || halfAdopted(inst) {
		return nil, nil
	}
	return call, nil
}

func (b *Broker) beginDeprovision(tx Tx, w *work) error {
	op := w.op
	op.Wanted.Inputs = b.deprovisionInputs(tx, w.plan, w.inst, op.Identity)
	bindings, err := tx.Bindings(op.InstanceID)
	if err != nil {
		return err
	}
	op.Wanted.Unbinds, op.Phase = nil, PhaseCall
	called := false
	for _, bind := range bindings {
		plan, err := b.pinned(tx, bind.Definition)
		if err != nil && refusal(err) == nil {
			return err
		}
		known, err := b.knownSecrets(tx, w.inst, bind)
		if err != nil {
			return err
		}
		op.Wanted.Secrets = tidy(append(op.Wanted.Secrets, known...))
		op.Wanted.Unbinds = append(op.Wanted.Unbinds, WantedUnbind{BindingID: bind.ID,
			Inputs: b.unbindInputs(tx, plan, w.inst, bind, op.Identity)})
		called = called || traces(bind)
	}
	if called {
		op.Phase = PhaseUnbind
		if desc, _ := b.cfg.Backends.Describe(op.Backend); desc.ChecksDeprovision {
			op.Phase = PhaseCheck
		}
	}
	return nil
}
