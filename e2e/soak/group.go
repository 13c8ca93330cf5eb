package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/e2e/soak/record"
)

// group is one instance id with its bindings: what its client does, and what it was told.
type group struct {
	w  *world
	id string
	// first are the attributes that most of its provisions ask for; plans are those
	// that an update may choose.
	first record.Attributes
	plans []uint8

	mu sync.Mutex
	*record.Record
	// believes is what the client thinks that the instance is.
	believes record.Attributes
	// operations are the ids that the client was told, by subject (0 the instance), the newest last.
	operations [1 + record.Bindings][]string
	// cancellable are the provisions, updates and binds among them.
	cancellable []string
	// credentials are those that the client was told, by their number in the record.
	credentials map[uint16]told
	history     []string
	violations  []*violation
	begun       time.Time
	wg          sync.WaitGroup // requests on their way
}

// told are credentials as a client got them.
type told struct {
	binding int8
	write   bool
	keys    // of a bucket
	// Password is of the demo service.
	Password string
}

// violation is what must not be.
type violation struct {
	group *group // nil if it concerns none
	text  string
}

func (v *violation) Error() string { return v.text }

func newGroup(w *world, n int, prefix string) *group {
	g := &group{w: w, id: fmt.Sprintf("%s-%d", prefix, n), credentials: map[uint16]told{}, begun: time.Now()}
	g.Record = record.New(rules(w.database != nil))
	kinds := []struct {
		plan, parameters uint8
		plans            []uint8
	}{
		{planQuick, 1, []uint8{planQuick, planSteps, planBlocking}},
		{planPurge, 1, []uint8{planPurge, planRefuse}},
		{planSteps, 0, []uint8{planQuick, planSteps, planFlaky}},
		{planRefuse, 2, []uint8{planPurge, planRefuse}},
		{planFlaky, 2, []uint8{planFlaky, planSteps}},
		{planPurge, 0, nil},
		{planAsync, 1, nil},
		{planPurge, parametersTaken, nil},
		{planBlocking, 0, []uint8{planBlocking, planFlaky}},
		{planRefuse, 0, nil},
		{planCrashing, 1, nil},
		{planFailing, 0, nil},
	}
	k := kinds[n%len(kinds)]
	g.first, g.plans = record.Attributes{Plan: k.plan, Parameters: k.parameters}, k.plans
	g.believes = g.first
	return g
}

// bucket is the name that the group asks for.
func (g *group) bucket() string { return g.id }

// note adds a line to the history. The group is locked.
func (g *group) note(format string, args ...any) {
	const keep = 600
	line := fmt.Sprintf("%9.3f ", time.Since(g.begun).Seconds()) + fmt.Sprintf(format, args...)
	if g.history = append(g.history, line); len(g.history) > 2*keep {
		g.history = append([]string(nil), g.history[keep:]...)
	}
}

// check keeps a violation. The group is locked.
func (g *group) check(err error) {
	if err == nil {
		return
	}
	g.note("VIOLATION: %v", err)
	g.violations = append(g.violations, &violation{g, err.Error()})
	g.w.counts.violations.Add(1)
}

func (g *group) path(binding int8) string {
	p := "/v2/service_instances/" + url.PathEscape(g.id)
	if binding >= 0 {
		p += "/service_bindings/" + url.PathEscape(g.bindingID(binding))
	}
	return p
}

func (g *group) bindingID(b int8) string { return fmt.Sprintf("%s-b%d", g.id, b) }

