package core

import "slices"

// situation is what the store knows about the subject of a request, read in the
// transaction that decides about it.
type situation struct {
	inst *Instance
	bind *Binding
	// unfinished are the operations of the instance and all its bindings, oldest first.
	unfinished []*Operation
	// last is the newest operation of the request's subject, finished or not.
	last *Operation
}

// observe reads the situation of an instance, or with bindingID of one binding.
func observe(tx Tx, instanceID, bindingID string) (s situation, err error) {
	if s.inst, err = found(tx.Instance(instanceID)); err != nil {
		return s, err
	}
	if s.inst != nil && bindingID != "" {
		if s.bind, err = found(tx.Binding(instanceID, bindingID)); err != nil {
			return s, err
		}
	}
	if s.unfinished, err = tx.Unfinished(instanceID); err != nil {
		return s, err
	}
	s.last, err = found(tx.LatestOperation(instanceID, bindingID))
	return s, err
}

// running is the newest unfinished operation of the instance itself (bindingID "")
// or of the binding; the newest, since a deprovision stands behind what it cancels.
func (s *situation) running(bindingID string) *Operation {
	for _, op := range slices.Backward(s.unfinished) {
		if op.BindingID == bindingID {
			return op
		}
	}
	return nil
}

// failedUntold is the newest operation if it failed and nobody was told.
func (s *situation) failedUntold(verb Verb) *Operation {
	if s.last != nil && s.last.Verb == verb && s.last.State == OperationFailed && !s.last.Reported && !s.last.Wanted.Revoke {
		return s.last
	}
	return nil
}

// verdict is what a request comes to.
type verdict struct {
	kind verdictKind
	join *Operation // with verdictJoin
	// cancel are the operations that the new one supersedes.
	cancel []*Operation
}

type verdictKind int

const (
	verdictNew       verdictKind = iota + 1 // make a new operation
	verdictJoin                             // the same request again: its operation
	verdictUnchanged                        // it is so already
)

func join(op *Operation) (verdict, error) { return verdict{kind: verdictJoin, join: op}, nil }

// decideProvision is the matrix's column "provision/PUT other" and the rule "same
// request again", for a PUT and for an operator's adopt: they join each other while
// the work runs, but neither goes on with what the other one left.
func decideProvision(s *situation, digest string, adopt bool) (verdict, error) {
	if s.inst == nil {
		if len(s.unfinished) > 0 {
			return verdict{}, concurrency(s.unfinished[0])
		}
		return verdict{kind: verdictNew}, nil
	}
	running := s.running("")
	if running != nil && running.Verb == VerbDeprovision {
		return verdict{}, concurrency(running)
	}
	existing, err := instanceDigest(s.inst)
	if err != nil {
		return verdict{}, err
	}
	if existing != digest {
		return verdict{}, differentInstance(s, running)
	}
	switch {
	case running != nil && running.Verb == VerbProvision:
		return join(running)
	case s.inst.Ready:
		return verdict{kind: verdictUnchanged}, nil
	}
	if op := s.failedUntold(VerbProvision); op != nil && !adopt { // an operator sees operations as they are
		return join(op)
	}
	if len(s.inst.Attempted) > 0 && adopt != halfAdopted(s.inst) {
		return verdict{}, otherBeginning(s.inst, adopt)
	}
	return verdict{kind: verdictNew}, nil
}

// otherBeginning is the 409 of a PUT after a failed adopt, and of an adopt after a failed PUT.
func otherBeginning(inst *Instance, adopt bool) *Error {
	if adopt {
		return Errorf(CodeConflict, "The provision of the service instance %q failed, and may have made something.", inst.ID).
			WithHint("Delete the instance, then adopt under its id.")
	}
	return Errorf(CodeConflict, "The service instance %q is one that an operator began to adopt.", inst.ID).
		WithHint("The operator adopts it again; or delete it, which leaves what was to be adopted as it is.")
}

// differentInstance is the 409 of a PUT that asks for something else than there is.
func differentInstance(s *situation, running *Operation) *Error {
	e := Errorf(CodeConflict, "A service instance with the id %q exists already with other attributes.", s.inst.ID)
	switch {
	case running != nil && running.Verb == VerbProvision:
		e = Errorf(CodeConflict, "A service instance with the id %q is being provisioned with other attributes.", s.inst.ID)
	case !s.inst.Ready:
		return e.WithHint("Its provision failed; delete it first, or send the same request again.")
	}
	return e.WithHint("Service, plan, parameters, organization and space must be those of the existing one.")
}

// decideUpdate is the matrix's column "update". Whether anything would change is decided later.
func decideUpdate(s *situation, instanceID, digest string) (verdict, error) {
	if s.inst == nil {
		return verdict{}, noInstance(instanceID)
	}
	if running := s.running(""); running != nil {
		if running.Verb == VerbUpdate && running.Request == digest {
			return join(running)
		}
		return verdict{}, concurrency(running)
	}
	if len(s.unfinished) > 0 {
		return verdict{}, concurrency(s.unfinished[0])
	}
	if !s.inst.Ready {
		return verdict{}, notProvisioned(s.inst)
	}
	if op := s.failedUntold(VerbUpdate); op != nil && op.Request == digest {
		return join(op)
	}
	return verdict{kind: verdictNew}, nil
}

