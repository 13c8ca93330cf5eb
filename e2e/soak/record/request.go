package record

// Patch is what an update asks for: 1 + a plan, 1 + parameters; 0 leaves what is.
type Patch struct{ Plan, Parameters uint8 }

// Request is one that may change something. Verb says which; the other fields are those
// that the verb needs.
type Request struct {
	Verb    Verb
	Binding int8 // of Bind and Unbind
	// Wanted is of a Provision; of Deprovision and Unbind its Plan is the query's.
	Wanted Attributes
	Patch  Patch          // of an Update
	Bind   BindAttributes // of a Bind; with Predecessor only that counts
	// Failed is the operation that a Retry names, by Name.
	Failed uint16
	// Async: the client accepts incomplete answers.
	Async bool
	// Invalid: the request breaks a rule that needs no state to be checked: 400.
	Invalid bool
}

// effect is one way in which a request can take effect.
type effect struct {
	state state
	slot  slot
}

func decide(s state, status uint16) []effect {
	return []effect{{s, slot{stage: decided, status: status}}}
}

// apply gives the ways in which a request can take effect on s.
func (r *Record) apply(s state, q *Request) []effect {
	if q.Invalid {
		return decide(s, 400)
	}
	switch q.Verb {
	case Provision:
		return r.applyProvision(s, q)
	case Update:
		return r.applyUpdate(s, q)
	case Deprovision:
		return r.applyDeprovision(s, q)
	case Bind:
		ways := r.applyBind(s, q)
		for i := range ways {
			ways[i].slot.subject = q.Binding // also of those that were decided at once: see match
		}
		return ways
	case Retry:
		return applyRetry(s, q)
	default:
		return r.applyUnbind(s, q)
	}
}

// asyncOnly tells whether the request is answered 422 AsyncRequired.
func (r *Record) asyncOnly(q *Request, plan uint8) bool {
	return !q.Async && r.Rules.AsyncOnly != nil && r.Rules.AsyncOnly(plan)
}

// start is a new operation for which the request waits.
func start(s state, subject int8, op operation) effect {
	s.begin(subject, op)
	return effect{s, slot{stage: waiting, subject: subject}}
}

// join is a request that waits for an operation that runs.
func join(s state, subject int8) []effect {
	return []effect{{s, slot{stage: waiting, subject: subject, joined: true}}}
}

// joinLast is a request that is told of a failure that nobody was told of.
func joinLast(s state, subject int8) effect {
	return effect{s, slot{stage: waiting, subject: subject, joined: true, age: newest, outcome: s.subjectLast(subject).class}}
}

// afterFailure gives the ways of a repeat after a failure: once that was told, the work
// starts again; before, the repeat is told of it.
func (r *Record) afterFailure(s state, subject int8, verb Verb, again func() effect) []effect {
	last := s.subjectLast(subject)
	if last.verb != verb || last.ok {
		return []effect{again()}
	}
	var ways []effect
	if !last.told || r.unsure() {
		ways = append(ways, joinLast(s, subject))
	}
	if last.told || r.unsure() {
		ways = append(ways, again())
	}
	return ways
}

func (r *Record) applyProvision(s state, q *Request) []effect {
	begin := func() effect {
		s := s
		s.inst.exists, s.inst.ready, s.inst.is = true, false, q.Wanted
		return start(s, -1, operation{verb: Provision, wanted: q.Wanted})
	}
	switch {
	case r.asyncOnly(q, q.Wanted.Plan):
		return decide(s, 422)
	case !s.inst.exists && s.bindingBusy():
		return decide(s, 422)
	case !s.inst.exists:
		return r.orRefused(s, q, []effect{begin()})
	case s.inst.op.verb == Deprovision:
		return decide(s, 422)
	case s.inst.is != q.Wanted:
		return decide(s, 409)
	case s.inst.op.verb == Provision:
		return join(s, -1)
	case s.inst.ready:
		return decide(s, 200)
	}
	return r.orRefused(s, q, r.afterFailure(s, -1, Provision, begin))
}

