package core

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"
)

// leftover says what a failed operation left at the backend.
type leftover int

const (
	leftAttempt leftover = iota // something may be there: the attempt is remembered
	leftNothing                 // it was undone, or never begun
)

// finish ends an operation: the row, the timeline, and who is told.
func (b *Broker) finish(tx Tx, fx *effects, op *Operation, state OperationState, e *Error) error {
	op.State, op.Error, op.FinishedAt = state, e, b.clock.Now()
	if state == OperationSucceeded {
		op.Error = nil
	}
	op.NextAt = time.Time{}
	if err := tx.UpdateOperation(op); err != nil {
		return err
	}
	copied := *op
	fx.finished = append(fx.finished, &copied)
	if state == OperationSucceeded {
		return step(tx, op, op.FinishedAt, StepDone, string(op.Verb), "")
	}
	return step(tx, op, op.FinishedAt, StepFailed, e.UserMessage(), e.Detail)
}

// complete ends an operation that the plugin was done with: what was wanted is applied.
func (b *Broker) complete(tx Tx, fx *effects, w *work, res Result) error {
	op := w.op
	switch op.Verb {
	case VerbProvision, VerbUpdate:
		return b.completeInstance(tx, fx, w, res)
	case VerbBind:
		return b.completeBind(tx, fx, w, res)
	case VerbUnbind:
		if op.Wanted.Revoke {
			return b.completeRevoke(tx, fx, w)
		}
		if err := b.finish(tx, fx, op, OperationSucceeded, nil); err != nil {
			return err
		}
		return tx.DeleteBinding(op.InstanceID, op.BindingID)
	}
	if op.Left = res.Left; halfAdopted(w.inst) {
		op.Left = []string{leftOfAdopt(w.inst)}
	}
	if err := b.finish(tx, fx, op, OperationSucceeded, nil); err != nil {
		return err
	}
	return tx.DeleteInstance(op.InstanceID)
}

func (b *Broker) completeInstance(tx Tx, fx *effects, w *work, res Result) error {
	op, inst, want := w.op, w.inst, w.op.Wanted
	inst.Applied = res.applied(want.Inputs)
	inst.Attempted, inst.Ready, inst.Usable = nil, true, true
	inst.PlanID, inst.Definition, inst.Parameters = want.PlanID, op.Definition, want.Parameters
	inst.MaintenanceVersion = want.MaintenanceVersion
	if want.Context != nil {
		inst.Context = want.Context
	}
	if want.OrganizationGUID != "" {
		inst.OrganizationGUID = want.OrganizationGUID
	}
	if want.SpaceGUID != "" {
		inst.SpaceGUID = want.SpaceGUID
	}
	if inst.DashboardURL = want.DashboardURL; inst.DashboardURL == "" {
		inst.DashboardURL = res.DashboardURL
	}
	var err error
	if inst.Labels, err = overlaid(want.Labels, res.Labels); err != nil {
		return err
	}
	if inst.Attributes, err = overlaid(want.Attributes, res.Attributes); err != nil {
		return err
	}
	inst.UpdatedAt = b.clock.Now()
	if err := tx.PutInstance(inst); err != nil {
		return err
	}
	if err := b.release(tx, op.Backend, inst.ID, want.Inputs); err != nil {
		return err
	}
	op.Handle = nil
	return b.finish(tx, fx, op, OperationSucceeded, nil)
}

// overlaid gives the catalog's metadata with the plugin's over it.
func overlaid(ours json.RawMessage, theirs map[string]any) (json.RawMessage, error) {
	if len(theirs) == 0 {
		return ours, nil
	}
	return canonical(merged(object(ours), theirs, nil))
}

// completeBind stores the outputs and renders, once, what the application gets. If
// the templates cannot do that, the bind is undone.
func (b *Broker) completeBind(tx Tx, fx *effects, w *work, res Result) error {
	op, bind := w.op, w.bind
	bind.Applied = res.applied(op.Wanted.Inputs)
	r := b.newRenderer(tx, w.plan, w.inst, object(w.inst.Parameters), op.Wanted.Context, op.Identity, bind)
	result, err := r.bindingResult()
	if err != nil {
		e := refusal(err)
		if e == nil {
			return err
		}
		e = e.WithID(op.ID)
		if e.Code != CodeInvalid {
			e.Code = CodeFailed
		}
		return b.enterUndo(tx, w, e)
	}
	bind.Attempted, bind.Ready, bind.Result, bind.RevokeAt = nil, true, result, endOf(result)
	bind.UpdatedAt = b.clock.Now()
	if err := tx.PutBinding(bind); err != nil {
		return err
	}
	op.Handle = nil
	return b.finish(tx, fx, op, OperationSucceeded, nil)
}

