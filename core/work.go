package core

import (
	"encoding/json"
	"errors"
	"time"
)

// work is an operation with everything that its next step reads, loaded in the
// transaction that takes the step.
type work struct {
	op   *Operation
	inst *Instance
	bind *Binding // of bind and unbind
	plan *Plan    // nil if its definition cannot be read: unpinned says why
	// unpinned holds up every step but the end of a cancelled operation.
	unpinned error
	// unfinished are the operations of the instance, oldest first, op among them.
	unfinished []*Operation
	// fresh: op is being accepted and has no row yet; last is the one before it on the
	// same thing, finished or not, nil if there was none.
	fresh bool
	last  *Operation
}

// journal writes the operation; one that is being accepted gets its row only now, as
// it will be, which saves writing it twice.
func (w *work) journal(tx Tx) error {
	if !w.fresh {
		return tx.UpdateOperation(w.op)
	}
	w.fresh = false
	if err := tx.InsertOperation(w.op); err != nil {
		return err
	}
	return step(tx, w.op, w.op.CreatedAt, StepAccepted, acceptedText(w.op), "")
}

// load reads the work of an operation of the unfinished ones of its instance; nil if there is nothing to do for it
// any more: an operator purged it.
func (b *Broker) load(tx Tx, op *Operation, unfinished []*Operation) (w *work, err error) {
	w = &work{op: op, unfinished: unfinished}
	if w.inst, err = found(tx.Instance(op.InstanceID)); err != nil || w.inst == nil {
		return nil, err
	}
	if op.BindingID != "" {
		if w.bind, err = found(tx.Binding(op.InstanceID, op.BindingID)); err != nil || w.bind == nil {
			return nil, err
		}
	}
	if w.plan, err = b.pinned(tx, op.Definition); refusal(err) != nil {
		w.unpinned, err = err, nil
	}
	return w, err
}

// pinned gives the plan of a stored definition. Where it cannot be read any more (the
// row is damaged, or of a newer broker), the error is one of those that refusal knows.
func (b *Broker) pinned(tx Tx, digest string) (*Plan, error) {
	def, err := tx.Definition(digest)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if err == nil {
		var plan *Plan
		if plan, err = b.cfg.Catalog.Plan(def); err == nil {
			return plan, nil
		}
	}
	return nil, AsError(err)
}

// removable is the plan that a deletion runs with: the one that the thing was made with, or,
// where that cannot be read any more, the catalog's present word on it.
func (b *Broker) removable(tx Tx, snap *Snapshot, serviceID, planID, digest string) (*Plan, error) {
	plan, err := b.pinned(tx, digest)
	if now := snap.Plan(serviceID, planID); now != nil && refusal(err) != nil {
		return now, nil
	}
	return plan, err
}

// pendingCall is a plugin call whose start the journal holds.
type pendingCall struct {
	call  Call
	phase Phase
	// limit is how long the call may take.
	limit time.Duration
	op    Operation // as it was when the call was journaled
}

// decision is what an operation does next.
type decision struct {
	call *pendingCall
	// due, without a call, is when to look again; zero: the operation's goroutine ends.
	due time.Time
}

// next decides the next step of an operation and records it: the start of a plugin
// call, or the end of the operation. again is true after an earlier call of the same
// run and phase: only then the deadline counts, so that an operation that was
// resumed after its deadline gets one full call. An *Error that begin gives is
// returned as a refusal: nothing was done yet.
func (b *Broker) next(tx Tx, fx *effects, w *work, again bool) (decision, error) {
	op, now := w.op, b.clock.Now()
	switch {
	case op.State == OperationCancelling:
		return decision{}, b.finishCancelled(tx, fx, w)
	case b.blockedBy(op, w.unfinished) != nil:
		return decision{}, nil
	case op.NextAt.After(now):
		return decision{due: op.NextAt}, nil
	}
	if op.Calls == 0 {
		if err := b.begin(tx, w, now); err != nil {
			return decision{}, err
		}
	}
	if again && !now.Before(op.Deadline) {
		return decision{}, b.finishLate(tx, fx, w)
	}
	call, err := b.nextCall(tx, w)
	if err != nil {
		return decision{}, err
	}
	if call == nil {
		if w.fresh {
			err = w.journal(tx)
		}
		if err == nil {
			err = b.complete(tx, fx, w, Result{})
		}
		return decision{}, err
	}
	return b.recordStart(tx, w, call, now, again)
}

// recordStart journals that a call starts, under a new fence.
func (b *Broker) recordStart(tx Tx, w *work, call *Call, now time.Time, again bool) (decision, error) {
	op := w.op
	fence, err := tx.NextFence(op.InstanceID)
	if err != nil {
		return decision{}, err
	}
	op.Fence, op.Calls, op.NextAt = fence, op.Calls+1, time.Time{}
	if op.StartedAt.IsZero() {
		op.StartedAt = now
	}
	if err := w.journal(tx); err != nil {
		return decision{}, err
	}
	text := string(call.Verb)
	if call.Check {
		text += " (check)"
	}
	if call.BindingID != op.BindingID {
		text = unbindText(call.BindingID)
	}
	if err := step(tx, op, now, StepCall, text, ""); err != nil {
		return decision{}, err
	}
	call.Backend, call.InstanceID, call.OperationID = op.Backend, op.InstanceID, op.ID
	call.Handle, call.Fence, call.Seed, call.Secrets = op.Handle, fence, op.Seed, op.Wanted.Secrets
	limit := op.Deadline.Sub(now)
	if full := w.plan.Timeouts[op.Verb]; !again && limit < full {
		limit = full
	}
	return decision{call: &pendingCall{call: *call, phase: op.Phase, limit: limit, op: *op}}, nil
}

