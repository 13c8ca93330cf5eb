package core

import (
	"time"
)

// enterUndo takes a failed provision, update or bind into the phase in which the
// plugin removes what it may have made. e is what the caller is told afterwards.
func (b *Broker) enterUndo(tx Tx, w *work, e *Error) error {
	op, now := w.op, b.clock.Now()
	leaveAttempt(w)
	switch op.Verb {
	case VerbProvision:
		op.Wanted.Undo = b.deprovisionInputs(tx, w.plan, w.inst, op.Identity)
	case VerbUpdate:
		op.Wanted.Undo = w.inst.Applied.Inputs
	case VerbBind:
		op.Wanted.Undo = b.unbindInputs(tx, w.plan, w.inst, w.bind, op.Identity)
	}
	op.Phase, op.Error = PhaseUndo, e
	op.Handle, op.Failures, op.NextAt, op.ProgressText = nil, 0, time.Time{}, ""
	if err := w.put(tx); err != nil {
		return err
	}
	if err := tx.UpdateOperation(op); err != nil {
		return err
	}
	return step(tx, op, now, StepUndo, e.Message, e.Detail)
}

// put writes the rows of the subject back.
func (w *work) put(tx Tx) error {
	if w.op.BindingID != "" {
		return tx.PutBinding(w.bind)
	}
	return tx.PutInstance(w.inst)
}

// clean tells whether nothing of the subject can be at the backend.
func (w *work) clean() bool {
	if w.bind != nil {
		return !traces(w.bind)
	}
	return w.inst.Applied.Inputs == nil && len(w.inst.Attempted) == 0
}

// finishUndone ends an operation after its attempt was taken back.
func (b *Broker) finishUndone(tx Tx, fx *effects, w *work, res Result) error {
	op := w.op
	switch op.Verb {
	case VerbProvision:
		w.inst.Attempted, w.inst.Applied = nil, Applied{}
		if err := b.release(tx, op.Backend, op.InstanceID, nil); err != nil {
			return err
		}
	case VerbUpdate:
		w.inst.Attempted = nil
		if res.Outputs != nil {
			w.inst.Applied = res.applied(w.inst.Applied.Inputs)
		}
		if err := b.release(tx, op.Backend, op.InstanceID, w.inst.Applied.Inputs); err != nil {
			return err
		}
	case VerbBind:
		w.bind.Attempted, w.bind.Applied = nil, Applied{}
	}
	return b.finishFailed(tx, fx, w, op.Error, leftNothing)
}

// finishNotUndone ends an operation whose attempt could not be taken back: the
// caller gets a 5xx, so that the platform cleans up with a DELETE.
func (b *Broker) finishNotUndone(tx Tx, fx *effects, w *work, undo *Error) error {
	e := *w.op.Error
	e.Code, e.Backend = CodeFailed, false
	e.Hint = "What was begun could not be undone; delete it."
	if w.op.Verb == VerbUpdate {
		e.Hint = "What was begun could not be undone; send the update again, or one that repairs it."
	}
	return b.finishFailed(tx, fx, w, e.WithDetail("%s; undo: %s", w.op.Error.Error(), undo.Error()), leftAttempt)
}