// orRefused adds that the provision is refused at once, since the broker knows that the
// name is taken: then all stays as it was.
func (r *Record) orRefused(s state, q *Request, ways []effect) []effect {
	if r.fate(q.Wanted) == refused {
		ways = append(ways, decide(s, 400)...)
	}
	return ways
}

// patched is what an instance becomes by an update.
func patched(a Attributes, p Patch) Attributes {
	if p.Plan > 0 {
		a.Plan = p.Plan - 1
	}
	if p.Parameters > 0 {
		a.Parameters = p.Parameters - 1
	}
	return a
}

func (r *Record) applyUpdate(s state, q *Request) []effect {
	target := patched(s.inst.is, q.Patch)
	begin := func() effect {
		s := s
		s.inst.updated = target.Plan + 1
		return start(s, -1, operation{verb: Update, wanted: target, patch: q.Patch})
	}
	last := s.inst.last
	switch {
	case !s.inst.exists:
		return decide(s, 404)
	case r.asyncOnly(q, target.Plan):
		return decide(s, 422)
	case s.inst.op.verb == Update && s.inst.op.patch == q.Patch:
		return join(s, -1)
	case s.busy(), !s.inst.ready:
		return decide(s, 422)
	case last.verb == Update && !last.ok && last.patch == q.Patch:
		return r.afterFailure(s, -1, Update, begin)
	case target == s.inst.is && !(last.verb == Update && !last.ok):
		return decide(s, 200)
	}
	return []effect{begin()}
}

// deletable tells whether a DELETE may name the plan.
func (s *state) deletable(plan uint8) bool {
	return plan == s.inst.is.Plan || s.inst.updated == plan+1 ||
		s.inst.op.verb == Update && s.inst.op.wanted.Plan == plan
}

func (r *Record) applyDeprovision(s state, q *Request) []effect {
	switch {
	case r.asyncOnly(q, q.Wanted.Plan):
		return decide(s, 422)
	case !s.inst.exists:
		return decide(s, 410)
	case !s.deletable(q.Wanted.Plan):
		return decide(s, 400)
	case s.inst.op.verb == Deprovision:
		return join(s, -1)
	}
	begin := func() effect {
		s := s
		s.supersede(-1)
		for i := range s.binds {
			if s.binds[i].op.verb == Bind {
				s.binds[i].touched = true
				s.supersede(int8(i))
			}
		}
		return start(s, -1, operation{verb: Deprovision})
	}
	if s.inst.op.verb != None {
		return []effect{begin()}
	}
	return r.afterFailure(s, -1, Deprovision, begin)
}

// applyRetry is for operations of the instance only.
func applyRetry(s state, q *Request) []effect {
	last := s.inst.last
	if !s.inst.exists || s.busy() || last.ok || last.id != q.Failed || last.verb != Provision && last.verb != Update {
		return decide(s, 422)
	}
	op := operation{verb: last.verb, wanted: s.inst.is, patch: last.patch}
	if last.verb == Update {
		op.wanted = last.wanted
		s.inst.updated = op.wanted.Plan + 1
	}
	return []effect{start(s, -1, op)}
}

// Cancelling notes that an operator is about to cancel or abandon an operation, so that
// it may fail. The operation is a provision, an update or a bind that a client was told of.
func (r *Record) Cancelling(operation string) {
	if !r.settle() {
		return
	}
	r.events++
	id := r.name(operation)
	r.keep(func(s state) []state {
		ways := []state{s}
		for subject := int8(-1); subject < Bindings; subject++ {
			if op := s.subjectOp(subject); op.verb != None && op.id == id {
				next := s
				next.subjectOp(subject).cancelled = true
				ways = append(ways, next)
			}
		}
		return ways
	})
}