// finishFailed ends an operation without success. Applied stays as it was; the
// attempt is remembered unless nothing of it is left. What the caller can correct,
// and was not told to go on, leaves no row.
func (b *Broker) finishFailed(tx Tx, fx *effects, w *work, e *Error, left leftover) error {
	op := w.op
	e = e.WithID(op.ID)
	if removes(op.Verb) && userCaused(e) {
		if op.Wanted.Effects || op.Handle != nil {
			e.Code, e.Backend = CodeFailed, false // a 4xx would say that nothing happened
		} else {
			left = leftNothing
		}
	}
	if left == leftAttempt && op.Calls > 0 && op.Phase != PhaseUndo {
		leaveAttempt(w)
		if err := w.leaveBindingAttempt(tx); err != nil {
			return err
		}
	}
	if op.Verb == VerbUnbind && !w.bind.RevokeAt.IsZero() {
		w.bind.RevokeAt = later(w.bind.RevokeAt, b.clock.Now().Add(revokeAgain))
	}
	if e.InstanceUsable != nil && !*e.InstanceUsable && (op.Verb == VerbUpdate || op.Verb == VerbDeprovision) {
		w.inst.Usable = false
	}
	op.Handle = nil
	if err := b.finish(tx, fx, op, OperationFailed, e); err != nil {
		return err
	}
	if op.Verb == VerbProvision {
		if err := b.failQueued(tx, fx, w, e); err != nil {
			return err
		}
	}
	forget := (left == leftNothing || op.Calls == 0) && !op.Detached && op.CancelledBy == "" ||
		left == leftNothing && op.Wanted.Adopt // no platform waits for its poll
	forget = forget && w.clean() // an earlier operation may have left something
	switch {
	case forget && op.Verb == VerbProvision:
		return tx.DeleteInstance(op.InstanceID)
	case forget && op.Verb == VerbBind:
		return tx.DeleteBinding(op.InstanceID, op.BindingID)
	}
	return w.put(tx)
}

// failQueued fails the binds that waited for a provision that failed.
func (b *Broker) failQueued(tx Tx, fx *effects, w *work, cause *Error) error {
	for _, op := range w.unfinished {
		if op.Verb != VerbBind || op.Calls > 0 || op.State != OperationPending {
			continue
		}
		e := Errorf(CodeUnprocessable, "The service instance was not provisioned: %s", cause.Message).WithID(op.ID)
		if err := b.finish(tx, fx, op, OperationFailed, e); err != nil {
			return err
		}
		if op.Detached {
			continue
		}
		if err := tx.DeleteBinding(op.InstanceID, op.BindingID); err != nil {
			return err
		}
	}
	return nil
}

// leaveAttempt remembers what the operation tried, with the last handle: the next
// operation on the same thing proves its ownership with it.
func leaveAttempt(w *work) {
	op := w.op
	a := Attempt{Operation: op.ID, Verb: op.Verb, Inputs: op.Wanted.Inputs, Handle: op.Handle}
	if op.Wanted.Adopt {
		a.Verb = VerbAdopt
	}
	switch {
	case op.BindingID != "":
		w.bind.Attempted = remembered(w.bind.Attempted, a)
	case op.Verb == VerbDeprovision && op.Phase != PhaseCall:
		// nothing was tried on the instance itself
	default:
		w.inst.Attempted = remembered(w.inst.Attempted, a)
	}
}

// remembered appends an attempt; one that differs in nothing but its operation
// replaces the older one, so that the list of a thing that is retried for ever stays short.
func remembered(list []Attempt, a Attempt) []Attempt {
	list = slices.DeleteFunc(slices.Clone(list), func(old Attempt) bool {
		return old.Verb == a.Verb && bytes.Equal(old.Inputs, a.Inputs) && bytes.Equal(old.Handle, a.Handle)
	})
	return append(list, a)
}

// leaveBindingAttempt remembers that a deprovision tried to unbind a binding.
func (w *work) leaveBindingAttempt(tx Tx) error {
	op := w.op
	if op.Verb != VerbDeprovision || op.Phase != PhaseUnbind || len(op.Wanted.Unbinds) == 0 {
		return nil
	}
	left := op.Wanted.Unbinds[0]
	bind, err := found(tx.Binding(op.InstanceID, left.BindingID))
	if err != nil || bind == nil {
		return err
	}
	bind.Attempted = remembered(bind.Attempted, Attempt{Operation: op.ID, Verb: VerbUnbind, Inputs: left.Inputs, Handle: op.Handle})
	return tx.PutBinding(bind)
}

// finishCancelled ends an operation that was superseded or cancelled, after its call has returned.
func (b *Broker) finishCancelled(tx Tx, fx *effects, w *work) error {
	e := Errorf(CodeCancelled, "The %s was cancelled since a deletion was requested.", w.op.Verb)
	if w.op.CancelledBy == operatorCancels {
		e = Errorf(CodeCancelled, "The %s was cancelled by an operator.", w.op.Verb)
	}
	return b.finishFailed(tx, fx, w, e, leftAttempt)
}

// finishLate ends an operation at its deadline.
func (b *Broker) finishLate(tx Tx, fx *effects, w *work) error {
	op := w.op
	e := Errorf(CodeDeadline, "The %s did not finish before its deadline.", op.Verb)
	if op.ProgressText != "" {
		e = Errorf(CodeDeadline, "The %s did not finish before its deadline; the last word was: %s", op.Verb, op.ProgressText)
	}
	if op.Phase == PhaseUndo {
		return b.finishNotUndone(tx, fx, w, e)
	}
	return b.finishFailed(tx, fx, w, e, leftAttempt)
}

// finishRefused ends an operation whose next call could not be prepared.
func (b *Broker) finishRefused(tx Tx, fx *effects, w *work, e *Error) error {
	if w.op.Calls == 0 {
		return b.finishFailed(tx, fx, w, e, leftNothing)
	}
	failed := *e
	failed.Code, failed.Backend = CodeFailed, false
	return b.finishFailed(tx, fx, w, &failed, leftAttempt)
}