func notProvisioned(inst *Instance) *Error {
	return Errorf(CodeUnprocessable, "The service instance %q was never provisioned completely.", inst.ID).
		WithHint("Repeat its provision, or delete it.")
}

func unusable(inst *Instance) *Error {
	return Errorf(CodeUnprocessable, "The service instance %q cannot be used since a change of it failed.", inst.ID).
		WithHint("Repair it by another update, or delete it.")
}

// decideDeprovision is the matrix's column "deprovision": accepted in any state.
func decideDeprovision(s *situation, instanceID string) (verdict, error) {
	if s.inst == nil {
		return verdict{}, goneInstance(instanceID)
	}
	if running := s.running(""); running != nil && running.Verb == VerbDeprovision {
		return join(running)
	}
	if op := s.failedUntold(VerbDeprovision); op != nil {
		return join(op)
	}
	v := verdict{kind: verdictNew}
	for _, op := range s.unfinished {
		if op.Verb != VerbUnbind && op.State == OperationPending {
			v.cancel = append(v.cancel, op)
		}
	}
	return v, nil
}

// decideBind is the matrix's column "bind".
func decideBind(s *situation, instanceID, bindingID, digest string) (verdict, error) {
	if s.inst == nil {
		return verdict{}, noInstance(instanceID)
	}
	instanceOp := s.running("")
	if instanceOp != nil && instanceOp.Verb == VerbDeprovision {
		return verdict{}, concurrency(instanceOp)
	}
	if s.bind != nil {
		return decideBindAgain(s, bindingID, digest)
	}
	return newBind(s)
}

// newBind accepts a bind to an instance that is there or about to be.
func newBind(s *situation) (verdict, error) {
	instanceOp := s.running("")
	switch {
	case !s.inst.Ready && (instanceOp == nil || instanceOp.State == OperationCancelling):
		return verdict{}, notProvisioned(s.inst)
	case s.inst.Ready && !s.inst.Usable:
		return verdict{}, unusable(s.inst)
	}
	return verdict{kind: verdictNew}, nil
}

// decideBindAgain is a bind of an id that has a row.
func decideBindAgain(s *situation, bindingID, digest string) (verdict, error) {
	running := s.running(bindingID)
	if running != nil && running.Wanted.Revoke { // the broker's own: the binding is there all the same
		running = nil
	}
	if running != nil && running.Verb == VerbUnbind {
		return verdict{}, concurrency(running)
	}
	if s.bind.Request != digest {
		return verdict{}, Errorf(CodeConflict, "A service binding with the id %q exists already with other attributes.", bindingID).
			WithHint("Service, plan, parameters and bind_resource must be those of the existing one.")
	}
	if running != nil {
		return join(running)
	}
	if s.bind.Ready {
		if attempted(s.bind.Attempted, VerbUnbind) {
			return verdict{}, Errorf(CodeConflict, "The service binding %q is half deleted: its unbind failed.", bindingID).
				WithHint("Delete it again.")
		}
		return verdict{kind: verdictUnchanged}, nil
	}
	if op := s.failedUntold(VerbBind); op != nil {
		return join(op)
	}
	return newBind(s)
}

func attempted(list []Attempt, verb Verb) bool {
	return slices.ContainsFunc(list, func(a Attempt) bool { return a.Verb == verb })
}

// decideUnbind is the matrix's column "unbind".
func decideUnbind(s *situation, bindingID string) (verdict, error) {
	if s.inst == nil || s.bind == nil {
		return verdict{}, goneBinding(bindingID)
	}
	running := s.running(bindingID)
	if running != nil && running.Verb == VerbUnbind {
		return join(running)
	}
	if op := s.running(""); op != nil && op.Verb == VerbDeprovision {
		return join(op)
	}
	if running != nil {
		return verdict{kind: verdictNew, cancel: []*Operation{running}}, nil
	}
	if op := s.failedUntold(VerbUnbind); op != nil {
		return join(op)
	}
	return verdict{kind: verdictNew}, nil
}

// blocks tells whether an older unfinished operation must end before op may call
// its plugin. serialize: the plugin takes one call per instance.
func blocks(older, op *Operation, serialize bool) bool {
	return older.BindingID == "" || op.BindingID == "" || older.BindingID == op.BindingID || serialize
}

// blockedBy gives the first operation that op waits for, nil if it may run.
// unfinished are those of the instance, oldest first.
func (b *Broker) blockedBy(op *Operation, unfinished []*Operation) *Operation {
	serialize := b.serializes(op.Backend)
	for _, older := range unfinished {
		if older.ID == op.ID {
			return nil
		}
		if blocks(older, op, serialize) {
			return older
		}
	}
	return nil
}

// serializes tells whether a backend's plugin takes one call per instance.
func (b *Broker) serializes(backend string) bool {
	desc, _ := b.cfg.Backends.Describe(backend)
	return desc.SerializeInstance
}
