package core

import "context"

// Provision makes a service instance, or says that it is there already. Errors are
// *Error: CodeInvalid, CodeMaintenanceInfo, CodeAsyncRequired, CodeConflict (the id,
// or with Backend a name), CodeConcurrency, CodeOverloaded; what ended the work; or
// CodeStillRunning.
func (b *Broker) Provision(ctx context.Context, req ProvisionRequest) (answer InstanceAnswer, err error) {
	leave, err := b.enter()
	if err != nil {
		return answer, err
	}
	defer leave()
	r := &request{Caller: req.Caller, verb: VerbProvision, instanceID: req.InstanceID, serviceID: req.ServiceID, planID: req.PlanID}
	defer func() { b.auditRequest(r, answer.Outcome, err) }()

	plan, wanted, err := checkProvision(b.Catalog(), req)
	if err != nil {
		return answer, err
	}
	if err := checkAsync(plan, VerbProvision, req.Caller); err != nil {
		return answer, err
	}
	acc, w, err := b.begun(ctx, r, plan, wanted)
	if err != nil {
		return answer, err
	}
	w.may202 = may202(req.Caller, plan, VerbProvision)
	return b.answerInstance(ctx, r, acc, w)
}

// begun accepts a provision or an adoption.
func (b *Broker) begun(ctx context.Context, r *request, plan *Plan, wanted Wanted) (acceptance, waiting, error) {
	digest, err := RequestDigest(wanted.ServiceID, wanted.PlanID, wanted.Parameters, wanted.OrganizationGUID, wanted.SpaceGUID)
	if err != nil {
		return acceptance{}, waiting{}, err
	}
	acc, finished, release, err := b.accept(ctx, r, func(tx Tx, fx *effects, op *Operation) (acceptance, error) {
		op.Request, op.Wanted = digest, wanted
		return b.acceptProvision(tx, fx, op, plan)
	})
	return acc, waiting{op: acc.op, finished: finished, release: release, joined: acc.kind == verdictJoin}, err
}

// checkProvision checks what can be checked without the store, in the order of
// decision C-2, and gives what is wanted.
func checkProvision(snap *Snapshot, req ProvisionRequest) (*Plan, Wanted, error) {
	plan, err := planOf(snap, req.ServiceID, req.PlanID)
	if err != nil {
		return nil, Wanted{}, err
	}
	params, _, err := parametersOf(req.Parameters)
	if err != nil {
		return nil, Wanted{}, err
	}
	if err := checkParameters(plan.SchemaProvision, params); err != nil {
		return nil, Wanted{}, err
	}
	if err := checkMaintenance(plan, req.Maintenance); err != nil {
		return nil, Wanted{}, err
	}
	wanted := Wanted{ServiceID: plan.Service.ID, PlanID: plan.ID, OrganizationGUID: req.OrganizationGUID,
		SpaceGUID: req.SpaceGUID, MaintenanceVersion: versionOf(plan)}
	if wanted.Parameters, err = canonical(params); err != nil {
		return nil, Wanted{}, AsError(err)
	}
	if wanted.Context, err = canonical(object(req.Context)); err != nil {
		return nil, Wanted{}, AsError(err)
	}
	return plan, wanted, nil
}

// acceptProvision decides about a provision and journals it.
func (b *Broker) acceptProvision(tx Tx, fx *effects, op *Operation, plan *Plan) (acc acceptance, err error) {
	s, err := observe(tx, op.InstanceID, "")
	if err != nil {
		return acc, err
	}
	acc.inst, acc.op = s.inst, op
	if acc.verdict, err = decideProvision(&s, op.Request, op.Wanted.Adopt); err != nil || acc.kind != verdictNew {
		acc.op = acc.join
		return acc, err
	}
	if plan.Retired {
		return acc, invalid("/plan_id", "the plan %q is retired: it takes no new instances", plan.Name)
	}
	inst := b.provisional(op, plan, s.inst)
	if err := tx.PutInstance(inst); err != nil { // first, since stable secrets belong to the row
		return acc, err
	}
	r := b.newRenderer(tx, plan, inst, object(op.Wanted.Parameters), op.Wanted.Context, op.Identity, nil)
	if err := r.instanceWanted(plan.Provision, "provision", &op.Wanted); err != nil {
		return acc, err
	}
	inst.DashboardURL, inst.Labels, inst.Attributes = op.Wanted.DashboardURL, op.Wanted.Labels, op.Wanted.Attributes
	if err := tx.PutInstance(inst); err != nil {
		return acc, err
	}
	op.Backend, op.Definition = inst.Backend, plan.Definition.Digest
	acc.inst = inst
	acc.call, err = b.admit(tx, fx, &work{op: op, inst: inst, plan: plan}, &s, nil)
	return acc, err
}

// provisional is the row of an instance that is about to be made: its attributes are the wanted ones.
func (b *Broker) provisional(op *Operation, plan *Plan, before *Instance) *Instance {
	now := b.clock.Now()
	inst := &Instance{ID: op.InstanceID, CreatedAt: now}
	if before != nil {
		inst = before // a failed one: what it attempted is not forgotten
	}
	if inst.Applied.Inputs == nil && len(inst.Attempted) == 0 {
		inst.Backend = plan.Service.Backend
	}
	inst.ServiceID, inst.PlanID, inst.Definition = plan.Service.ID, plan.ID, plan.Definition.Digest
	inst.OrganizationGUID, inst.SpaceGUID = op.Wanted.OrganizationGUID, op.Wanted.SpaceGUID
	inst.Parameters, inst.Context = op.Wanted.Parameters, op.Wanted.Context
	inst.MaintenanceVersion = op.Wanted.MaintenanceVersion
	inst.Usable, inst.LastOperation, inst.UpdatedAt = true, op.ID, now
	return inst
}
