package core

import (
	"bytes"
	"context"
	"encoding/json"
)

// Update changes a service instance. Errors are those of Provision, and CodeNotFound
// for an unknown instance and CodeUnprocessable for a change that the instance cannot take.
func (b *Broker) Update(ctx context.Context, req UpdateRequest) (answer InstanceAnswer, err error) {
	leave, err := b.enter()
	if err != nil {
		return answer, err
	}
	defer leave()
	r := &request{Caller: req.Caller, verb: VerbUpdate, instanceID: req.InstanceID, serviceID: req.ServiceID, planID: req.PlanID}
	defer func() { b.auditRequest(r, answer.Outcome, err) }()

	snap := b.Catalog()
	if snap.Service(req.ServiceID) == nil {
		return answer, invalid("/service_id", "no service with the id %q is in the catalog", req.ServiceID)
	}
	if req.PlanID != "" {
		if _, err := planOf(snap, req.ServiceID, req.PlanID); err != nil {
			return answer, err
		}
	}
	var target *Plan
	acc, finished, release, err := b.accept(ctx, r, func(tx Tx, fx *effects, op *Operation) (acceptance, error) {
		u := &updating{b: b, req: req, snap: snap, op: op}
		acc, err := u.accept(tx, fx)
		target = u.target
		return acc, err
	})
	if err != nil {
		return answer, err
	}
	return b.answerInstance(ctx, r, acc, waiting{op: acc.op, finished: finished, release: release,
		joined: acc.kind == verdictJoin, may202: may202(req.Caller, target, VerbUpdate)})
}

// updating is one update on its way through the accepting transaction.
type updating struct {
	b    *Broker
	req  UpdateRequest
	snap *Snapshot
	op   *Operation

	s               situation
	current, target *Plan
	params          map[string]any // of the request
	removed         []string
}

// accept decides about an update and journals it.
func (u *updating) accept(tx Tx, fx *effects) (acc acceptance, err error) {
	if u.s, err = observe(tx, u.op.InstanceID, ""); err != nil {
		return acc, err
	}
	if u.s.inst == nil {
		return acc, noInstance(u.op.InstanceID)
	}
	if err := u.check(tx); err != nil {
		return acc, err
	}
	acc.op, acc.inst = u.op, u.s.inst
	if acc.verdict, err = decideUpdate(&u.s, u.op.InstanceID, u.op.Request); err != nil || acc.kind != verdictNew {
		acc.op = acc.join
		return acc, err
	}
	if u.target.ID != u.current.ID && !u.current.PlanUpdateable {
		return acc, Errorf(CodeUnprocessable, "The plan %q does not allow a change of the plan.", u.current.Name).
			WithHint("plan_updateable is false in the catalog; make a new instance of the other plan.")
	}
	if u.target.Service.Backend != u.s.inst.Backend {
		return acc, Errorf(CodeUnprocessable, "The service has moved to another backend; this instance cannot follow it.").
			WithHint("Make a new instance.")
	}
	if err := u.want(tx); err != nil {
		return acc, err
	}
	if u.contextRefused() {
		return acc, Errorf(CodeUnprocessable, "The service takes no updates of the context alone.").
			WithHint("allow_context_updates is false in the catalog; nothing was changed.")
	}
	if u.changesNothing() {
		acc.kind, acc.op = verdictUnchanged, nil
		return acc, nil
	}
	inst := u.s.inst
	inst.LastOperation = u.op.ID
	if err := tx.PutInstance(inst); err != nil {
		return acc, err
	}
	acc.call, err = u.b.admit(tx, fx, &work{op: u.op, inst: inst, plan: u.target}, &u.s, nil)
	return acc, err
}

