package core

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Poll says how an operation stands: the one that the request names, or the newest
// one of the instance or binding if it names none that belongs to it. A failure
// that is told counts as reported. CodeNotFound if nothing is known of the subject.
func (b *Broker) Poll(ctx context.Context, req PollRequest) (OperationView, error) {
	leave, err := b.enter()
	if err != nil {
		return OperationView{}, err
	}
	defer leave()
	var op, before *Operation
	gone, never := false, false
	err = b.view(ctx, func(tx Tx) error {
		if op, err = polled(tx, req); err != nil || op == nil {
			return err
		}
		if before, err = b.waitsFor(tx, op); err != nil || op.Verb != VerbDeprovision || req.BindingID == "" {
			return err
		}
		gone, never, err = joinedUnbind(tx, op, req.BindingID)
		return err
	})
	if err != nil {
		return OperationView{}, err
	}
	if op == nil || never {
		if req.BindingID != "" {
			return OperationView{}, noBinding(req.BindingID)
		}
		return OperationView{}, noInstance(req.InstanceID)
	}
	if gone { // the deprovision that the unbind joined has unbound it already
		return OperationView{State: "succeeded", Verb: VerbUnbind, Description: "The binding is deleted."}, nil
	}
	if op.State == OperationFailed && !op.Reported && op.BindingID == req.BindingID {
		b.told(ctx, op)
	}
	return b.operationView(op, before, req.BindingID != ""), nil
}

// joinedUnbind tells how a deprovision stands for an unbind that joined it: gone, if it has taken
// the binding away; never, if no such binding is known. What it says of a deprovision that has
// failed stays so, whatever became of the binding since.
func joinedUnbind(tx Tx, op *Operation, bindingID string) (gone, never bool, err error) {
	bind, err := found(tx.Binding(op.InstanceID, bindingID))
	if err != nil {
		return false, false, err
	}
	last, err := found(tx.LatestOperation(op.InstanceID, bindingID))
	switch {
	case err != nil:
		return false, false, err
	case bind == nil && last == nil:
		return false, true, nil
	case op.State != OperationFailed:
		return bind == nil, false, nil
	case op.Calls == 0 || op.Phase == PhaseCheck:
		return false, false, nil
	case op.Phase != PhaseUnbind:
		return true, false, nil
	}
	steps, err := tx.Steps(op.ID)
	calls := slices.DeleteFunc(steps, func(s *Step) bool { return s.Kind != StepCall })
	if err != nil || len(calls) == 0 {
		return false, false, err
	}
	// Bindings go one after the other: the one of the last call is the one that failed.
	this := func(s *Step) bool { return s.Text == unbindText(bindingID) }
	return slices.ContainsFunc(calls, this) && !this(calls[len(calls)-1]), false, nil
}

// unbindText is how the timeline calls the unbind of a binding in a deprovision.
func unbindText(bindingID string) string { return string(VerbUnbind) + " of binding " + bindingID }

// polled finds the operation that a poll asks for. Words that are no id of an
// operation of the subject mean the newest one.
func polled(tx Tx, req PollRequest) (*Operation, error) {
	if req.Operation != "" {
		op, err := found(tx.Operation(req.Operation))
		if err != nil {
			return nil, err
		}
		joined := req.BindingID != "" && op != nil && op.Verb == VerbDeprovision
		if op != nil && op.InstanceID == req.InstanceID && (op.BindingID == req.BindingID || joined) && !leftNoTrace(op) {
			return op, nil
		}
	}
	return newestTold(tx, req.InstanceID, req.BindingID)
}

// newestTold is the newest operation of the subject that a platform can ask for.
func newestTold(tx Tx, instanceID, bindingID string) (*Operation, error) {
	op, err := found(tx.LatestOperation(instanceID, bindingID))
	if err != nil || op == nil || !leftNoTrace(op) {
		return op, err
	}
	older, err := tx.Operations(OperationFilter{InstanceID: instanceID, BindingID: bindingID, Limit: maxOperations})
	if err != nil {
		return nil, err
	}
	for _, op := range older {
		if op.BindingID == bindingID && !leftNoTrace(op) {
			return op, nil
		}
	}
	return nil, nil
}

