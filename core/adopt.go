package core

import (
	"context"
	"encoding/json"
	"slices"
)

// AdoptRequest asks to make something that exists at a backend a service instance. The
// inputs that the plan renders from the parameters must name it.
type AdoptRequest struct {
	InstanceID                  string // the new instance's
	ServiceID, PlanID           string
	OrganizationGUID, SpaceGUID string
	Parameters                  json.RawMessage // an object; nil if there are none
}

// AdoptAnswer is how an adoption stands.
type AdoptAnswer struct {
	// Outcome is Created, Unchanged (it is that instance already) or Accepted (the work goes on).
	Outcome   Outcome
	Operation string // "" with Unchanged
}

// Adopt makes something that exists at the backend, and that carries nobody's mark, a
// service instance: an operation like a provision, with the same checks and the same
// journal, whose plugin call is Adopt. Afterwards the instance is like any other. A repeat
// joins the running operation. With AcceptsIncomplete it waits a moment for the end (Config.FastAnswer),
// else as long as a synchronous request may (Config.SyncBudget); the plan's async is for platforms.
//
// Until the operation has succeeded, the thing is not the broker's: a failed adopt is
// never undone, and a deprovision of what is half adopted only forgets it, since
// the plugin would remove what was there before. At most the plugin's mark is left, which
// an adopt under the same id takes up again.
//
// Errors are *Error: those of Broker.Provision, CodeConflict also for an id whose
// provision failed, and CodeUnprocessable if the plugin cannot adopt.
func (b *Broker) Adopt(ctx context.Context, by Caller, req AdoptRequest) (answer AdoptAnswer, err error) {
	leave, err := b.enter()
	if err != nil {
		return answer, err
	}
	defer leave()
	defer func() { b.auditOperator(by, string(VerbAdopt), req.InstanceID, answer.Operation, err) }()
	plan, wanted, err := checkProvision(b.Catalog(), ProvisionRequest{ServiceID: req.ServiceID, PlanID: req.PlanID, Parameters: req.Parameters,
		OrganizationGUID: req.OrganizationGUID, SpaceGUID: req.SpaceGUID})
	if err != nil {
		return answer, err
	}
	if err := b.capable(plan.Service.Backend, CapabilityAdopt); err != nil {
		return answer, err
	}
	wanted.Adopt = true
	r := &request{Caller: by, verb: VerbProvision, instanceID: req.InstanceID, serviceID: req.ServiceID, planID: req.PlanID}
	acc, w, err := b.begun(ctx, r, plan, wanted)
	if err != nil {
		return answer, err
	}
	w.may202 = by.AcceptsIncomplete
	instance, err := b.answerInstance(ctx, r, acc, w)
	return AdoptAnswer{Outcome: instance.Outcome, Operation: r.operation}, err
}

// capable refuses what the backend's plugin did not announce.
func (b *Broker) capable(backend, capability string) error {
	desc, ok := b.cfg.Backends.Describe(backend)
	switch {
	case !ok:
		return Errorf(CodeUnavailable, "The plugin of the backend %q was never described.", backend).
			WithHint("See its state among the backends.")
	case !desc.Can(capability):
		return Errorf(CodeUnprocessable, "The plugin of the backend %q cannot %s.", backend, capability).
			WithHint("It does not have the capability %q.", capability)
	}
	return nil
}

// halfAdopted tells whether an adopt was begun for an instance and has not succeeded.
// decideProvision sees to it that nothing else was tried on such an instance before.
func halfAdopted(inst *Instance) bool {
	return !inst.Ready && slices.ContainsFunc(inst.Attempted, func(a Attempt) bool { return a.Verb == VerbAdopt })
}

// leftOfAdopt says what a deprovision of a half-adopted instance leaves.
func leftOfAdopt(inst *Instance) string {
	return "what was to be adopted as instance " + inst.ID + ", as it was; it may carry the instance's mark"
}

// finishAdoptFailed ends a failed adopt without undoing anything. What the
// caller can correct left everything as it was (the contract says so): no row is left.
func (b *Broker) finishAdoptFailed(tx Tx, fx *effects, w *work, e *Error) error {
	left := leftAttempt
	if userCaused(e) && len(w.inst.Attempted) == 0 {
		left = leftNothing
	}
	return b.finishFailed(tx, fx, w, e, left)
}
