package record

import (
	"fmt"
	"slices"
	"strings"
)

var verbNames = [...]string{"nothing", "provision", "update", "deprovision", "bind", "unbind", "retry"}

// String is the verb's name.
func (v Verb) String() string { return verbNames[v] }

// String describes a request for a history.
func (q Request) String() string {
	how := "sync"
	if q.Async {
		how = "async"
	}
	switch q.Verb {
	case Provision:
		return fmt.Sprintf("provision %+v %s", q.Wanted, how)
	case Update:
		return fmt.Sprintf("update %+v %s", q.Patch, how)
	case Deprovision:
		return fmt.Sprintf("deprovision plan %d %s", q.Wanted.Plan, how)
	case Bind:
		return fmt.Sprintf("bind %d %+v %s", q.Binding, q.Bind, how)
	}
	if q.Verb == Retry {
		return fmt.Sprintf("retry of operation %d", q.Failed)
	}
	return fmt.Sprintf("unbind %d plan %d %s", q.Binding, q.Wanted.Plan, how)
}

func describeAnswer(q Request, a Answer) string {
	return fmt.Sprintf("%s was answered %d %s %s", q, a.Status, a.Word, a.Operation)
}

func describeRead(what string, status int, more any) string {
	return fmt.Sprintf("a %s was answered %d %v", what, status, more)
}

// describe lists what is possible, at most a dozen states.
func (r *Record) describe() string {
	var list []string
	for s := range r.states {
		list = append(list, s.String())
	}
	slices.Sort(list)
	list = slices.Compact(list)
	if n := len(list); n > 12 {
		list = append(list[:12], fmt.Sprintf("and %d more", n-12))
	}
	return strings.Join(list, "; ")
}

// Describe lists what may be the case now.
func (r *Record) Describe() string {
	if !r.settle() {
		return "anything: too many possibilities"
	}
	return r.describe()
}

// String describes the state without the requests on their way.
func (s state) String() string {
	var b strings.Builder
	switch i := s.inst; {
	case !i.exists:
		b.WriteString("no instance")
	case i.ready:
		fmt.Fprintf(&b, "instance %+v", i.is)
	default:
		fmt.Fprintf(&b, "unready instance %+v", i.is)
	}
	suffix(&b, s.inst.op, s.inst.last)
	for n, bind := range s.binds {
		if bind.exists || bind.op.verb != None || bind.last.verb != None {
			fmt.Fprintf(&b, ", binding %d %s", n, map[bool]string{true: "ready", false: "unready"}[bind.ready])
			if !bind.exists {
				b.WriteString(" (gone)")
			}
			suffix(&b, bind.op, bind.last)
		}
	}
	for n, l := range s.slots {
		if l != (slot{}) {
			fmt.Fprintf(&b, ", request %d %+v", n, l)
		}
	}
	return b.String()
}

func suffix(b *strings.Builder, op operation, last past) {
	if op.verb != None {
		fmt.Fprintf(b, " [%s runs]", op.verb)
	}
	if last.verb != None {
		fmt.Fprintf(b, " [last %s ok=%t told=%t]", last.verb, last.ok, last.told)
	}
}
