package core

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// operatorCancels stands in Operation.CancelledBy for an operator's cancel.
const operatorCancels = "operator"

// settle journals how a plugin call ended; again is true if the operation goes on.
func (b *Broker) settle(tx Tx, fx *effects, w *work, res Result, callErr *Error) (again bool, err error) {
	switch {
	case callErr != nil:
		return b.settleError(tx, fx, w, callErr)
	case res.Pending != nil:
		return b.settlePending(tx, fx, w, res.Pending)
	}
	return b.settleDone(tx, fx, w, res)
}

func (b *Broker) settlePending(tx Tx, fx *effects, w *work, p *Pending) (bool, error) {
	op, now := w.op, b.clock.Now()
	pause := p.RetryAfter
	if pause <= 0 && bytes.Equal(p.Handle, op.Handle) { // nothing new: no reason to fill the journal
		pause = b.backoff(0)
	}
	op.Handle, op.Failures, op.NextAt = p.Handle, 0, now.Add(pause).Truncate(time.Microsecond)
	if p.Text != "" {
		op.ProgressText = p.Text
	}
	if op.State == OperationCancelling {
		return false, b.finishCancelled(tx, fx, w)
	}
	if op.NextAt.After(op.Deadline) {
		op.NextAt = op.Deadline
	}
	if err := tx.UpdateOperation(op); err != nil {
		return false, err
	}
	text := fmt.Sprintf("again in %s", pause.Round(time.Millisecond))
	if p.Text != "" {
		text = p.Text + " (" + text + ")"
	}
	return true, step(tx, op, now, StepPending, text, "")
}

// settleDone goes on to the next phase, or ends the operation.
func (b *Broker) settleDone(tx Tx, fx *effects, w *work, res Result) (bool, error) {
	op := w.op
	superseded := op.State == OperationCancelling && op.CancelledBy != operatorCancels
	switch op.Phase {
	case PhaseCheck, PhaseUnbind:
		if err := b.phaseDone(tx, w); err != nil {
			return false, err
		}
		if op.State == OperationCancelling {
			return false, b.finishCancelled(tx, fx, w)
		}
		return true, tx.UpdateOperation(op)
	case PhaseUndo:
		return false, b.finishUndone(tx, fx, w, res)
	}
	if superseded {
		keepResult(w, res)
		return false, b.finishCancelled(tx, fx, w)
	}
	err := b.complete(tx, fx, w, res)
	return err == nil && op.State.Unfinished(), err
}

// phaseDone ends the check, or the unbind of one binding, of a deprovision.
func (b *Broker) phaseDone(tx Tx, w *work) error {
	op := w.op
	op.Handle, op.Failures, op.NextAt = nil, 0, time.Time{}
	if op.Phase == PhaseCheck {
		op.Phase = PhaseUnbind
		return step(tx, op, b.clock.Now(), StepDone, "check", "")
	}
	id := op.Wanted.Unbinds[0].BindingID
	op.Wanted.Unbinds, op.Wanted.Effects = op.Wanted.Unbinds[1:], true
	if err := tx.DeleteBinding(op.InstanceID, id); err != nil {
		return err
	}
	return step(tx, op, b.clock.Now(), StepDone, "unbind of binding "+id, "")
}

// keepResult keeps what a superseded call made after all, so that the operation
// that superseded it knows what is there.
func keepResult(w *work, res Result) {
	if w.op.Wanted.Adopt { // not the broker's to remove before the adopt succeeded: see halfAdopted
		return
	}
	applied := res.applied(w.op.Wanted.Inputs)
	switch w.op.Verb {
	case VerbProvision, VerbUpdate:
		w.inst.Applied = applied
	case VerbBind:
		w.bind.Applied = applied
	}
}

func (b *Broker) settleError(tx Tx, fx *effects, w *work, e *Error) (bool, error) {
	op := w.op
	if op.State == OperationCancelling {
		return false, b.finishCancelled(tx, fx, w)
	}
	switch e.Code {
	case CodeUnavailable, CodeCancelled, CodeOverloaded:
		return b.settleRetry(tx, w, e)
	case CodeDeadline:
		return false, b.finishLate(tx, fx, w)
	}
	if op.Phase == PhaseUndo {
		return false, b.finishNotUndone(tx, fx, w, e)
	}
	e = inUsersWords(fromPlugin(e, op), w)
	if op.Wanted.Adopt {
		return false, b.finishAdoptFailed(tx, fx, w, e)
	}
	if userCaused(e) && (op.Verb == VerbProvision || op.Verb == VerbUpdate || op.Verb == VerbBind) {
		return true, b.enterUndo(tx, w, e)
	}
	return false, b.finishFailed(tx, fx, w, e, leftAttempt)
}

// removes tells whether a verb takes something away, so that it cannot be undone.
func removes(verb Verb) bool { return verb == VerbDeprovision || verb == VerbUnbind }

// settleRetry plans the next call after an unavailable answer.
func (b *Broker) settleRetry(tx Tx, w *work, e *Error) (bool, error) {
	op, now := w.op, b.clock.Now()
	wait := max(b.backoff(op.Failures), e.RetryAfter)
	op.Failures++
	op.NextAt = now.Add(wait).Truncate(time.Microsecond)
	if op.NextAt.After(op.Deadline) {
		op.NextAt = op.Deadline
	}
	if removes(op.Verb) && op.Phase != PhaseCheck {
		op.Wanted.Effects = true // the call may have come half way
	}
	op.ProgressText = e.Message
	if err := tx.UpdateOperation(op); err != nil {
		return false, err
	}
	text := fmt.Sprintf("%s Trying again in %s.", e.Message, op.NextAt.Sub(now).Round(time.Millisecond))
	return true, step(tx, op, now, StepRetry, text, e.Detail)
}

// fromPlugin makes a plugin's error one of this operation. What the inputs name
// and does not exist is, to the caller, an invalid input.
func fromPlugin(e *Error, op *Operation) *Error {
	e = e.WithID(op.ID)
	e.Backend = true
	if e.Code == CodeNotFound {
		e.Code = CodeInvalid
	}
	return e
}

// inUsersWords lets violations that name inputs name parameters of the request instead,
// where an input is made of exactly one.
func inUsersWords(e *Error, w *work) *Error {
	if e.Code != CodeInvalid || len(e.Violations) == 0 || w.op.Wanted.Adopt {
		return e
	}
	t := inputsOf(w.plan, w.op.Verb)
	made, ok := t.(ParameterTemplate)
	if !ok {
		return e
	}
	c := *e
	c.Violations = slices.Clone(e.Violations)
	for i, v := range c.Violations {
		if parameter, ok := made.Parameter(v.Pointer); ok {
			c.Violations[i].Pointer = "/parameters" + parameter
			c.Message = "The parameters are not valid for the backend"
		}
	}
	return &c
}

// inputsOf is the template that a verb's inputs are rendered from; nil if there is none.
func inputsOf(plan *Plan, verb Verb) Template {
	switch {
	case verb == VerbBind:
		return plan.Bind
	case verb == VerbUpdate && plan.Update != nil:
		return plan.Update
	case verb == VerbProvision || verb == VerbUpdate:
		return plan.Provision
	}
	return nil
}

// userCaused tells whether the caller can do something about it, so that it is
// answered 4xx once nothing of the attempt is left.
func userCaused(e *Error) bool { return e.Code == CodeInvalid || e.Code == CodeConflict }