// http words a request.
func (g *group) http(q record.Request) (method, path string, body any) {
	query := url.Values{}
	if q.Async {
		query.Set("accepts_incomplete", "true")
	}
	doc := map[string]any{}
	switch q.Verb {
	case record.Provision:
		method, path = "PUT", g.path(-1)
		doc["service_id"], doc["plan_id"] = serviceOf(q.Wanted.Plan), planID(q.Wanted.Plan)
		doc["organization_guid"], doc["space_guid"] = "o", "s"
		doc["parameters"] = g.parameters(q.Wanted)
		if q.Invalid {
			doc["parameters"] = map[string]any{"size": "many", "nonsense": true}
		}
	case record.Update:
		method, path = "PATCH", g.path(-1)
		doc["service_id"] = serviceOf(g.first.Plan)
		if q.Patch.Plan > 0 {
			doc["plan_id"] = planID(q.Patch.Plan - 1)
		}
		if q.Patch.Parameters > 0 {
			doc["parameters"] = map[string]any{"size": size(q.Patch.Parameters - 1)}
		}
	case record.Retry:
		return "POST", "/admin/v1/operations/" + url.PathEscape(g.Word(q.Failed)) + "/retry", nil
	case record.Bind:
		method, path = "PUT", g.path(q.Binding)
		if p := q.Bind.Predecessor; p > 0 {
			doc["predecessor_binding_id"] = g.bindingID(int8(p - 1))
			break
		}
		doc["service_id"], doc["plan_id"] = serviceOf(q.Bind.Plan), planID(q.Bind.Plan)
		if q.Bind.Access > 0 {
			doc["parameters"] = map[string]any{"access": "read-only"}
		}
	default:
		method, path = "DELETE", g.path(-1)
		if q.Verb == record.Unbind {
			path = g.path(q.Binding)
		}
		query.Set("service_id", serviceOf(q.Wanted.Plan))
		query.Set("plan_id", planID(q.Wanted.Plan))
		return method, path + "?" + query.Encode(), nil
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return method, path, doc
}

// size is the parameter behind a number of parameters.
func size(parameters uint8) int { return 10 * int(parameters) }

func (g *group) parameters(a record.Attributes) map[string]any {
	p := map[string]any{}
	if a.Plan >= planPurge {
		p["bucketName"] = g.bucket()
	}
	switch {
	case a.Parameters == parametersTaken:
		p["bucketName"] = takenBucket
	case a.Parameters > 0:
		p["size"] = size(a.Parameters)
	}
	return p
}

// ask sends a request that may change something, and notes what comes of it. patience
// is when the client hangs up. It gives the answer's status, 0 if there was none.
func (g *group) ask(ctx context.Context, rng *rand.Rand, q record.Request, patience time.Duration) int {
	g.mu.Lock()
	r, process, ok := g.w.pick(rng)
	if !ok || !g.Free() {
		g.mu.Unlock()
		return 0
	}
	ticket := g.Sent(q, process)
	g.note("> %d %s to process %d", ticket, q, process)
	g.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	method, path, body := g.http(q)
	a := send(ctx, r.Broker, method, path, body)

	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case a.unsent:
		g.note("< %d never sent", ticket)
		g.NotSent(ticket)
	case a.err != nil:
		g.note("< %d no answer: %v", ticket, a.err)
		g.Unanswered(ticket)
		g.w.counts.unanswered.Add(1)
		if g.w.isDead(process) {
			g.Died(process)
		}
	default:
		g.answered(ticket, q, a)
		if g.w.isDead(process) {
			g.Died(process) // if the outcome stayed unknown
		}
		return a.status
	}
	return 0
}

// answered notes an answer. The group is locked.
func (g *group) answered(ticket int, q record.Request, a answer) {
	g.w.counts.answer(a.status)
	g.w.counts.kind(q, a)
	g.note("< %d %d %s %s %s", ticket, a.status, a.body.Error, a.body.Operation, a.body.Description)
	credentials := g.learn(q.Binding, q.Bind.Access == 0 && q.Bind.Predecessor == 0, a)
	subject := 0
	if q.Verb == record.Bind || q.Verb == record.Unbind {
		subject = 1 + int(q.Binding)
	}
	if a.body.Operation != "" {
		g.operations[subject] = append(g.operations[subject], a.body.Operation)
		if q.Verb == record.Provision || q.Verb == record.Update || q.Verb == record.Bind {
			g.cancellable = append(g.cancellable, a.body.Operation)
		}
	}
	if a.status < 300 {
		switch q.Verb {
		case record.Provision:
			g.believes = q.Wanted
		case record.Update:
			if q.Patch.Plan > 0 {
				g.believes.Plan = q.Patch.Plan - 1
			}
		}
	}
	g.check(g.Answered(ticket, record.Answer{Status: a.status, Word: a.body.Error, Operation: a.body.Operation, Credentials: credentials}))
}

// learn keeps the credentials of an answer, and gives them in the form that is compared.
func (g *group) learn(binding int8, write bool, a answer) string {
	if len(a.body.Credentials) == 0 {
		return ""
	}
	t := told{binding: binding, write: write}
	var both struct {
		keys
		Password string
	}
	if err := json.Unmarshal(a.body.Credentials, &both); err != nil {
		return string(a.body.Credentials)
	}
	t.keys, t.Password = both.keys, both.Password
	text := fmt.Sprintf("%d:%s:%s:%s", binding, t.Key, t.Secret, t.Password)
	n := g.Name(text)
	if _, known := g.credentials[n]; !known {
		g.credentials[n] = t
	}
	return text
}
