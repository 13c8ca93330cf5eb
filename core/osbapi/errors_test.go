package osbapi

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// request of each verb, with a complete form.
var verbRequests = map[core.Verb]struct{ method, target, body string }{
	core.VerbProvision:   {"PUT", "/v2/service_instances/i", goodProvision},
	core.VerbUpdate:      {"PATCH", "/v2/service_instances/i", goodUpdate},
	core.VerbDeprovision: {"DELETE", "/v2/service_instances/i?service_id=s&plan_id=p", ""},
	core.VerbBind:        {"PUT", "/v2/service_instances/i/service_bindings/b", goodBind},
	core.VerbUnbind:      {"DELETE", "/v2/service_instances/i/service_bindings/b?service_id=s&plan_id=p", ""},
}

// TestTranslation: every code at every verb. ERR-02..ERR-07, ORP-01.
func TestTranslation(t *testing.T) {
	camelCase := regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	for _, tc := range []struct {
		code    core.ErrorCode
		backend bool
		want    int
		// changing is the status for update, deprovision and unbind, if another.
		changing int
		word     string
		why      string
	}{
		{code: core.CodeInvalid, want: 400, word: "BadRequest", why: "ERR-10"},
		{code: core.CodeInvalid, backend: true, want: 400, word: "BadRequest", why: "a plugin's invalid_input is the user's too"},
		{code: core.CodeConflict, want: 409, word: "Conflict", why: "PRO-06, BND-06: the id is taken"},
		{code: core.CodeConflict, backend: true, want: 400, changing: 422, word: "Conflict", why: "a name is taken at the backend: 409 would speak of the id"},
		{code: core.CodeNotFound, want: 404, word: "NotFound", why: "C-7"},
		{code: core.CodeNotFound, backend: true, want: 400, changing: 422, word: "NotFound", why: "404 would speak of the instance"},
		{code: core.CodeGone, want: 410, word: "Gone", why: "DEP-05, UNB-06"},
		{code: core.CodeAsyncRequired, want: 422, word: "AsyncRequired", why: "ASY-03, ERR-07"},
		{code: core.CodeConcurrency, want: 422, word: "ConcurrencyError", why: "CON-01, ERR-07"},
		{code: core.CodeRequiresApp, want: 422, word: "RequiresApp", why: "BND-10, ERR-07"},
		{code: core.CodeMaintenanceInfo, want: 422, word: "MaintenanceInfoConflict", why: "PRO-13, ERR-07"},
		{code: core.CodeUnprocessable, want: 422, word: "Unprocessable", why: "UPD-09"},
		{code: core.CodeOverloaded, want: 429, word: "Overloaded", why: "ORP-01: refused without effect is never a 5xx"},
		{code: core.CodeUnavailable, want: 500, word: "Unavailable", why: "the outcome may be unknown"},
		{code: core.CodeCancelled, want: 500, word: "Cancelled", why: "platforms clean up"},
		{code: core.CodeDeadline, want: 500, word: "DeadlineExceeded", why: "platforms clean up"},
		{code: core.CodeFailed, want: 500, word: "Failed", why: "platforms clean up"},
		{code: core.CodeStillRunning, want: 500, word: "StillRunning", why: "the work goes on"},
		{code: "never heard of", want: 500, word: "Failed", why: "a new code is a failure until it is translated"},
	} {
		for verb, req := range verbRequests {
			want := tc.want
			if tc.changing != 0 && verb != core.VerbProvision && verb != core.VerbBind {
				want = tc.changing
			}
			err := (&core.Error{Code: tc.code, Message: "Words.", Hint: "Do this.", ID: "op-9", Backend: tc.backend,
				Detail: "operator only", InstanceUsable: yes(), UpdateRepeatable: yes()})
			a := send(t, serve(t, &recorder{err: err}, nil), req.method, req.target, req.body)
			if a.status != want || a.body["error"] != tc.word {
				t.Errorf("%s at %s (%s): got %d %v, want %d %s", tc.code, verb, tc.why, a.status, a.body["error"], want, tc.word)
			}
			if !camelCase.MatchString(tc.word) {
				t.Errorf("ERR-03: %q is not one CamelCase word", tc.word)
			}
			if a.description() == "" {
				t.Errorf("ERR-04: %s at %s: no description: %s", tc.code, verb, a.raw)
			}
			if strings.Contains(string(a.raw), "operator only") {
				t.Errorf("%s at %s: the operator's detail is in the answer: %s", tc.code, verb, a.raw)
			}
			said := a.description()
			if more, ok := a.body[fieldMessage].(string); ok {
				said += " " + more
			}
			for _, part := range []string{"Words.", "Do this.", "op-9"} {
				if !strings.Contains(said, part) {
					t.Errorf("%s at %s: %q is not in the answer: %s", tc.code, verb, part, a.raw)
				}
			}
			_, usable := a.body["instance_usable"]
			if wantUsable := verb == core.VerbUpdate || verb == core.VerbDeprovision; usable != wantUsable {
				t.Errorf("ERR-05: %s at %s: instance_usable is there: %v", tc.code, verb, usable)
			}
			if _, repeatable := a.body["update_repeatable"]; repeatable != (verb == core.VerbUpdate) {
				t.Errorf("ERR-06: %s at %s: update_repeatable is there: %v", tc.code, verb, repeatable)
			}
		}
	}
}

