package core

import "time"

// succeed fills in the row of a rotation: parameters and resource carry over from
// the predecessor, whose credentials stay valid beside the new ones.
func (x *bindingNow) succeed(tx Tx) (err error) {
	req, row := x.req, x.row
	if again := x.s.bind; again != nil && again.Predecessor == req.Predecessor && x.named(again.ServiceID, again.PlanID) {
		// The same rotation again, perhaps after the predecessor was deleted.
		*row = *again
		row.LastOperation, row.UpdatedAt = x.op.ID, x.b.clock.Now()
		if x.plan, err = x.b.currentPlan(tx, x.snap, row.ServiceID, row.PlanID, row.Definition); err != nil {
			return err
		}
		return checkAsync(x.plan, VerbBind, req.Caller)
	}
	old, err := found(tx.Binding(req.InstanceID, req.Predecessor))
	if err != nil {
		return err
	}
	if old == nil || !old.Ready {
		return invalid("/predecessor_binding_id", "the instance has no binding %q that could be rotated", req.Predecessor)
	}
	if req.Predecessor == req.BindingID {
		return invalid("/predecessor_binding_id", "a binding cannot be its own predecessor")
	}
	if expired(old, x.b.clock.Now()) {
		return invalid("/predecessor_binding_id", "the binding %q has expired", req.Predecessor)
	}
	inst := x.s.inst
	if !x.named(inst.ServiceID, inst.PlanID) && !x.named(old.ServiceID, old.PlanID) {
		return invalid("/plan_id", "service_id and plan_id, if given, must be those of the instance")
	}
	if x.plan, err = x.b.currentPlan(tx, x.snap, inst.ServiceID, inst.PlanID, inst.Definition); err != nil {
		return err
	}
	if !x.plan.BindingRotatable || !x.plan.Bindable {
		return invalid("/predecessor_binding_id", "bindings of the plan %q cannot be rotated", x.plan.Name)
	}
	if err := checkCarried(x.plan, old); err != nil {
		return err
	}
	row.ServiceID, row.PlanID = inst.ServiceID, inst.PlanID
	row.Parameters, row.Context, row.Resource = old.Parameters, old.Context, old.Resource
	return checkAsync(x.plan, VerbBind, req.Caller)
}

// checkCarried checks what a rotation takes over against the plan of today, which may
// ask for more than the one that the predecessor was made with.
func checkCarried(plan *Plan, old *Binding) error {
	if err := checkParameters(plan.SchemaBind, object(old.Parameters)); err != nil {
		e := AsError(err)
		e.Message = "The parameters that carry over from the predecessor are not valid any more"
		return e.WithHint("The plan has changed since; make a new binding with parameters that it takes.")
	}
	if plan.RequiresApp && object(old.Resource)["app_guid"] == nil {
		return requiresApp()
	}
	return nil
}

// named tells whether the ids of the request are absent or these.
func (x *bindingNow) named(serviceID, planID string) bool {
	return (x.req.ServiceID == "" || x.req.ServiceID == serviceID) && (x.req.PlanID == "" || x.req.PlanID == planID)
}

// expired tells whether a binding's expires_at has passed.
func expired(bind *Binding, now time.Time) bool {
	at := endOf(bind.Result)
	return !at.IsZero() && !now.Before(at)
}

// endOf is the result's expires_at; zero if it has none.
func endOf(result *BindingResult) time.Time {
	if result == nil || result.ExpiresAt == "" {
		return time.Time{}
	}
	at, err := time.Parse(osbTime, result.ExpiresAt)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}
