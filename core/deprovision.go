package core

import "context"

// Deprovision deletes a service instance in whatever state it is, with the bindings
// left behind. Errors are *Error: CodeGone if it does not exist, CodeInvalid,
// CodeAsyncRequired, CodeOverloaded; what ended the work (a refusal of the plugin
// is CodeConflict with Backend); or CodeStillRunning.
func (b *Broker) Deprovision(ctx context.Context, req DeprovisionRequest) (answer InstanceAnswer, err error) {
	leave, err := b.enter()
	if err != nil {
		return answer, err
	}
	defer leave()
	r := &request{Caller: req.Caller, verb: VerbDeprovision, instanceID: req.InstanceID, serviceID: req.ServiceID, planID: req.PlanID}
	defer func() { b.auditRequest(r, answer.Outcome, err) }()

	snap := b.Catalog()
	plan := snap.Plan(req.ServiceID, req.PlanID)
	if plan != nil {
		if err := checkAsync(plan, VerbDeprovision, req.Caller); err != nil {
			return answer, err
		}
	}
	acc, finished, release, err := b.accept(ctx, r, func(tx Tx, fx *effects, op *Operation) (acceptance, error) {
		acc, used, err := b.acceptDeprovision(tx, fx, op, req, snap)
		if used != nil {
			plan = used
		}
		return acc, err
	})
	if err != nil {
		return answer, err
	}
	return b.answerInstance(ctx, r, acc, waiting{op: acc.op, finished: finished, release: release,
		joined: acc.kind == verdictJoin, may202: may202(req.Caller, plan, VerbDeprovision)})
}

// acceptDeprovision decides about a deprovision and journals it.
func (b *Broker) acceptDeprovision(tx Tx, fx *effects, op *Operation, req DeprovisionRequest, snap *Snapshot) (acc acceptance, plan *Plan, err error) {
	s, err := observe(tx, op.InstanceID, "")
	if err != nil {
		return acc, nil, err
	}
	if s.inst == nil && s.last == nil { // never seen: the catalog is all there is to compare with
		if _, err := planOf(snap, req.ServiceID, req.PlanID); err != nil {
			return acc, nil, err
		}
	}
	if s.inst != nil {
		if err := sameForDelete(tx, &s, req.ServiceID, req.PlanID); err != nil {
			return acc, nil, err
		}
	}
	acc.op, acc.inst = op, s.inst
	if acc.verdict, err = decideDeprovision(&s, op.InstanceID); err != nil {
		return acc, nil, err
	}
	if plan, err = b.removable(tx, snap, s.inst.ServiceID, s.inst.PlanID, s.inst.Definition); err != nil {
		return acc, nil, err
	}
	if snap.Plan(req.ServiceID, req.PlanID) == nil {
		if err := checkAsync(plan, VerbDeprovision, req.Caller); err != nil {
			return acc, nil, err
		}
	}
	if acc.kind != verdictNew {
		acc.op = acc.join
		return acc, plan, nil
	}
	op.Backend, op.Definition = s.inst.Backend, plan.Definition.Digest
	op.Wanted = Wanted{ServiceID: s.inst.ServiceID, PlanID: s.inst.PlanID}
	s.inst.LastOperation = op.ID
	if err := tx.PutInstance(s.inst); err != nil {
		return acc, nil, err
	}
	acc.call, err = b.admit(tx, fx, &work{op: op, inst: s.inst, plan: plan}, &s, acc.cancel)
	return acc, plan, err
}

// sameInstance checks that the ids of a request are those of the instance: the applied
// plan, or the one that a running update is about to apply.
func sameInstance(s *situation, serviceID, planID string) error {
	if serviceID != s.inst.ServiceID {
		return invalid("/service_id", "the instance belongs to the service %q", s.inst.ServiceID)
	}
	if planID == s.inst.PlanID {
		return nil
	}
	if op := s.updating(); op != nil && op.Wanted.PlanID == planID {
		return nil
	}
	return invalid("/plan_id", "the instance has the plan %q", s.inst.PlanID)
}

// sameForDelete is sameInstance for a DELETE, which may also name the plan that the newest
// update wanted and did not reach: a platform that once did so, while the update ran,
// repeats its DELETE unchanged.
func sameForDelete(tx Tx, s *situation, serviceID, planID string) error {
	wrong := sameInstance(s, serviceID, planID)
	if wrong == nil || serviceID != s.inst.ServiceID {
		return wrong
	}
	updates, err := tx.Operations(OperationFilter{InstanceID: s.inst.ID, Verb: VerbUpdate, Limit: 1})
	if err != nil {
		return err
	}
	if len(updates) == 1 && updates[0].Wanted.PlanID == planID {
		return nil
	}
	return wrong
}

// updating is the running update of the instance.
func (s *situation) updating() *Operation {
	for _, op := range s.unfinished {
		if op.Verb == VerbUpdate {
			return op
		}
	}
	return nil
}
