package core

import "slices"

// planOf finds the plan that a request names, CodeInvalid if the catalog lacks it.
func planOf(snap *Snapshot, serviceID, planID string) (*Plan, error) {
	if plan := snap.Plan(serviceID, planID); plan != nil {
		return plan, nil
	}
	if snap.Service(serviceID) == nil {
		return nil, invalid("/service_id", "no service with the id %q is in the catalog", serviceID)
	}
	return nil, invalid("/plan_id", "the service has no plan with the id %q", planID)
}

// invalid is a request with one thing wrong.
func invalid(pointer, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Message: "The request is not valid.",
		Violations: []Violation{{Pointer: pointer, Message: Errorf(CodeInvalid, format, args...).Message}}}
}

// checkParameters validates a request's parameters, all violations at once.
func checkParameters(schema Schema, params map[string]any) error {
	if schema == nil {
		return nil
	}
	found := schema.Validate(params)
	if len(found) == 0 {
		return nil
	}
	found = slices.Clone(found)
	for i := range found {
		found[i].Pointer = "/parameters" + found[i].Pointer
	}
	return (&Error{Code: CodeInvalid, Message: "The parameters are not valid", Violations: found}).
		WithHint("The plan's schema in the catalog says which parameters it takes.")
}

// checkMaintenance compares a version that the request names with the plan's (decision C-6).
func checkMaintenance(plan *Plan, asked MaintenanceRequest) error {
	if asked.Version == "" || asked.Version == versionOf(plan) {
		return nil
	}
	e := Errorf(CodeMaintenanceInfo, "The request names the maintenance_info version %q, but the plan has none.", asked.Version)
	if v := versionOf(plan); v != "" {
		e = Errorf(CodeMaintenanceInfo, "The request names the maintenance_info version %q, but the plan is at %q.", asked.Version, v)
	}
	return e.WithHint("Fetch the catalog again and repeat the request with its version.")
}

// versionOf is the plan's maintenance version, "" if it has none.
func versionOf(plan *Plan) string {
	if plan.MaintenanceInfo == nil {
		return ""
	}
	return plan.MaintenanceInfo.Version
}

// checkAsync refuses a synchronous request for a verb that the plan does only asynchronously.
func checkAsync(plan *Plan, verb Verb, c Caller) error {
	if plan.Async[verb] != AsyncRequired || c.AcceptsIncomplete {
		return nil
	}
	return Errorf(CodeAsyncRequired, "This service plan requires client support for asynchronous service operations.").
		WithHint("Send the request again with accepts_incomplete=true.")
}

// concurrency is the refusal of a request that op forbids.
func concurrency(op *Operation) *Error {
	e := Errorf(CodeConcurrency, "The Service Broker does not support concurrent requests that mutate the same resource.").
		WithHint("The %s of %s is running; send the request again when it is done.", op.Verb, subject(op.InstanceID, op.BindingID))
	return e.WithID(op.ID)
}

// subject names what an operation works on.
func subject(instanceID, bindingID string) string {
	if bindingID == "" {
		return "instance " + instanceID
	}
	return "binding " + bindingID
}

func noInstance(id string) *Error {
	return Errorf(CodeNotFound, "The service instance %q does not exist.", id)
}

func goneInstance(id string) *Error {
	return Errorf(CodeGone, "The service instance %q does not exist.", id)
}

func goneBinding(id string) *Error {
	return Errorf(CodeGone, "The service binding %q does not exist.", id)
}
