package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

const strangeCatalog = `{"services":[{"id":"s","name":"svc","bindable":true,"plans":[{"id":"p","name":"plan"}]}]}`

// strangeBroker answers the catalog, and everything else as told.
func strangeBroker(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/catalog" {
			fmt.Fprint(w, strangeCatalog)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv
}

// Brokers of others: the client says what came, and never hangs or panics.
func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why, body   string
		answer      int
		status      int
		wanted      string
		out         bool // wanted is on standard output
		contentType string
	}{
		{why: "a proxy's page instead of the broker", answer: 200, body: "<html>hello</html>", status: exitFailed, wanted: "is not the JSON that was expected: <html>hello</html>"},
		{why: "a proxy's error page", answer: 502, body: "<html>bad gateway</html>", status: exitFailed, wanted: "502 Bad Gateway\n<html>bad gateway"},
		{why: "nothing at all", answer: 500, body: "", status: exitFailed, wanted: "the broker answered 500 Internal Server Error"},
		{why: "no body where {} should be: it worked", answer: 201, body: "", status: exitOK, wanted: "instance_id  i", out: true},
		{why: "null where {} should be", answer: 201, body: "null", status: exitOK, wanted: "instance_id  i", out: true},
		{why: "a list where an object should be", answer: 200, body: "[]", status: exitFailed, wanted: "is not the JSON that was expected: []"},
		{why: "an error with a word but no text", answer: 422, body: `{"error":"AsyncRequired"}`, status: exitFailed, wanted: "AsyncRequired"},
		{why: "an error whose text is a number", answer: 400, body: `{"description": 7}`, status: exitFailed, wanted: "400 Bad Request"},
		{why: "a large number keeps its digits", answer: 200, body: `{"n": 9007199254740993}`, status: exitOK, wanted: "n            9007199254740993", out: true},
		{why: "what a terminal would obey is quoted", answer: 200, body: `{"dashboard_url": "x\u001b[2Jy"}`, status: exitOK, wanted: `"x\u001b[2Jy"`, out: true},
		{why: "a text of several lines stays one value", answer: 200, body: `{"pem": "a\nb"}`, status: exitOK, wanted: `"a\nb"`, out: true},
	} {
		srv := strangeBroker(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.answer)
			fmt.Fprint(w, c.body)
		})
		got := chandler(t.Context(), "provision", "svc", "plan", "i", "--url", srv.URL)
		text := got.err
		if c.out {
			text = got.out
		}
		if got.status != c.status || !strings.Contains(text, c.wanted) {
			t.Errorf("%s: status %d, want %d with %q\nout %q\nerr %q", c.why, got.status, c.status, c.wanted, got.out, got.err)
		}
	}
}

// What may come of polling.
func TestStrangePolls(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why    string
		polls  []string // "status body"; the last one is repeated
		status int
		wanted string
	}{
		{"a state that no specification knows, on and on", []string{`200 {"state":"dancing"}`}, exitFailed, "answers to polls cannot be used; the last one was 200 OK"},
		{"no JSON, on and on", []string{"200 <html>"}, exitFailed, "cannot be used"},
		{"no JSON once is forgiven", []string{"200 <html>", `200 {"state":"succeeded"}`}, exitOK, ""},
		{"a restart in between", []string{"503 ", "500 {}", `200 {"state":"in progress"}`, `200 {"state":"succeeded"}`}, exitOK, ""},
		{"too many requests", []string{"429 ", `200 {"state":"succeeded"}`}, exitOK, ""},
		{"a failure with its reason", []string{`200 {"state":"failed","description":"disk full"}`}, exitFailed, "provision failed: disk full"},
		{"the instance vanished", []string{"404 {}"}, exitNotFound, "404 Not Found"},
	} {
		var n atomic.Int32
		srv := strangeBroker(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusAccepted)
				fmt.Fprint(w, `{"operation":"op 1&2"}`)
				return
			}
			if got := r.URL.Query().Get("operation"); got != "op 1&2" {
				t.Errorf("%s: polled with operation %q", c.why, got)
			}
			i := min(int(n.Add(1)), len(c.polls)) - 1
			status, body, _ := strings.Cut(c.polls[i], " ")
			var code int
			fmt.Sscan(status, &code)
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		})
		got := quickly(t, "provision", "svc", "plan", "i", "--url", srv.URL)
		if got.status != c.status || !strings.Contains(got.err, c.wanted) {
			t.Errorf("%s: status %d, want %d with %q\n%s", c.why, got.status, c.status, c.wanted, got.err)
		}
	}
}

// quickly runs a client command whose pauses are short.
func quickly(t *testing.T, args ...string) result {
	t.Helper()
	return chandler(t.Context(), append(args, "--poll", "1ms")...)
}

// A broker that cannot say what an instance is of: the client says which flags help.
func TestInstancesThatCannotBeFetched(t *testing.T) {
	t.Parallel()
	srv := strangeBroker(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if q := r.URL.Query(); q.Get("service_id") != "s" || q.Get("plan_id") != "p" {
			t.Errorf("deleted with %v", q)
		}
		fmt.Fprint(w, "{}")
	})
	got := chandler(t.Context(), "deprovision", "i", "--url", srv.URL)
	if got.status != exitFailed || !strings.Contains(got.err, "hint: name its service and plan with --service and --plan") {
		t.Errorf("status %d, %q", got.status, got.err)
	}
	if got := chandler(t.Context(), "deprovision", "i", "--service", "svc", "--plan", "plan", "--url", srv.URL); got.status != exitOK {
		t.Errorf("with service and plan: status %d, %q", got.status, got.err)
	}
	// A service with one plan needs no --plan.
	if got := chandler(t.Context(), "deprovision", "i", "--service", "svc", "--url", srv.URL); got.status != exitOK {
		t.Errorf("with the service only: status %d, %q", got.status, got.err)
	}
}

// Requests are what OSB asks for.
func TestRequestsSent(t *testing.T) {
	t.Parallel()
	var seen []string
	srv := strangeBroker(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("X-Broker-API-Version"), r.Header.Get("Content-Type")))
		fmt.Fprint(w, "{}")
	})
	for _, args := range [][]string{
		{"provision", "svc", "plan", "a/b"},
		{"provision", "svc", "plan", "..", "--sync", "--api-version", "2.13"},
		{"unbind", "i", "b c", "--service", "svc"},
	} {
		if got := chandler(t.Context(), append(args, "--url", srv.URL+"/")...); got.status != exitOK {
			t.Fatalf("chandler %v: %+v", args, got)
		}
	}
	want := []string{
		"PUT /v2/service_instances/a%2Fb?accepts_incomplete=true 2.17 application/json",
		"PUT /v2/service_instances/%2E%2E 2.13 application/json",
		"DELETE /v2/service_instances/i/service_bindings/b%20c?accepts_incomplete=true&plan_id=p&service_id=s 2.17 ",
	}
	if strings.Join(seen, "\n") != strings.Join(want, "\n") {
		t.Errorf("sent\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}
