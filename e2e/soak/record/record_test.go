package record

import (
	"errors"
	"strings"
	"testing"
)

// Plans of the tests.
const (
	planPlain, planAsync, planFails, planRefuses, planKeeps = 0, 1, 2, 3, 4
)

func testRules() Rules {
	return Rules{
		AsyncOnly: func(plan uint8) bool { return plan == planAsync },
		Fate: func(a Attributes) Fate {
			return map[uint8]Fate{planFails: Fails, planRefuses: Refuses}[a.Plan]
		},
		Keeps: func(plan uint8) bool { return plan == planKeeps },
	}
}

// script drives a Record; its steps read like a client's log.
type script struct {
	t *testing.T
	*Record
	bad []string // the violations
}

func (s *script) check(err error) {
	var v *Violation
	if errors.As(err, &v) {
		s.bad = append(s.bad, v.Text)
	} else if err != nil {
		s.t.Fatal(err)
	}
}

// ask is a request that is answered.
func (s *script) ask(q Request, a Answer) { s.check(s.Answered(s.Sent(q, 1), a)) }

func (s *script) get(status int, is Attributes) { s.check(s.Instance(s.Read(), status, is)) }

func (s *script) fetch(status int, credentials string) {
	s.check(s.Fetched(s.Read(), 0, status, credentials))
}

func (s *script) poll(binding int8, operation string, status int, told string) {
	s.check(s.Poll(s.Read(), binding, operation, status, told))
}

var (
	plain     = Attributes{Plan: planPlain, Parameters: 1}
	other     = Attributes{Plan: planPlain, Parameters: 2}
	provision = Request{Verb: Provision, Wanted: plain}
	again     = Request{Verb: Provision, Wanted: plain, Async: true}
	deprov    = Request{Verb: Deprovision, Async: true}
	bind      = Request{Verb: Bind}
	bindLater = Request{Verb: Bind, Async: true}
	unbind    = Request{Verb: Unbind}
	update    = Request{Verb: Update, Patch: Patch{Parameters: 3}}
	created   = Answer{Status: 201}
	ok        = Answer{Status: 200}
	key       = Answer{Status: 201, Credentials: "key"}
	gone      = Answer{Status: 410}
)

func accepted(operation string) Answer { return Answer{Status: 202, Operation: operation} }