// TestExactDescriptions: A-19, letter by letter.
func TestExactDescriptions(t *testing.T) {
	for code, want := range map[core.ErrorCode]string{
		core.CodeAsyncRequired: "This service plan requires client support for asynchronous service operations.",
		core.CodeConcurrency:   "The Service Broker does not support concurrent requests that mutate the same resource.",
		core.CodeRequiresApp:   "This service supports generation of credentials through binding an application only.",
	} {
		err := core.Errorf(code, "Something of ours.").WithHint("A hint.")
		a := send(t, serve(t, &recorder{err: err}, nil), "PUT", "/v2/service_instances/i/service_bindings/b", goodBind)
		if a.description() != want {
			t.Errorf("%s: got %q, want %q", code, a.description(), want)
		}
		if got := a.body[fieldMessage]; got != "Something of ours. A hint. [request-1]" {
			t.Errorf("EXT-02: %s: what we have to say besides is %q", code, got)
		}
	}
}

func TestErrorExtras(t *testing.T) {
	after := func(code core.ErrorCode, d time.Duration) *core.Error {
		e := core.Errorf(code, "m")
		e.RetryAfter = d
		return e
	}
	for _, tc := range []struct {
		err  error
		want string // Retry-After
		why  string
	}{
		{after(core.CodeOverloaded, 0), "5", "a refusal always says when to come back"},
		{after(core.CodeOverloaded, 1500*time.Millisecond), "2", "whole seconds, rounded up"},
		{after(core.CodeStillRunning, time.Millisecond), "1", "at least one second"},
		{after(core.CodeFailed, 0), "", "nobody knows"},
	} {
		a := send(t, serve(t, &recorder{err: tc.err}, nil), "PUT", "/v2/service_instances/i", goodProvision)
		if got := a.header.Get("Retry-After"); got != tc.want {
			t.Errorf("%v (%s): Retry-After is %q, want %q", tc.err, tc.why, got, tc.want)
		}
	}
	// An error that is not ours shows nothing of itself, but an id.
	a := send(t, serve(t, &recorder{err: errForeign{}}, nil), "PUT", "/v2/service_instances/i", goodProvision)
	if a.status != 500 || strings.Contains(string(a.raw), "dsn=secret") || !strings.Contains(a.description(), "request-1") {
		t.Errorf("a foreign error: got %d %s", a.status, a.raw)
	}
}

type errForeign struct{}

func (errForeign) Error() string { return "dial dsn=secret" }

