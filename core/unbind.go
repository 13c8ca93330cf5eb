package core

import "context"

// Unbind deletes a service binding, in whatever state it is. Errors are *Error:
// CodeGone if it does not exist, CodeInvalid, CodeAsyncRequired, CodeConcurrency,
// CodeOverloaded; what ended the work; or CodeStillRunning.
func (b *Broker) Unbind(ctx context.Context, req UnbindRequest) (answer BindingAnswer, err error) {
	leave, err := b.enter()
	if err != nil {
		return answer, err
	}
	defer leave()
	r := &request{Caller: req.Caller, verb: VerbUnbind, instanceID: req.InstanceID, bindingID: req.BindingID,
		serviceID: req.ServiceID, planID: req.PlanID}
	defer func() { b.auditRequest(r, answer.Outcome, err) }()

	snap := b.Catalog()
	plan := snap.Plan(req.ServiceID, req.PlanID)
	if plan != nil {
		if err := checkAsync(plan, VerbUnbind, req.Caller); err != nil {
			return answer, err
		}
	}
	acc, finished, release, err := b.accept(ctx, r, func(tx Tx, fx *effects, op *Operation) (acceptance, error) {
		acc, used, err := b.acceptUnbind(tx, fx, op, req, snap)
		if used != nil {
			plan = used
		}
		return acc, err
	})
	if err != nil {
		return answer, err
	}
	return b.answerBinding(ctx, r, acc, waiting{op: acc.op, finished: finished, release: release,
		joined: acc.kind == verdictJoin, may202: may202(req.Caller, plan, VerbUnbind)})
}

// acceptUnbind decides about an unbind and journals it. That a binding does not
// exist is said before anything about the request's ids (decision C-2).
func (b *Broker) acceptUnbind(tx Tx, fx *effects, op *Operation, req UnbindRequest, snap *Snapshot) (acc acceptance, plan *Plan, err error) {
	s, err := observe(tx, op.InstanceID, op.BindingID)
	if err != nil {
		return acc, nil, err
	}
	if s.inst == nil || s.bind == nil {
		return acc, nil, goneBinding(op.BindingID)
	}
	if err := sameBinding(tx, &s, req.ServiceID, req.PlanID); err != nil {
		return acc, nil, err
	}
	acc.op, acc.inst, acc.bind = op, s.inst, s.bind
	if acc.verdict, err = decideUnbind(&s, op.BindingID); err != nil {
		return acc, nil, err
	}
	if plan, err = b.removable(tx, snap, s.bind.ServiceID, s.bind.PlanID, s.bind.Definition); err != nil {
		return acc, nil, err
	}
	if snap.Plan(req.ServiceID, req.PlanID) == nil {
		if err := checkAsync(plan, VerbUnbind, req.Caller); err != nil {
			return acc, nil, err
		}
	}
	if acc.kind != verdictNew {
		acc.op = acc.join
		return acc, plan, adoptRevoke(tx, acc.join, op)
	}
	op.Backend, op.Definition = s.bind.Backend, plan.Definition.Digest
	op.Wanted = Wanted{ServiceID: s.bind.ServiceID, PlanID: s.bind.PlanID}
	s.bind.LastOperation = op.ID
	if err := tx.PutBinding(s.bind); err != nil {
		return acc, nil, err
	}
	acc.call, err = b.admit(tx, fx, &work{op: op, inst: s.inst, bind: s.bind, plan: plan}, &s, acc.cancel)
	return acc, plan, err
}

// sameBinding checks that the ids of a request are those of the binding; the plan
// may be the one that the instance has by now.
func sameBinding(tx Tx, s *situation, serviceID, planID string) error {
	if serviceID != s.bind.ServiceID {
		return invalid("/service_id", "the binding belongs to the service %q", s.bind.ServiceID)
	}
	if planID == s.bind.PlanID {
		return nil
	}
	err := sameForDelete(tx, s, serviceID, planID)
	if refusal(err) != nil {
		return invalid("/plan_id", "the binding has the plan %q", s.bind.PlanID)
	}
	return err
}
