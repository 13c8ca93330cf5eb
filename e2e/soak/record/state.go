package record

// Sizes of what one Record follows.
const (
	Bindings = 3 // bindings of the instance
	Slots    = 4 // requests that are on their way at once, those that nobody answers among them
)

// Verb is what an operation does; the zero Verb is no operation.
type Verb uint8

// The verbs.
const (
	None Verb = iota
	Provision
	Update
	Deprovision
	Bind
	Unbind
	// Retry is an operator's: a new operation that wants the same as a failed one.
	Retry
)

// Attributes are what an instance was asked to be. The numbers are the caller's names for
// plans and parameters; Parameters 0 is none.
type Attributes struct{ Plan, Parameters uint8 }

// BindAttributes are what a binding was asked to be. Predecessor is 1 + the number of the
// binding that it succeeds; 0 for none.
type BindAttributes struct{ Plan, Access, Predecessor uint8 }

// operation is an unfinished one.
type operation struct {
	verb Verb
	id   uint16 // what clients were told; 0 if nobody was told yet
	// wanted is what a provision or update is to bring about; patch is the request of an update.
	wanted Attributes
	patch  Patch
	// cancelled: it was superseded or an operator cancelled it, so that it may fail.
	cancelled bool
}

// past is the newest finished operation of its subject.
type past struct {
	verb     Verb
	id       uint16
	ok, told bool
	wanted   Attributes
	patch    Patch
	// class is the class of the error that a failure is answered with.
	class outcome
}

// instance is the broker's row, as far as clients can tell.
type instance struct {
	exists, ready bool
	// clean: a failed provision that left nothing at the backend.
	clean bool
	is    Attributes
	// full: there is something in it that a plan may refuse to delete.
	full bool
	op   operation
	last past
	// updated is 1 + the plan that the newest update wanted: a DELETE may name it.
	updated uint8
}

// binding is the same for one binding.
type binding struct {
	exists, ready bool
	// touched: its plugin may have been called, so that a failed bind leaves a row.
	touched     bool
	is          BindAttributes
	credentials uint16 // those that clients were told; 0 if nobody was told yet
	op          operation
	last        past
}

// outcome is how the operation that a request waits for came out.
type outcome uint8

const (
	running  outcome = iota
	done             // succeeded
	failed           // answered 500
	refused          // answered 400: undone, nothing is left
	unqueued         // answered 422: waited too long behind another operation, nothing is left
	without          // answered 422: the provision that a bind waited for failed
	kept             // answered 422, or 500 if something was cancelled: a deprovision was refused
)

// stage is how far a request has come inside the broker.
type stage uint8

const (
	outside stage = iota // without effect so far
	decided              // answered with status, at once
	waiting              // joined to an operation
)

// age tells which operation of its subject a request waits for.
type age uint8

const (
	current age = iota // the unfinished one
	newest             // the newest finished one
	older
)

// slot is the progress of one request.
type slot struct {
	stage   stage
	status  uint16 // when decided
	subject int8   // -1 is the instance, else the binding
	age     age
	joined  bool
	outcome outcome
}

// state is one possible truth. It is comparable: sets of states are maps.
type state struct {
	inst  instance
	binds [Bindings]binding
	slots [Slots]slot
}

// subjectOp gives the unfinished operation of a subject, -1 being the instance.
func (s *state) subjectOp(subject int8) *operation {
	if subject < 0 {
		return &s.inst.op
	}
	return &s.binds[subject].op
}

func (s *state) subjectLast(subject int8) *past {
	if subject < 0 {
		return &s.inst.last
	}
	return &s.binds[subject].last
}

// begin lets an operation start on a subject. Those who waited for the operations before
// it go on waiting for an older one.
func (s *state) begin(subject int8, op operation) {
	*s.subjectOp(subject) = op
	for i := range s.slots {
		if l := &s.slots[i]; l.stage != outside && l.subject == subject {
			l.age = older
		}
	}
}

// supersede ends an operation in favour of a deletion: it fails, now or soon.
func (s *state) supersede(subject int8) {
	if s.subjectOp(subject).verb != None {
		s.end(subject, failed)
	}
}

// end finishes the unfinished operation of a subject and tells those who wait for it.
func (s *state) end(subject int8, as outcome) {
	op := s.subjectOp(subject)
	*s.subjectLast(subject) = past{verb: op.verb, id: op.id, ok: as == done, patch: op.patch, class: as}
	if as == failed && op.verb == Update {
		s.subjectLast(subject).wanted = op.wanted // an operator may retry it
	}
	*op = operation{}
	for i := range s.slots {
		l := &s.slots[i]
		if l.stage != waiting || l.subject != subject {
			continue
		}
		if l.age == current {
			l.age, l.outcome = newest, as
		} else {
			l.age = older
		}
	}
}

// busy tells whether any operation is unfinished.
func (s *state) busy() bool {
	return s.inst.op.verb != None || s.bindingBusy()
}

func (s *state) bindingBusy() bool {
	for i := range s.binds {
		if s.binds[i].op.verb != None {
			return true
		}
	}
	return false
}