// Each case is a log of one client; bad is a part of the violation that it must be
// reported as, "" if all may be so.
func TestRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		log func(*script)
		bad string
	}{
		"a life": {func(s *script) {
			s.get(404, Attributes{})
			s.ask(provision, created)
			s.ask(again, ok)
			s.get(200, plain)
			s.ask(bind, key)
			s.fetch(200, "key")
			s.ask(update, ok)
			s.get(200, other)
			s.ask(unbind, ok)
			s.ask(unbind, gone)
			s.ask(deprov, ok)
			s.ask(deprov, gone)
			s.poll(-1, "", 200, "succeeded")
		}, ""},
		"an instance that is forgotten": {func(s *script) {
			s.ask(provision, created)
			s.get(404, Attributes{})
		}, "fetch of the instance was answered 404"},
		"a deletion that is forgotten": {func(s *script) {
			s.ask(provision, created)
			s.ask(deprov, ok)
			s.get(200, plain)
		}, "fetch of the instance was answered 200"},
		"made twice for one request": {func(s *script) {
			s.ask(provision, created)
			s.ask(provision, created)
		}, "answered 201"},
		"an id that is taken is given to something else": {func(s *script) {
			s.ask(provision, created)
			s.ask(Request{Verb: Provision, Wanted: other}, ok)
		}, "answered 200"},
		"a taken id is refused": {func(s *script) {
			s.ask(provision, created)
			s.ask(Request{Verb: Provision, Wanted: other}, Answer{Status: 409})
		}, ""},
		"a repeat joins the operation": {func(s *script) {
			s.ask(again, accepted("op"))
			s.ask(again, accepted("op"))
		}, ""},
		"a repeat starts the work again": {func(s *script) {
			s.ask(again, accepted("op"))
			s.ask(again, accepted("op 2"))
		}, "answered 202"},
		"an operation that fails although nothing says so": {func(s *script) {
			s.ask(again, accepted("op"))
			s.poll(-1, "op", 200, "failed")
		}, "failed"},
		"an operation that ends twice": {func(s *script) {
			s.ask(again, accepted("op"))
			s.poll(-1, "op", 200, "succeeded")
			s.ask(deprov, ok)
			s.poll(-1, "op", 200, "failed")
		}, "after it had succeeded"},
		"a failure is told, then the repeat begins again": {func(s *script) {
			q := Request{Verb: Provision, Wanted: Attributes{Plan: planFails}, Async: true}
			s.ask(q, accepted("op"))
			s.poll(-1, "op", 200, "failed")
			s.ask(q, accepted("op 2"))
		}, ""},
		"a failure that was told is told again": {func(s *script) {
			q := Request{Verb: Provision, Wanted: Attributes{Plan: planFails}, Async: true}
			s.ask(q, accepted("op"))
			s.poll(-1, "op", 200, "failed")
			s.ask(q, accepted("op"))
		}, "answered 202"},
		"what is refused leaves nothing": {func(s *script) {
			s.ask(Request{Verb: Provision, Wanted: Attributes{Plan: planRefuses}}, Answer{Status: 400})
			s.get(404, Attributes{})
			s.ask(deprov, gone)
		}, ""},
		"what is refused leaves a row": {func(s *script) {
			s.ask(Request{Verb: Provision, Wanted: Attributes{Plan: planRefuses}}, Answer{Status: 400})
			s.ask(Request{Verb: Deprovision}, ok)
		}, "answered 200"},
		"a 429 has no effect": {func(s *script) {
			s.ask(again, Answer{Status: 429})
			s.ask(deprov, gone)
		}, ""},
		"a 429 has an effect": {func(s *script) {
			s.ask(again, Answer{Status: 429})
			s.get(200, plain)
		}, "fetch of the instance was answered 200"},
		"without an answer it was made": {func(s *script) {
			s.Unanswered(s.Sent(provision, 1))
			s.get(200, plain)
			s.ask(provision, ok)
		}, ""},
		"without an answer it was not made": {func(s *script) {
			s.Unanswered(s.Sent(provision, 1))
			s.Died(1)
			s.get(404, Attributes{}) // or is not ready yet
			s.ask(provision, created)
		}, ""},
		"what was seen does not vanish with the process": {func(s *script) {
			s.Unanswered(s.Sent(provision, 1))
			s.get(200, plain)
			s.Died(1)
			s.get(404, Attributes{})
		}, "fetch of the instance was answered 404"},
		"a deletion that hung takes effect late": {func(s *script) {
			s.ask(provision, created)
			s.Unanswered(s.Sent(deprov, 1))
			s.get(200, plain)
			s.get(404, Attributes{})
		}, ""},
		"no deletion takes effect after its process is dead and the instance was seen": {func(s *script) {
			s.ask(provision, created)
			s.Unanswered(s.Sent(deprov, 1))
			s.Died(1)
			s.get(200, plain)
			s.get(404, Attributes{})
		}, "fetch of the instance was answered 404"},
		"a late request of another process may": {func(s *script) {
			s.ask(provision, created)
			s.Unanswered(s.Sent(deprov, 2))
			s.Died(1)
			s.get(200, plain)
			s.get(404, Attributes{})
		}, ""},
		"an unavailable store leaves both possible": {func(s *script) {
			s.ask(again, Answer{Status: 500, Word: "Unavailable"})
			s.ask(deprov, gone)
			s.get(200, plain) // the commit came after all
		}, ""},
		"a bind waits behind the provision": {func(s *script) {
			s.ask(again, accepted("op"))
			s.ask(bindLater, accepted("op b"))
			s.fetch(200, "key")
			s.get(200, plain)
		}, ""},
		"a binding of an instance that is not there": {func(s *script) {
			s.ask(bindLater, accepted("op b"))
		}, "answered 202"},
		"a bind that waited too long leaves nothing": {func(s *script) {
			s.ask(again, accepted("op"))
			s.ask(bind, Answer{Status: 422})
			s.fetch(404, "")
			s.ask(bind, key)
		}, ""},
		"a bind waits too long for nothing": {func(s *script) {
			s.ask(provision, created)
			s.ask(bind, Answer{Status: 422})
		}, "answered 422"},
		"credentials that change": {func(s *script) {
			s.ask(provision, created)
			s.ask(bind, key)
			s.fetch(200, "another key")
		}, "fetch of a binding"},
		"an update while a bind runs": {func(s *script) {
			s.ask(again, accepted("op"))
			s.ask(bindLater, accepted("op b"))
			s.ask(update, Answer{Status: 422})
		}, ""},
		"a deletion cancels the provision": {func(s *script) {
			s.ask(again, accepted("op"))
			s.ask(deprov, accepted("op d"))
			s.poll(-1, "op", 200, "failed")
			s.poll(-1, "op d", 200, "succeeded")
			s.ask(again, accepted("op 2"))
		}, ""},
		"a new provision while the deletion runs": {func(s *script) {
			s.ask(provision, created)
			s.ask(deprov, accepted("op d"))
			s.poll(-1, "op d", 200, "in progress")
			s.ask(again, Answer{Status: 422})
		}, ""},
		"a plan that wants asynchronous requests": {func(s *script) {
			s.ask(Request{Verb: Provision, Wanted: Attributes{Plan: planAsync}}, Answer{Status: 422, Word: "AsyncRequired"})
			s.get(404, Attributes{})
		}, ""},
		"AsyncRequired for a plan that does not": {func(s *script) {
			s.ask(provision, Answer{Status: 422, Word: "AsyncRequired"})
		}, "AsyncRequired"},
		"a full instance is not deleted": {func(s *script) {
			q := Attributes{Plan: planKeeps}
			s.ask(Request{Verb: Provision, Wanted: q}, created)
			s.Fill(true)
			s.ask(Request{Verb: Deprovision, Wanted: q}, Answer{Status: 422})
			s.get(200, q)
			s.Empty(true)
			s.ask(Request{Verb: Deprovision, Wanted: q}, ok)
		}, ""},
		"a full instance is deleted": {func(s *script) {
			q := Attributes{Plan: planKeeps}
			s.ask(Request{Verb: Provision, Wanted: q}, created)
			s.Fill(true)
			s.ask(Request{Verb: Deprovision, Wanted: q}, ok)
		}, "answered 200"},
		"a refused deletion is told, then it begins again": {func(s *script) {
			q := Attributes{Plan: planKeeps}
			s.ask(Request{Verb: Provision, Wanted: q}, created)
			s.Fill(true)
			s.ask(Request{Verb: Deprovision, Wanted: q, Async: true}, accepted("op"))
			s.Empty(true)
			s.ask(Request{Verb: Deprovision, Wanted: q, Async: true}, accepted("op"))
			s.poll(-1, "op", 200, "failed")
			s.ask(Request{Verb: Deprovision, Wanted: q, Async: true}, accepted("op 2"))
			s.poll(-1, "op 2", 200, "succeeded")
		}, ""},
		"a rotation carries on": {func(s *script) {
			s.ask(provision, created)
			s.ask(bind, key)
			s.ask(Request{Verb: Bind, Binding: 1, Bind: BindAttributes{Predecessor: 1}}, Answer{Status: 201, Credentials: "key 2"})
			s.fetch(200, "key")
		}, ""},
		"an operator cancels a provision, then retries it": {func(s *script) {
			s.ask(again, accepted("op"))
			s.Cancelling("op")
			s.poll(-1, "op", 200, "failed")
			s.ask(Request{Verb: Retry, Failed: s.Name("op")}, Answer{Status: 200, Operation: "op 2"})
			s.poll(-1, "op 2", 200, "succeeded")
			s.get(200, plain)
		}, ""},
		"an operator retries what succeeded": {func(s *script) {
			s.ask(again, accepted("op"))
			s.poll(-1, "op", 200, "succeeded")
			s.ask(Request{Verb: Retry, Failed: s.Name("op")}, Answer{Status: 200, Operation: "op 2"})
		}, "retry"},
		"an operator cancels an update: it may be done or not": {func(s *script) {
			s.ask(provision, created)
			s.ask(Request{Verb: Update, Patch: update.Patch, Async: true}, accepted("op"))
			s.Cancelling("op")
			s.poll(-1, "op", 200, "failed")
			s.get(200, plain)
		}, ""},
		"a read that crossed another request is not judged": {func(s *script) {
			reading := s.Read()
			s.ask(provision, created)
			s.check(s.Instance(reading, 404, Attributes{}))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{t: t, Record: New(testRules())}
			tc.log(s)
			switch {
			case tc.bad == "" && len(s.bad) > 0:
				t.Errorf("reported: %q", s.bad)
			case tc.bad != "" && (len(s.bad) != 1 || !strings.Contains(s.bad[0], tc.bad)):
				t.Errorf("reported: %q, want one with %q", s.bad, tc.bad)
			case s.Lost() || s.States() == 0:
				t.Errorf("%d states, lost: %t", s.States(), s.Lost())
			}
		})
	}
}

