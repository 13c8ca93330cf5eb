package record

// Answer is what the broker answered to a Request.
type Answer struct {
	Status int
	// Word is the OSB error word of an error.
	Word string
	// Operation is that of a 202; Credentials those of a bind that is answered 200 or 201,
	// in a form that is equal for equal ones.
	Operation, Credentials string
}

// Error words of the broker that say more than the status.
const (
	wordStillRunning = "StillRunning"
	wordUnavailable  = "Unavailable"
	wordAsync        = "AsyncRequired"
)

// Answered notes the answer to a request. A *Violation says that it cannot be.
func (r *Record) Answered(ticket int, a Answer) error {
	r.events++
	q := r.live[ticket].Request
	if r.lost {
		r.live[ticket] = nil
		return nil
	}
	if a.Status == 500 && a.Word == wordUnavailable {
		// The outcome of a commit is unknown, perhaps also to the database.
		r.live[ticket].unanswered = true
		return nil
	}
	_, before := r.names[a.Operation]
	w := words{operation: r.name(a.Operation), fresh: !before, credentials: r.name(a.Credentials)}
	err := r.refine(describeAnswer(q, a), func(s state) []state {
		return r.match(s, ticket, &q, a, w)
	})
	if err != nil && r.live[ticket] != nil {
		r.settle()
	}
	r.clear(ticket)
	return err
}

// words are the numbers of what an answer names; fresh says that its operation was
// never named before.
type words struct {
	operation, credentials uint16
	fresh                  bool
}

// match gives what s becomes by the answer; nothing if s does not allow it.
func (r *Record) match(s state, ticket int, q *Request, a Answer, w words) []state {
	l := s.slots[ticket]
	switch l.stage {
	case outside:
		if a.Status == 429 {
			return []state{s}
		}
		return nil
	case decided:
		if q.Verb == Retry && a.Status == 404 {
			return []state{s} // an operation that left no trace
		}
		if int(l.status) != a.Status || (a.Word == wordAsync) != (a.Status == 422 && r.asyncAnswer(s, q)) {
			return nil
		}
		if bind := &s.binds[max(0, q.Binding)]; q.Verb == Bind && a.Status == 200 && l.age == current && bind.ready && !bind.learn(w.credentials) {
			return nil
		}
		return []state{s}
	}
	return r.matchWaiting(s, l, q, a, w)
}

// asyncAnswer tells whether a 422 is the one of a plan that wants asynchronous requests.
func (r *Record) asyncAnswer(s state, q *Request) bool {
	switch q.Verb {
	case Provision, Deprovision, Unbind:
		return r.asyncOnly(q, q.Wanted.Plan)
	case Update:
		return r.asyncOnly(q, patched(s.inst.is, q.Patch).Plan) // the plan cannot have changed to another kind
	}
	if q.Bind.Predecessor > 0 {
		return r.asyncOnly(q, s.inst.is.Plan)
	}
	return r.asyncOnly(q, q.Bind.Plan)
}

// matchWaiting is the answer to a request that waited for an operation.
func (r *Record) matchWaiting(s state, l slot, q *Request, a Answer, w words) []state {
	made := q.Verb == Provision || q.Verb == Bind
	switch {
	case q.Verb == Retry:
		if a.Status != 200 || !s.learnOperation(l, w) {
			return nil
		}
		return []state{s}
	case a.Status == 202:
		if !q.Async || !s.learnOperation(l, w) {
			return nil
		}
		return []state{s}
	case a.Status == 500 && a.Word == wordStillRunning:
		return []state{s}
	case l.outcome == done:
		return matchDone(s, l, q, a, made, w.credentials)
	case a.Status == answerOf(l.outcome), a.Status == 500 && l.outcome == kept:
		if l.age == newest {
			s.tell(l.subject)
		}
		return []state{s}
	}
	return nil
}

// matchDone is the answer after success.
func matchDone(s state, l slot, q *Request, a Answer, made bool, credentials uint16) []state {
	status := 200
	if made && !l.joined {
		status = 201
	}
	if a.Status == 404 && made { // deleted before the answer was made
		return []state{s}
	}
	if a.Status != status {
		return nil
	}
	if q.Verb == Bind && l.age == newest && s.binds[q.Binding].ready && !s.binds[q.Binding].learn(credentials) {
		return nil
	}
	return []state{s}
}

// answerOf is the status of an operation's failure.
func answerOf(o outcome) int {
	switch o {
	case failed:
		return 500
	case refused:
		return 400
	case unqueued, without, kept:
		return 422
	}
	return 0
}

// learn notes the credentials of a binding, or compares them with those that are known.
func (b *binding) learn(credentials uint16) bool {
	if credentials == 0 {
		return false // a bind is answered with credentials
	}
	if b.credentials == 0 {
		b.credentials = credentials
	}
	return b.credentials == credentials
}

// learnOperation notes the id of the operation that a request waits for, or compares it.
func (s *state) learnOperation(l slot, w words) bool {
	if w.operation == 0 {
		return false // a 202 names its operation
	}
	var known *uint16
	switch l.age {
	case current:
		known = &s.subjectOp(l.subject).id
	case newest:
		known = &s.subjectLast(l.subject).id
	default:
		return true
	}
	if *known == 0 && w.fresh { // another operation's name it cannot be
		*known = w.operation
	}
	return *known == w.operation
}