// TestOutcomes: the statuses and bodies of success.
func TestOutcomes(t *testing.T) {
	for _, tc := range []struct {
		verb    core.Verb
		outcome core.Outcome
		want    int
		body    string
		why     string
	}{
		{core.VerbProvision, core.Created, 201, `{"dashboard_url":"https://d"}`, "PRO-02"},
		{core.VerbProvision, core.Unchanged, 200, `{"dashboard_url":"https://d"}`, "PRO-04"},
		{core.VerbProvision, core.Accepted, 202, `{"dashboard_url":"https://d","operation":"op"}`, "PRO-03, PRO-15"},
		{core.VerbUpdate, core.Done, 200, `{"dashboard_url":"https://d"}`, "UPD-01"},
		{core.VerbUpdate, core.Unchanged, 200, `{"dashboard_url":"https://d"}`, "UPD-01"},
		{core.VerbUpdate, core.Accepted, 202, `{"dashboard_url":"https://d","operation":"op"}`, "UPD-02, UPD-18"},
		{core.VerbDeprovision, core.Done, 200, `{}`, "DEP-02, A-1"},
		{core.VerbDeprovision, core.Accepted, 202, `{"operation":"op"}`, "DEP-03"},
		{core.VerbBind, core.Created, 201, `{"credentials":{"k":"v"}}`, "BND-02"},
		{core.VerbBind, core.Unchanged, 200, `{"credentials":{"k":"v"}}`, "BND-05"},
		{core.VerbBind, core.Accepted, 202, `{"operation":"op"}`, "BND-03: nothing else"},
		{core.VerbUnbind, core.Done, 200, `{}`, "UNB-02, A-1"},
		{core.VerbUnbind, core.Accepted, 202, `{"operation":"op"}`, "UNB-03"},
		{core.VerbUnbind, 99, 500, "", "an outcome that is none"},
	} {
		r := &recorder{
			instance: core.InstanceAnswer{Outcome: tc.outcome, Operation: "op", DashboardURL: "https://d"},
			binding:  core.BindingAnswer{Outcome: tc.outcome, Operation: "op", Result: &core.BindingResult{Credentials: []byte(`{"k":"v"}`)}},
		}
		req := verbRequests[tc.verb]
		a := send(t, serve(t, r, nil), req.method, req.target, req.body)
		if a.status != tc.want || tc.body != "" && string(a.raw) != tc.body {
			t.Errorf("%s (%s): got %d %s, want %d %s", tc.verb, tc.why, a.status, a.raw, tc.want, tc.body)
		}
		if after := a.header.Get("Retry-After"); (after == "2") != (tc.want == 202) {
			t.Errorf("%s (%s): Retry-After is %q", tc.verb, tc.why, after)
		}
	}
}

func TestPolls(t *testing.T) {
	for _, tc := range []struct {
		view  core.OperationView
		after string
		body  string
		why   string
	}{
		{core.OperationView{State: "in progress", Description: "half", Verb: core.VerbProvision, RetryAfter: 2500 * time.Millisecond}, "3",
			`{"description":"half","state":"in progress"}`, "LOI-09: seconds"},
		{core.OperationView{State: "succeeded", Description: "done", Verb: core.VerbProvision, RetryAfter: time.Second}, "",
			`{"description":"done","state":"succeeded"}`, "only while in progress"},
		{core.OperationView{State: "succeeded", Verb: core.VerbProvision}, "", `{"state":"succeeded"}`, "LOI-07: never an empty description"},
		{core.OperationView{State: "failed", Description: "d", Verb: core.VerbUpdate, InstanceUsable: yes(), UpdateRepeatable: yes()}, "",
			`{"description":"d","instance_usable":true,"state":"failed","update_repeatable":true}`, "LOI-08"},
		{core.OperationView{State: "failed", Description: "d", Verb: core.VerbDeprovision, InstanceUsable: yes(), UpdateRepeatable: yes()}, "",
			`{"description":"d","instance_usable":true,"state":"failed"}`, "LOI-08: update_repeatable is for updates"},
		{core.OperationView{State: "failed", Description: "d", Verb: core.VerbBind, InstanceUsable: yes(), UpdateRepeatable: yes()}, "",
			`{"description":"d","state":"failed"}`, "LOB-09"},
	} {
		a := send(t, serve(t, &recorder{operation: tc.view}, nil), "GET", "/v2/service_instances/i/last_operation", "")
		if a.status != 200 || string(a.raw) != tc.body || a.header.Get("Retry-After") != tc.after {
			t.Errorf("%s: got %d %s, Retry-After %q", tc.why, a.status, a.raw, a.header.Get("Retry-After"))
		}
	}
}