// check checks the request against the catalog and the instance, in the order of decision C-2.
func (u *updating) check(tx Tx) (err error) {
	inst, req := u.s.inst, u.req
	if req.ServiceID != inst.ServiceID {
		return invalid("/service_id", "the instance belongs to the service %q", inst.ServiceID)
	}
	if u.current, err = u.b.currentPlan(tx, u.snap, inst.ServiceID, inst.PlanID, inst.Definition); err != nil {
		return err
	}
	u.target = u.current
	if req.PlanID != "" && req.PlanID != inst.PlanID {
		if u.target, err = planOf(u.snap, req.ServiceID, req.PlanID); err != nil {
			return err
		}
		if u.target.Retired {
			return invalid("/plan_id", "the plan %q is retired: it takes no new instances", u.target.Name)
		}
	}
	if u.params, u.removed, err = parametersOf(req.Parameters); err != nil {
		return err
	}
	if req.Parameters != nil {
		if err := checkParameters(u.target.SchemaUpdate, u.params); err != nil {
			return err
		}
	}
	if err := checkMaintenance(u.target, req.Maintenance); err != nil {
		return err
	}
	if err := checkAsync(u.target, VerbUpdate, req.Caller); err != nil {
		return err
	}
	u.op.Request, err = u.digest()
	return err
}

// digest identifies the update. The context counts only where it can be a change of its own.
func (u *updating) digest() (string, error) {
	var context json.RawMessage
	if u.target.Service.AllowContextUpdates {
		context = u.req.Context
	}
	null := map[string]any{} // removals differ from absence here
	for _, key := range u.removed {
		null[key] = true
	}
	return RequestDigest(u.req.ServiceID, u.req.PlanID, u.req.Parameters != nil, u.params, null, u.req.Maintenance.Version, context)
}

// want renders what the update is to bring about.
func (u *updating) want(tx Tx) (err error) {
	op, inst, req := u.op, u.s.inst, u.req
	all := merged(object(inst.Parameters), u.params, u.removed)
	w := Wanted{ServiceID: inst.ServiceID, PlanID: u.target.ID, MaintenanceVersion: inst.MaintenanceVersion}
	if req.Maintenance.Version != "" || u.target.ID != u.current.ID {
		w.MaintenanceVersion = versionOf(u.target)
	}
	if w.Parameters, err = canonical(all); err != nil {
		return err
	}
	context := inst.Context
	if req.Context != nil {
		if w.Context, err = canonical(object(req.Context)); err != nil {
			return err
		}
		context = w.Context
		w.OrganizationGUID, _ = object(req.Context)["organization_guid"].(string)
		w.SpaceGUID, _ = object(req.Context)["space_guid"].(string)
	}
	template, place := u.target.Update, "update"
	if template == nil {
		template, place = u.target.Provision, "provision"
	}
	r := u.b.newRenderer(tx, u.target, inst, all, context, op.Identity, nil)
	if err := r.instanceWanted(template, place, &w); err != nil {
		return err
	}
	op.Wanted, op.Backend, op.Definition = w, inst.Backend, u.target.Definition.Digest
	return nil
}

// contextRefused tells whether the request asks for another context and nothing else
// of a service that does not let it change. A context beside other changes is no
// request to change it: platforms send it with everything.
func (u *updating) contextRefused() bool {
	alone := u.req.PlanID == "" && u.req.Parameters == nil && u.req.Maintenance.Version == ""
	return alone && !u.target.Service.AllowContextUpdates &&
		u.op.Wanted.Context != nil && !bytes.Equal(u.op.Wanted.Context, u.s.inst.Context)
}

// changesNothing tells whether the instance is already as the update wants it, and
// its last change was a clean success. A context alone counts only where the service allows it.
func (u *updating) changesNothing() bool {
	inst, w := u.s.inst, u.op.Wanted
	if !inst.Usable || len(inst.Attempted) > 0 {
		return false
	}
	if u.target.Service.AllowContextUpdates && w.Context != nil && !bytes.Equal(w.Context, inst.Context) {
		return false
	}
	if u.req.PlanID == "" && u.req.Parameters == nil && u.req.Maintenance.Version == "" {
		return true // nothing is asked for
	}
	return w.PlanID == inst.PlanID && bytes.Equal(w.Parameters, inst.Parameters) &&
		w.MaintenanceVersion == inst.MaintenanceVersion && bytes.Equal(w.Inputs, inst.Applied.Inputs)
}

// currentPlan is the catalog's present word on a plan that an instance has; where the
// catalog lost it, the stored definition.
func (b *Broker) currentPlan(tx Tx, snap *Snapshot, serviceID, planID, digest string) (*Plan, error) {
	if plan := snap.Plan(serviceID, planID); plan != nil {
		return plan, nil
	}
	return b.pinned(tx, digest)
}
