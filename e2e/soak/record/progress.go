package record

// closure adds everything that the states can come to by themselves: requests that are on
// their way take effect, operations end, failures get told. It gives false if there
// are too many states to follow.
func (r *Record) closure() bool {
	queue := make([]state, 0, len(r.states))
	for s := range r.states {
		queue = append(queue, s)
	}
	for len(queue) > 0 {
		s := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, next := range r.successors(s) {
			if _, known := r.states[next]; known {
				continue
			}
			if len(r.states) >= maxStates {
				return false
			}
			r.states[next] = struct{}{}
			queue = append(queue, next)
		}
	}
	return true
}

// maxStates bounds the uncertainty about one instance.
const maxStates = 60000

// successors are the states that one step leads to.
func (r *Record) successors(s state) []state {
	var list []state
	for i, q := range r.live {
		if q == nil || s.slots[i].stage != outside {
			continue
		}
		for _, e := range r.apply(s, &q.Request) {
			e.state.slots[i] = e.slot
			list = append(list, e.state)
		}
	}
	list = append(list, r.instanceSteps(s)...)
	for b := range int8(Bindings) {
		list = append(list, r.bindingSteps(s, b)...)
	}
	return append(list, r.tellings(s)...)
}

// instanceSteps are the ways in which the operation of the instance can end.
func (r *Record) instanceSteps(s state) []state {
	var list []state
	op := s.inst.op
	if op.cancelled {
		list = append(list, failing(s, failed)...)
	}
	switch op.verb {
	case Provision:
		if fate := r.fate(op.wanted); fate != done {
			return append(list, failing(s, fate)...)
		}
		s.end(-1, done)
		s.inst.ready, s.inst.clean = true, false
		return append(list, s)
	case Update:
		s.end(-1, done)
		s.inst.is = op.wanted
		return append(list, s)
	case Deprovision:
		return append(list, r.deprovisionSteps(s)...)
	}
	return list
}

// failing ends the operation of the instance without success. Binds that wait for a
// provision fail with it. What is undone leaves no row, unless the client was told to wait.
func failing(s state, as outcome) []state {
	verb := s.inst.op.verb
	if verb != Provision {
		s.end(-1, as)
		return []state{s}
	}
	before := s.inst.last
	s.end(-1, as)
	s.inst.clean = as == refused
	list := []state{s}
	for b := range int8(Bindings) {
		if s.binds[b].op.verb != Bind {
			continue
		}
		for i := range list {
			removed := list[i]
			removed.end(b, without)
			removed.untrace(b, list[i].binds[b].last)
			list = append(list, removed)
			list[i].end(b, without)
		}
	}
	if as != refused {
		return list
	}
	for _, kept := range list {
		kept.untrace(-1, before)
		list = append(list, kept)
	}
	return list
}

// untrace takes the row of a failure away that nobody was told to wait for: it leaves no
// trace, and a poll tells of what was before.
func (s *state) untrace(subject int8, before past) {
	for i := range s.slots {
		if l := &s.slots[i]; l.stage == waiting && l.subject == subject {
			l.age = older
		}
	}
	*s.subjectLast(subject) = before
	if subject < 0 {
		s.removeInstance()
	} else {
		s.binds[subject].remove()
	}
}

// deprovisionSteps: bindings go one by one, then the instance; but nothing of an instance
// that the plan refuses to delete.
func (r *Record) deprovisionSteps(s state) (list []state) {
	halfUpdated := s.inst.last.verb == Update && !s.inst.last.ok // either plan may count
	keeps := s.inst.full && r.Rules.Keeps != nil && r.Rules.Keeps(s.inst.is.Plan)
	if keeps || s.inst.full && halfUpdated {
		refusal := s
		refusal.end(-1, kept)
		list = append(list, refusal)
	}
	if keeps && !halfUpdated {
		return list
	}
	for b := range s.binds {
		switch bind := &s.binds[b]; {
		case bind.op.verb != None:
			return list // an older unbind ends first
		case bind.exists:
			next := s
			next.binds[b].remove()
			list = append(list, next)
		}
	}
	s.end(-1, done)
	s.removeInstance()
	return append(list, s)
}

// remove takes a binding's row away; what is known of its operations stays.
func (b *binding) remove() { *b = binding{last: b.last, op: b.op} }

func (s *state) removeInstance() {
	s.inst = instance{last: s.inst.last, updated: s.inst.updated}
	for b := range s.binds {
		s.binds[b].remove()
	}
}

// bindingSteps are the ways in which the operation of a binding can end.
func (r *Record) bindingSteps(s state, b int8) (list []state) {
	bind := &s.binds[b]
	if bind.op.verb == None {
		return nil
	}
	if r.queuedSync(&s, b) {
		list = append(list, unqueue(s, b))
	}
	if bind.op.verb == Bind && bind.op.cancelled {
		before, after := s, s // its plugin was called
		before.end(b, failed)
		after.end(b, failed)
		after.binds[b].touched = true
		list = append(list, before, after)
	}
	switch {
	case bind.op.verb == Unbind && (s.inst.op.verb != Update || !bind.touched): // one that was never called need not wait
		s.end(b, done)
		bind.remove()
		list = append(list, s)
	case bind.op.verb == Bind && s.inst.ready && s.inst.op.verb == None:
		s.end(b, done)
		bind.ready, bind.touched, bind.credentials = true, true, 0
		list = append(list, s)
	}
	return list
}

// queuedSync tells whether an operation may be waiting behind another one (or for a replica) for a client
// that waits in turn, so that it is taken back when that one's time is over.
func (r *Record) queuedSync(s *state, b int8) bool {
	others := *s
	others.binds[b].op = operation{}
	if !others.busy() && !r.Rules.Shared {
		return false
	}
	for i, q := range r.live {
		l := s.slots[i]
		if q != nil && !q.Request.Async && l.stage == waiting && l.subject == b && l.age == current {
			return true
		}
	}
	return false
}

// unqueue takes a queued bind or unbind back.
func unqueue(s state, b int8) state {
	bind := &s.binds[b]
	verb := bind.op.verb
	bind.op = operation{}
	if verb == Bind && !bind.touched {
		bind.remove()
	}
	for i := range s.slots {
		if l := &s.slots[i]; l.stage == waiting && l.subject == b && l.age == current {
			l.age, l.outcome = older, unqueued
		}
	}
	return s
}

// tellings are the failures that are told to a request, whether or not its answer arrives.
func (r *Record) tellings(s state) (list []state) {
	for i, q := range r.live {
		l := s.slots[i]
		if q == nil || l.stage != waiting || l.age != newest || l.outcome == done || l.outcome == running {
			continue
		}
		next := s
		next.tell(l.subject)
		list = append(list, next)
	}
	return list
}

// tell marks a failure as told by an error response. Where that promises that nothing
// is left, a row that waited for it goes.
func (s *state) tell(subject int8) {
	last := s.subjectLast(subject)
	last.told = true
	if last.class != refused && last.class != without || s.busy() {
		return
	}
	if subject < 0 && last.verb == Provision && s.inst.exists && !s.inst.ready && s.inst.clean {
		s.removeInstance()
	}
	if subject >= 0 && last.verb == Bind && !s.binds[subject].ready && !s.binds[subject].touched {
		s.binds[subject].remove()
	}
}