// maxOperations is the longest page of Tx.Operations.
const maxOperations = 1000

// leftNoTrace tells whether an operation is none to a platform: a provision or bind that
// is answered with a 4xx, and of which nobody was told 202, leaves nothing behind
// (ERR-08); and of the broker's own ones no platform knows.
func leftNoTrace(op *Operation) bool {
	return op.Wanted.Revoke || (op.Verb == VerbProvision || op.Verb == VerbBind) &&
		op.State == OperationFailed && !op.Detached && op.Error != nil && refused(op.Error)
}

// waitsFor gives the operation that a queued one waits for.
func (b *Broker) waitsFor(tx Tx, op *Operation) (*Operation, error) {
	if !op.State.Unfinished() || op.Calls > 0 {
		return nil, nil
	}
	unfinished, err := tx.Unfinished(op.InstanceID)
	if err != nil {
		return nil, err
	}
	return b.blockedBy(op, unfinished), nil
}

// told journals that a poll told a failure.
func (b *Broker) told(ctx context.Context, op *Operation) {
	err := b.commit(ctx, writeReport, func(tx Tx, _ *effects) error {
		now, err := found(tx.Operation(op.ID))
		if err != nil || now == nil || now.Reported {
			return err
		}
		now.Reported = true
		return tx.UpdateOperation(now)
	})
	if err != nil {
		b.cfg.Log.Warn("a failure that was told cannot be journaled as told", "operation_id", op.ID, "error", err)
	}
}

// operationView words the state for the platform.
func (b *Broker) operationView(op, before *Operation, binding bool) OperationView {
	v := OperationView{Verb: op.Verb}
	switch op.State {
	case OperationSucceeded:
		v.State, v.Description = "succeeded", fmt.Sprintf("The %s succeeded.", op.Verb)
		return v
	case OperationFailed:
		v.State, v.Description = "failed", fmt.Sprintf("The %s failed.", op.Verb)
		if op.Error == nil {
			return v
		}
		v.Description = op.Error.WithID(op.ID).UserMessage()
		if !binding && (op.Verb == VerbUpdate || op.Verb == VerbDeprovision) {
			v.InstanceUsable = op.Error.InstanceUsable
		}
		if !binding && op.Verb == VerbUpdate {
			v.UpdateRepeatable = op.Error.UpdateRepeatable
		}
		return v
	}
	v.State, v.Description = "in progress", describe(op, before)
	v.RetryAfter = b.retryAfter(op)
	return v
}

// describe words what an unfinished operation does now.
func describe(op, before *Operation) string {
	switch {
	case op.State == OperationCancelling:
		return fmt.Sprintf("The %s is being cancelled.", op.Verb)
	case before != nil:
		return fmt.Sprintf("The %s waits for the %s to end.", op.Verb, before.Verb)
	case op.Phase == PhaseUndo:
		return fmt.Sprintf("The %s failed and is being undone.", op.Verb)
	case op.ProgressText != "" && op.ProgressPercent >= 0:
		return fmt.Sprintf("%s (%d %%)", op.ProgressText, op.ProgressPercent)
	case op.ProgressText != "":
		return op.ProgressText
	}
	return fmt.Sprintf("The %s is running.", op.Verb)
}

// retryAfter is when a poll makes sense: when the next plugin call is due, or the
// configured interval; whole seconds, at least one, at most a minute.
func (b *Broker) retryAfter(op *Operation) time.Duration {
	d := b.cfg.PollInterval
	if wait := op.NextAt.Sub(b.clock.Now()); !op.NextAt.IsZero() && wait > d {
		d = wait
	}
	seconds := (d + time.Second - 1).Truncate(time.Second)
	return min(max(seconds, time.Second), time.Minute)
}
