package core

import (
	"context"
	"encoding/json"
)

// Bind makes a service binding, by itself or (with Predecessor) as the successor of
// another one. Errors are those of Provision, and CodeNotFound for an unknown
// instance, CodeRequiresApp, CodeUnprocessable for an instance that takes no bindings now.
func (b *Broker) Bind(ctx context.Context, req BindRequest) (answer BindingAnswer, err error) {
	leave, err := b.enter()
	if err != nil {
		return answer, err
	}
	defer leave()
	r := &request{Caller: req.Caller, verb: VerbBind, instanceID: req.InstanceID, bindingID: req.BindingID,
		serviceID: req.ServiceID, planID: req.PlanID}
	defer func() { b.auditRequest(r, answer.Outcome, err) }()

	snap := b.Catalog()
	if req.Predecessor == "" {
		if err := checkBind(snap, req); err != nil {
			return answer, err
		}
	}
	var plan *Plan
	acc, finished, release, err := b.accept(ctx, r, func(tx Tx, fx *effects, op *Operation) (acceptance, error) {
		x := &bindingNow{b: b, req: req, snap: snap, op: op}
		acc, err := x.accept(tx, fx)
		plan = x.plan
		return acc, err
	})
	if err != nil {
		return answer, err
	}
	return b.answerBinding(ctx, r, acc, waiting{op: acc.op, finished: finished, release: release,
		joined: acc.kind == verdictJoin, may202: may202(req.Caller, plan, VerbBind)})
}

// checkBind checks what can be checked without the store, in the order of decision C-2.
func checkBind(snap *Snapshot, req BindRequest) error {
	plan, err := planOf(snap, req.ServiceID, req.PlanID)
	if err != nil {
		return err
	}
	if !plan.Bindable {
		return invalid("/plan_id", "the plan %q cannot be bound", plan.Name)
	}
	params, _, err := parametersOf(req.Parameters)
	if err != nil {
		return err
	}
	if err := checkParameters(plan.SchemaBind, params); err != nil {
		return err
	}
	if plan.RequiresApp && req.AppGUID == "" {
		return requiresApp()
	}
	return checkAsync(plan, VerbBind, req.Caller)
}

func requiresApp() *Error {
	return Errorf(CodeRequiresApp, "This service supports generation of credentials through binding an application only.")
}

// bindingNow is one bind on its way through the accepting transaction.
type bindingNow struct {
	b    *Broker
	req  BindRequest
	snap *Snapshot
	op   *Operation

	s    situation
	plan *Plan
	row  *Binding // what the request asks for
	// unlike says why a new binding cannot be what the request asks for, though the same one is there.
	unlike error
}

// accept decides about a bind and journals it.
func (x *bindingNow) accept(tx Tx, fx *effects) (acc acceptance, err error) {
	op := x.op
	if x.s, err = observe(tx, op.InstanceID, op.BindingID); err != nil {
		return acc, err
	}
	if x.s.inst == nil {
		return acc, noInstance(op.InstanceID)
	}
	if err := x.ask(tx); err != nil {
		return acc, err
	}
	acc.op, acc.inst, acc.bind = op, x.s.inst, x.s.bind
	if acc.verdict, err = decideBind(&x.s, op.InstanceID, op.BindingID, x.row.Request); err != nil || acc.kind != verdictNew {
		acc.op = acc.join
		return acc, err
	}
	if x.unlike != nil {
		return acc, x.unlike
	}
	if x.s.bind != nil { // a failed one: what it attempted is not forgotten
		x.row.Attempted, x.row.Applied, x.row.CreatedAt = x.s.bind.Attempted, x.s.bind.Applied, x.s.bind.CreatedAt
	}
	if err := tx.PutBinding(x.row); err != nil {
		return acc, err
	}
	op.Request, op.Backend, op.Definition = x.row.Request, x.row.Backend, x.plan.Definition.Digest
	op.Wanted = Wanted{ServiceID: x.row.ServiceID, PlanID: x.row.PlanID, Parameters: x.row.Parameters, Context: x.row.Context}
	acc.bind = x.row
	acc.call, err = x.b.admit(tx, fx, &work{op: op, inst: x.s.inst, bind: x.row, plan: x.plan}, &x.s, nil)
	return acc, err
}

// ask fills in the row that the request asks for: from the request, or from the predecessor.
func (x *bindingNow) ask(tx Tx) (err error) {
	inst, req, now := x.s.inst, x.req, x.b.clock.Now()
	x.row = &Binding{InstanceID: inst.ID, ID: req.BindingID, ServiceID: req.ServiceID, PlanID: req.PlanID, Backend: inst.Backend,
		Predecessor: req.Predecessor, LastOperation: x.op.ID, CreatedAt: now, UpdatedAt: now}
	if req.Predecessor != "" {
		err = x.succeed(tx)
	} else {
		err = x.askAlone()
	}
	if err != nil {
		return err
	}
	if x.plan == nil {
		if x.plan = x.snap.Plan(x.row.ServiceID, x.row.PlanID); x.plan == nil {
			return invalid("/plan_id", "the service has no plan with the id %q", x.row.PlanID)
		}
	}
	x.row.Definition = x.plan.Definition.Digest
	if x.row.Request == "" {
		x.row.Request, err = bindDigest(x.row)
	}
	return err
}

// askAlone takes everything from the request.
func (x *bindingNow) askAlone() (err error) {
	req := x.req
	if err := sameInstance(&x.s, req.ServiceID, req.PlanID); err != nil {
		// The instance has another plan by now; the same request again is still the same.
		if again := x.s.bind; again == nil || again.ServiceID != req.ServiceID || again.PlanID != req.PlanID {
			return err
		}
		x.unlike = err
	}
	params, _, err := parametersOf(req.Parameters)
	if err != nil {
		return err
	}
	if x.row.Parameters, err = canonical(params); err != nil {
		return err
	}
	if x.row.Context, err = canonical(object(req.Context)); err != nil {
		return err
	}
	x.row.Resource, err = resourceOf(req)
	return err
}

// resourceOf is the bind_resource as it is compared: with the app_guid, from wherever it came.
func resourceOf(req BindRequest) (json.RawMessage, error) {
	resource := object(req.Resource)
	delete(resource, "app_guid")
	if req.AppGUID != "" {
		resource["app_guid"] = req.AppGUID
	}
	return canonical(resource)
}

// bindDigest identifies a bind.
func bindDigest(row *Binding) (string, error) {
	return RequestDigest(row.ServiceID, row.PlanID, row.Parameters, row.Resource, row.Predecessor)
}