// Requests beside each other: every order is possible, and the answers tell which it was.
func TestRequestsAtOnce(t *testing.T) {
	s := &script{t: t, Record: New(testRules())}
	s.ask(provision, created)
	delete := s.Sent(deprov, 1)
	binding := s.Sent(bindLater, 1)
	s.check(s.Answered(binding, Answer{Status: 404})) // so the deletion came first
	s.check(s.Answered(delete, accepted("op d")))
	s.get(404, Attributes{})
	if len(s.bad) > 0 {
		t.Errorf("reported: %q", s.bad)
	}
}

// Truth at rest: what an unanswered request leaves open is settled by one look.
func TestTruth(t *testing.T) {
	s := &script{t: t, Record: New(testRules())}
	s.Unanswered(s.Sent(provision, 1))
	s.Died(1)
	if n := len(s.Rest()); n != 2 {
		t.Fatalf("%d truths, want made and not made", n)
	}
	s.check(s.Saw("it is there", func(truth Truth) bool { return truth.Exists }))
	if truths := s.Rest(); len(truths) != 1 || truths[0].Is != plain {
		t.Errorf("truths: %+v", truths)
	}
	s.check(s.Saw("it is not there", func(truth Truth) bool { return !truth.Exists }))
	if len(s.bad) != 1 {
		t.Errorf("reported: %q, want one", s.bad)
	}
}

// Credentials: alive and dead only where it is certain.
func TestStanding(t *testing.T) {
	s := &script{t: t, Record: New(testRules())}
	s.ask(provision, created)
	s.ask(bind, key)
	n := s.Name("key")
	if alive, dead := s.Standing(0, n); !alive || dead {
		t.Errorf("bound: alive %t, gone %t", alive, dead)
	}
	s.Unanswered(s.Sent(unbind, 1))
	if alive, dead := s.Standing(0, n); alive || dead {
		t.Errorf("perhaps unbound: alive %t, gone %t", alive, dead)
	}
	s.ask(unbind, gone)
	if alive, dead := s.Standing(0, n); alive || !dead {
		t.Errorf("unbound: alive %t, gone %t", alive, dead)
	}
}
