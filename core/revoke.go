package core

import "time"

const (
	// revokeEvery is how often the broker looks for bindings that have expired.
	revokeEvery = 15 * time.Second
	// revokeBatch is how many it takes at once.
	revokeBatch = 100
	// revokeAgain is the pause after an unbind that failed.
	revokeAgain = 10 * time.Minute
	// brokerUser stands as the user of the broker's own operations.
	brokerUser = "chandler"
)

// revokes takes the credentials of expired bindings away until the broker closes.
func (b *Broker) revokes() {
	defer b.wg.Done()
	for {
		b.revokeOnce()
		if !b.pause(b.ctx, revokeEvery) {
			return
		}
	}
}

// revokeOnce begins an unbind of each binding whose time is over (OSB: "after expires_at
// the binding is invalid"). The store says which they are, so that neither a restart
// nor another replica misses one or takes one twice. Those that have to wait, because their
// backend has too much to do, keep nobody behind them waiting.
func (b *Broker) revokeOnce() {
	if b.dispatcher.state().Paused {
		return
	}
	at, full := b.clock.Now(), map[string]bool{} // by backend
	var last *Binding
	for b.ctx.Err() == nil {
		var due []*Binding
		err := b.view(b.ctx, func(tx Tx) (err error) {
			due, err = tx.ToRevoke(at, last, revokeBatch)
			return err
		})
		if err != nil {
			b.cfg.Log.Warn("expired bindings cannot be looked for now", "error", err)
			return
		}
		for _, bind := range due {
			if !full[bind.Backend] {
				full[bind.Backend] = CodeOf(b.revoke(bind)) == CodeOverloaded
			}
		}
		if len(due) < revokeBatch {
			return
		}
		last = due[len(due)-1]
	}
}

// revoke begins the unbind of one expired binding, or gives the error with which it has to wait.
func (b *Broker) revoke(bind *Binding) error {
	leave, err := b.enter()
	if err != nil {
		return err
	}
	defer leave()
	r := &request{Caller: Caller{User: brokerUser, RequestID: "expiry of " + bind.ID}, verb: VerbUnbind,
		instanceID: bind.InstanceID, bindingID: bind.ID, serviceID: bind.ServiceID, planID: bind.PlanID}
	acc, _, release, err := b.accept(b.ctx, r, func(tx Tx, fx *effects, op *Operation) (acceptance, error) {
		return b.acceptRevoke(tx, fx, op)
	})
	if err != nil {
		b.cfg.Log.Warn("an expired binding cannot be revoked now", "instance_id", bind.InstanceID, "binding_id", bind.ID, "error", err)
		return err
	}
	release()
	if acc.kind == verdictNew {
		r.operation = acc.op.ID
		b.auditRequest(r, Accepted, nil)
	}
	return nil
}

// acceptRevoke journals the unbind of a binding that is still expired, unless something
// else goes on with it or its instance: then the next look finds it again.
func (b *Broker) acceptRevoke(tx Tx, fx *effects, op *Operation) (acc acceptance, err error) {
	acc.kind = verdictUnchanged
	s, err := observe(tx, op.InstanceID, op.BindingID)
	if err != nil || s.inst == nil || s.bind == nil {
		return acc, err
	}
	if s.bind.RevokeAt.IsZero() || s.bind.RevokeAt.After(b.clock.Now()) || s.running(op.BindingID) != nil || s.running("") != nil {
		return acc, nil
	}
	plan, err := b.removable(tx, b.Catalog(), s.bind.ServiceID, s.bind.PlanID, s.bind.Definition)
	if err != nil {
		return acc, err
	}
	op.Backend, op.Definition, op.Detached = s.bind.Backend, plan.Definition.Digest, true
	op.Wanted = Wanted{ServiceID: s.bind.ServiceID, PlanID: s.bind.PlanID, Revoke: true}
	acc = acceptance{verdict: verdict{kind: verdictNew}, op: op, inst: s.inst, bind: s.bind}
	acc.call, err = b.admit(tx, fx, &work{op: op, inst: s.inst, bind: s.bind, plan: plan}, &s, nil)
	return acc, err
}

// completeRevoke ends the unbind of an expired binding. Nothing of it is at the backend
// any more; its row stays for the platform, which shows it and deletes it.
func (b *Broker) completeRevoke(tx Tx, fx *effects, w *work) error {
	w.bind.Applied, w.bind.Attempted, w.bind.RevokeAt = Applied{}, nil, time.Time{}
	w.bind.UpdatedAt = b.clock.Now()
	if err := tx.PutBinding(w.bind); err != nil {
		return err
	}
	w.op.Handle = nil
	return b.finish(tx, fx, w.op, OperationSucceeded, nil)
}

// adoptRevoke makes the broker's own unbind that a platform's DELETE joins the platform's.
func adoptRevoke(tx Tx, op *Operation, by *Operation) error {
	if !op.Wanted.Revoke {
		return nil
	}
	op.Wanted.Revoke = false
	if err := tx.UpdateOperation(op); err != nil {
		return err
	}
	return step(tx, op, by.CreatedAt, StepAccepted, acceptedText(by)+", which goes on with it", "")
}

// later is the later one of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