// nextCall says which call comes next; nil if nothing is left to be called.
func (b *Broker) nextCall(tx Tx, w *work) (*Call, error) {
	op, inst := w.op, w.inst
	undo := op.Phase == PhaseUndo
	switch op.Verb {
	case VerbProvision, VerbUpdate:
		call := &Call{Verb: op.Verb, Inputs: op.Wanted.Inputs, Instance: inst.Applied, Attempted: inst.Attempted}
		if undo {
			call.Inputs = op.Wanted.Undo
			if op.Verb == VerbProvision {
				call.Verb = VerbDeprovision
			}
			return call, nil
		}
		if op.Wanted.Adopt {
			call.Verb = VerbAdopt
		}
		return call, b.reserve(tx, op.Backend, op.InstanceID, op.Wanted.Inputs)
	case VerbBind, VerbUnbind:
		if op.Verb == VerbUnbind && !traces(w.bind) {
			return nil, nil
		}
		call := bindingCall(op.Verb, op.Wanted.Inputs, inst, w.bind)
		if undo {
			call.Verb, call.Inputs = VerbUnbind, op.Wanted.Undo
		}
		return call, nil
	}
	return b.nextDeprovisionCall(tx, w)
}

func bindingCall(verb Verb, inputs json.RawMessage, inst *Instance, bind *Binding) *Call {
	return &Call{Verb: verb, BindingID: bind.ID, Inputs: inputs, Instance: inst.Applied,
		Binding: bind.Applied, Attempted: bind.Attempted}
}

// traces tells whether a plugin was ever called for the binding.
func traces(bind *Binding) bool { return bind.Applied.Inputs != nil || len(bind.Attempted) > 0 }

// begin prepares an operation for its first call, when nothing stands before it any
// more: its deadline counts from here, and what reads the instance's outputs is
// rendered here. Provision and update were rendered when they were accepted.
func (b *Broker) begin(tx Tx, w *work, now time.Time) error {
	op := w.op
	op.Deadline = now.Add(w.plan.Timeouts[op.Verb])
	known, err := b.secretsBefore(tx, w)
	if err != nil {
		return err
	}
	op.Wanted.Secrets = tidy(append(known, op.Wanted.Secrets...))
	switch op.Verb {
	case VerbBind:
		return b.beginBind(tx, w)
	case VerbUnbind:
		op.Wanted.Inputs = b.unbindInputs(tx, w.plan, w.inst, w.bind, op.Identity)
	case VerbDeprovision:
		return b.beginDeprovision(tx, w)
	}
	return nil
}

func (b *Broker) beginBind(tx Tx, w *work) error {
	op, plan := w.op, w.plan
	switch {
	case !w.inst.Ready:
		return notProvisioned(w.inst)
	case !w.inst.Usable: // since the update that it waited for
		return unusable(w.inst)
	}
	r := b.newRenderer(tx, plan, w.inst, object(w.inst.Parameters), op.Wanted.Context, op.Identity, w.bind)
	var err error
	if op.Wanted.Inputs, err = r.mapping(plan.Bind, "bind"); err != nil {
		return err
	}
	op.Wanted.Secrets = tidy(append(op.Wanted.Secrets, r.masked(plan.SchemaBind)...))
	return nil
}

// deprovisionInputs renders the plan's deprovision template, or gives the inputs of
// the last provision or update. A deprovision is total: a template that cannot be
// rendered (outputs that were lost) is logged and the same inputs serve.
func (b *Broker) deprovisionInputs(tx Tx, plan *Plan, inst *Instance, identity json.RawMessage) json.RawMessage {
	if plan.Deprovision != nil {
		r := b.newRenderer(tx, plan, inst, object(inst.Parameters), inst.Context, identity, nil)
		inputs, err := r.mapping(plan.Deprovision, "deprovision")
		if err == nil {
			return inputs
		}
		b.cfg.Log.Warn("the deprovision template cannot be rendered; the last inputs serve", "instance_id", inst.ID, "error", err)
	}
	return lastInputs(inst.Applied, inst.Attempted)
}

// unbindInputs is the same for a binding. plan is nil if its definition cannot be read.
func (b *Broker) unbindInputs(tx Tx, plan *Plan, inst *Instance, bind *Binding, identity json.RawMessage) json.RawMessage {
	if plan != nil && plan.Unbind != nil {
		r := b.newRenderer(tx, plan, inst, object(inst.Parameters), bind.Context, identity, bind)
		inputs, err := r.mapping(plan.Unbind, "unbind")
		if err == nil {
			return inputs
		}
		b.cfg.Log.Warn("the unbind template cannot be rendered; the last inputs serve", "instance_id", inst.ID, "binding_id", bind.ID, "error", err)
	}
	return lastInputs(bind.Applied, bind.Attempted)
}

// lastInputs are the applied inputs, or those of the newest attempt to make the thing.
func lastInputs(applied Applied, attempted []Attempt) json.RawMessage {
	if applied.Inputs != nil {
		return applied.Inputs
	}
	inputs := json.RawMessage("{}")
	for _, a := range attempted {
		if (a.Verb == VerbProvision || a.Verb == VerbBind) && a.Inputs != nil {
			inputs = a.Inputs
		}
	}
	return inputs
}

// refusal tells an error of begin (a template, the state, a taken name) from one of the store.
func refusal(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e.Code != CodeUnavailable && e.Code != CodeOverloaded {
		return e
	}
	return nil
}
