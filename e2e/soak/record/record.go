package record

import (
	"fmt"
	"slices"
)

// Rules are what the caller knows about the catalog.
type Rules struct {
	// AsyncOnly tells whether a plan refuses synchronous requests; nil for none.
	AsyncOnly func(plan uint8) bool
	// Fate says how a provision of these attributes ends; nil for success always.
	Fate func(Attributes) Fate
	// Keeps tells whether a plan refuses to delete an instance that something is in; nil for none.
	Keeps func(plan uint8) bool
	// Shared: several replicas share a database server, which dies, too. That a failure was
	// told may be forgotten, and a bind may wait until it is taken back for a replica that
	// carries it out.
	Shared bool
}

// Fate is how an operation ends if nothing cancels it.
type Fate uint8

// The fates.
const (
	Succeeds Fate = iota
	Fails         // 500, and something may be left
	Refuses       // 4xx, and nothing is left
)

// Record is what is known about one instance. It is not safe for concurrent use.
type Record struct {
	Rules Rules

	states map[state]struct{}
	live   [Slots]*flight
	// events counts what happened besides reads; see Reading.
	events int
	// lost: there were too many possible states; nothing is checked until Reset.
	lost bool
	// loose are the processes to which a poll was sent that nobody answered: it may have
	// been told a failure.
	loose map[int]bool
	// ends are the final states that polls told. A deprovision that failed may have
	// taken a binding away before: an unbind that joined it is told of that part.
	ends  map[end]string
	names map[string]uint16
}

// flight is a request on its way.
type flight struct {
	Request Request
	// process is that which the request was sent to.
	process int
	// unanswered: the client knows that no answer will come.
	unanswered bool
}

// New makes the Record of an instance that never existed.
func New(rules Rules) *Record {
	return &Record{Rules: rules, states: map[state]struct{}{{}: {}}, loose: map[int]bool{},
		ends: map[end]string{}, names: map[string]uint16{}}
}

// Violation is an answer that no possible state allows.
type Violation struct{ Text string }

func (v *Violation) Error() string { return v.Text }

func violation(format string, args ...any) error { return &Violation{fmt.Sprintf(format, args...)} }

// name gives a number to a word of the broker's: an operation or credentials. 0 is "".
func (r *Record) name(word string) uint16 {
	if word == "" {
		return 0
	}
	n, known := r.names[word]
	if !known {
		n = uint16(len(r.names) + 1)
		r.names[word] = n
	}
	return n
}

// Word is the word to which Name gave a number; "" if there is none.
func (r *Record) Word(number uint16) string {
	for word, n := range r.names {
		if n == number {
			return word
		}
	}
	return ""
}

func (r *Record) fate(a Attributes) outcome {
	if r.Rules.Fate == nil {
		return done
	}
	return [...]outcome{done, failed, refused}[r.Rules.Fate(a)]
}

func (r *Record) unsure() bool { return r.Rules.Shared || len(r.loose) > 0 }

// Lost tells whether there were too many possible states to follow.
func (r *Record) Lost() bool { return r.lost }

// States is how many states are possible.
func (r *Record) States() int { return len(r.states) }

// Free tells whether another request can be followed.
func (r *Record) Free() bool { return slices.Contains(r.live[:], nil) }

// Sent notes that a request is about to be sent to a process, and gives its ticket. Free must be true.
func (r *Record) Sent(q Request, process int) (ticket int) {
	ticket = slices.Index(r.live[:], nil)
	r.live[ticket] = &flight{Request: q, process: process}
	r.events++
	return ticket
}

// NotSent notes that a request did not reach the process.
func (r *Record) NotSent(ticket int) {
	r.events++
	r.keep(func(s state) []state {
		if s.slots[ticket].stage != outside {
			return nil
		}
		return []state{s}
	})
	r.clear(ticket)
}

// Unanswered notes that a request will not be answered. It may still take effect until its process dies.
func (r *Record) Unanswered(ticket int) {
	r.events++
	r.live[ticket].unanswered = true
}

// Died notes that a process is dead: what it was sent and did not answer has taken effect
// by now, or never will. Requests whose client still waits are not concerned.
func (r *Record) Died(process int) {
	r.events++
	delete(r.loose, process)
	for ticket, f := range r.live {
		if f != nil && f.process == process && f.unanswered {
			r.settle()
			r.clear(ticket)
		}
	}
}

// Pending tells whether a request to the process is on its way or went unanswered.
func (r *Record) Pending() bool {
	return slices.ContainsFunc(r.live[:], func(f *flight) bool { return f != nil })
}

// Reset forgets everything but that the instance does not exist.
func (r *Record) Reset() {
	fresh := New(r.Rules)
	fresh.names, fresh.ends = r.names, r.ends
	*r = *fresh
}

// settle computes what is possible now; it gives false if that is too much.
func (r *Record) settle() bool {
	if !r.lost && !r.closure() {
		r.lost = true
		r.states = map[state]struct{}{}
	}
	return !r.lost
}

// clear frees a slot.
func (r *Record) clear(ticket int) {
	r.live[ticket] = nil
	r.keep(func(s state) []state {
		s.slots[ticket] = slot{}
		return []state{s}
	})
}

// keep replaces each state by those that f gives, and tells how many there are.
func (r *Record) keep(f func(state) []state) int {
	next := make(map[state]struct{}, len(r.states))
	for s := range r.states {
		for _, n := range f(s) {
			next[n] = struct{}{}
		}
	}
	r.states = next
	return len(next)
}

// refine is keep, unless nothing would be possible any more: then the states stay, so
// that one violation is reported once, and the error describes what was possible.
func (r *Record) refine(what string, f func(state) []state) error {
	if !r.settle() {
		return nil
	}
	before := r.states
	if r.keep(f) > 0 {
		return nil
	}
	r.states = before
	return violation("%s; possible was: %s", what, r.describe())
}
