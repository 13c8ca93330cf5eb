package osbapi

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// TestEscapedIDs: URL-01: an id may have any character, and is unescaped once.
func TestEscapedIDs(t *testing.T) {
	for _, tc := range []struct {
		escaped, want string // want "": refused
		why           string
	}{
		{"i", "i", "the usual"},
		{"a%2Fb", "a/b", "a slash in an id is not one of the path"},
		{"a%252Fb", "a%2Fb", "unescaped exactly once"},
		{"%2e%2e", "..", "not a way up"},
		{"..", "..", "not a way up"},
		{"a%20b+c", "a b+c", "plus is itself in a path"},
		{"%E6%97%A5", "日", "UTF-8"},
		{"a:b*c", "a:b*c", "the router's own characters"},
		{"last_operation", "last_operation", "a word of the API as an id"},
		{strings.Repeat("x", MaxID), strings.Repeat("x", MaxID), "as long as allowed"},
		{strings.Repeat("x", MaxID+1), "", "too long"},
		{"%FF", "", "not text: neither JSON nor gRPC could carry it"},
		{"a%00b", "", "NUL: PostgreSQL could not keep it"},
		{"", "", "empty"},
	} {
		for _, method := range []string{"PUT", "GET", "DELETE"} {
			r := created()
			r.instance.Outcome, r.binding.Outcome = core.Created, core.Created
			h := serve(t, r, nil)
			body := ""
			if method == "PUT" {
				body = goodProvision
			}
			a := send(t, h, method, "/v2/service_instances/"+tc.escaped+"?service_id=s&plan_id=p", body)
			b := send(t, h, method, "/v2/service_instances/x/service_bindings/"+tc.escaped+"?service_id=s&plan_id=p", body)
			if tc.want == "" {
				if a.status != 400 || b.status != 400 && b.status != 410 || len(r.asked) > 0 {
					t.Errorf("%s %.30q (%s): got %d and %d, asked %v", method, tc.escaped, tc.why, a.status, b.status, r.asked)
				}
				continue
			}
			if a.status >= 400 || b.status >= 400 || len(r.asked) != 2 {
				t.Errorf("%s %.30q (%s): got %d %s and %d %s", method, tc.escaped, tc.why, a.status, a.raw, b.status, b.raw)
				continue
			}
			if instance, binding := askedID(r.asked[0]), askedID(r.asked[1]); instance != tc.want || binding != tc.want {
				t.Errorf("%s %.30q (%s): got %q and %q", method, tc.escaped, tc.why, instance, binding)
			}
		}
	}
}

// askedID is the id of the innermost thing that was asked for.
func askedID(asked any) string {
	switch q := asked.(type) {
	case core.ProvisionRequest:
		return q.InstanceID
	case core.DeprovisionRequest:
		return q.InstanceID
	case core.BindRequest:
		return q.BindingID
	case core.UnbindRequest:
		return q.BindingID
	case string:
		if id, ok := strings.CutPrefix(q, "instance "); ok {
			return id
		}
		return strings.TrimPrefix(q, "binding x ")
	}
	return "?"
}

// TestPaths: no redirects, and JSON whatever is asked for.
func TestPaths(t *testing.T) {
	for _, tc := range []struct {
		method, target string
		want           int
		allow          string
		why            string
	}{
		{"GET", "/", 404, "", "nothing here"},
		{"GET", "/v2", 404, "", "nothing here"},
		{"GET", "/v2/catalog/", 404, "", "no redirect to the path without the slash"},
		{"GET", "/V2/Catalog", 404, "", "no redirect to the right case"},
		{"GET", "/v2//catalog", 404, "", "no cleaning of paths"},
		{"GET", "/v2/%63atalog", 404, "", "only ids are unescaped"},
		{"GET", "/x/../v2/catalog", 404, "", "no cleaning of paths"},
		{"HEAD", "/v2/catalog", 200, "", "what GET does"},
		{"POST", "/v2/catalog", 405, "GET, HEAD", "a method that is not served"},
		{"OPTIONS", "/v2/catalog", 405, "GET, HEAD", "browsers have no business here"},
		{"POST", "/v2/service_instances/i", 405, "DELETE, GET, PATCH, PUT", "a method that is not served"},
		{"PATCH", "/v2/service_instances/i/service_bindings/b", 405, "DELETE, GET, PUT", "a method that is not served"},
		{"PUT", "/v2/service_instances/i/last_operation", 405, "GET", "a method that is not served"},
		{"GET", "/v2/service_instances", 404, "", "OSB has no list"},
		{"DELETE", "/v2/service_instances/", 400, "", "an empty id"},
		{"PUT", "/v2/service_instances/i/service_bindings/", 400, "", "an empty id"},
		{"PUT", "/v2/service_instances//service_bindings/b", 400, "", "an empty id in the middle"},
		{"GET", "/v2/service_instances/i/x", 404, "", "nothing here"},
		{"BREW", "/v2/catalog", 405, "GET, HEAD", "a method of one's own"},
		{"GET", "/metrics", 404, "", "no metrics are configured"},
		{"GET", "/admin/v1/catalog", 404, "", "no catalog administration is configured"},
	} {
		body := ""
		if tc.method == "PUT" {
			body = goodBind
		}
		a := send(t, serve(t, &recorder{}, nil), tc.method, tc.target, body)
		if a.status != tc.want || a.header.Get("Location") != "" {
			t.Errorf("%s %s (%s): got %d %s, want %d", tc.method, tc.target, tc.why, a.status, a.raw, tc.want)
		}
		if a.status >= 400 && !strings.HasSuffix(a.description(), " [request-1]") {
			t.Errorf("%s %s (%s): %q does not carry the request's id", tc.method, tc.target, tc.why, a.description())
		}
		if got := a.header.Get("Allow"); got != tc.allow {
			t.Errorf("%s %s (%s): Allow is %q, want %q", tc.method, tc.target, tc.why, got, tc.allow)
		}
	}
}

// TestRequestIdentity: RID-01, RID-03 on success and on every kind of error.
func TestRequestIdentity(t *testing.T) {
	for _, tc := range []struct {
		method, target, body, version, identity string
		want                                    int
	}{
		{"GET", "/v2/catalog", "", "2.17", "id-1", 200},
		{"GET", "/v2/catalog", "", "2.17", "", 200},
		{"GET", "/v2/catalog", "", "9.9", "id-1", 412},
		{"PUT", "/v2/service_instances/i", "{", "2.17", "any {string} <is> fine", 400},
		{"GET", "/nowhere", "", "2.17", "id-1", 404},
		{"POST", "/v2/catalog", "", "2.17", "id-1", 405},
	} {
		a := send(t, serve(t, &recorder{}, nil), tc.method, tc.target, tc.body, headerVersion, tc.version, headerRequestIdentity, tc.identity)
		got, there := a.header[http.CanonicalHeaderKey(headerRequestIdentity)]
		if a.status != tc.want || there != (tc.identity != "") || there && got[0] != tc.identity {
			t.Errorf("%s %s with %q: got %d, header %q", tc.method, tc.target, tc.identity, a.status, got)
		}
	}
	h := serve(t, &recorder{}, func(c *Config) {
		c.Anonymous, c.Authenticator = false, testUsers(t)
	})
	if a := send(t, h, "GET", "/v2/catalog", "", headerRequestIdentity, "id-1"); a.status != 401 || a.header.Get(headerRequestIdentity) != "id-1" {
		t.Errorf("401: got %d, header %q", a.status, a.header.Get(headerRequestIdentity))
	}
}

func TestLoggable(t *testing.T) {
	for in, want := range map[string]string{
		"id-1": "id-1", "a\nb\x00c\x7f": "abc", "\n": "", "日本": "日本", strings.Repeat("é", 200): strings.Repeat("é", 128), "\xff": "",
	} {
		if got := loggable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestLog: RID-02: one line per request, with ids and without anything that could
// be a secret.
func TestLog(t *testing.T) {
	var out bytes.Buffer
	var observed []string
	r := created()
	r.instance = core.InstanceAnswer{Outcome: core.Accepted, Operation: "op-7"}
	h := serve(t, r, func(c *Config) {
		c.Log = slog.New(slog.NewJSONHandler(&out, nil))
		c.Anonymous, c.Authenticator = false, testUsers(t)
		c.Observe = func(route, method string, status int, _ time.Duration) {
			observed = append(observed, method+" "+route+" "+http.StatusText(status))
		}
	})
	body := goodProvision[:len(goodProvision)-1] + `,"parameters":{"password":"s3cret-parameter"}}`
	send(t, h, "PUT", "/v2/service_instances/in%2Fst?x=s3cret-query", body, "Authorization", basic("cf", "old"),
		headerRequestIdentity, "trace-1", headerIdentity, "x "+b64(`{"token":"s3cret-identity"}`))
	for _, want := range []string{`"request_id":"trace-1"`, `"user":"cf"`, `"method":"PUT"`, `"status":202`, `"instance_id":"in/st"`,
		`"operation_id":"op-7"`, `"route":"/v2/service_instances/:instance_id"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("RID-02: the log has no %s: %s", want, out.String())
		}
	}
	r.err = &core.Error{Code: core.CodeInvalid, Message: "m", Detail: "for the operator",
		Violations: []core.Violation{{Pointer: "/parameters/password", Message: `"s3cret-value" is too short`}}}
	send(t, h, "PUT", "/v2/service_instances/i", body, "Authorization", basic("cf", "old"))
	for _, want := range []string{"for the operator", "/parameters/password", `"error":"invalid_input"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log has no %s: %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "s3cret") || strings.Contains(out.String(), basic("cf", "old")) {
		t.Errorf("a secret is in the log: %s", out.String())
	}
	if got := strings.Join(observed, "; "); got != "PUT /v2/service_instances/:instance_id Accepted; PUT /v2/service_instances/:instance_id Bad Request" {
		t.Errorf("observed: %s", got)
	}
}

func TestPanic(t *testing.T) {
	var out bytes.Buffer
	h := serve(t, &recorder{panics: "very s3cret state"}, func(c *Config) { c.Log = slog.New(slog.NewJSONHandler(&out, nil)) })
	a := send(t, h, "PUT", "/v2/service_instances/i", goodProvision)
	if a.status != 500 || strings.Contains(string(a.raw), "s3cret") || !strings.Contains(a.description(), "request-1") {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	if !strings.Contains(out.String(), "recorder_test.go") || !strings.Contains(out.String(), `"request_id":"request-1"`) {
		t.Errorf("the log has no stack: %s", out.String())
	}
	defer func() {
		if recover() != http.ErrAbortHandler {
			t.Error("http.ErrAbortHandler did not reach net/http")
		}
	}()
	send(t, serve(t, &recorder{panics: http.ErrAbortHandler}, nil), "PUT", "/v2/service_instances/i", goodProvision)
}

func TestLargeHeaders(t *testing.T) {
	a := send(t, serve(t, &recorder{}, nil), "GET", "/v2/catalog", "", "X-Large", strings.Repeat("x", DefaultMaxHeader))
	if a.status != 431 || a.description() == "" {
		t.Errorf("got %d %s, want 431", a.status, a.raw)
	}
}

func TestHealth(t *testing.T) {
	if a := send(t, serve(t, &recorder{}, nil), "GET", "/healthz", "", headerVersion, ""); a.status != 200 || a.body["status"] != "ok" {
		t.Errorf("healthz: got %d %s", a.status, a.raw)
	}
	if a := send(t, serve(t, &recorder{}, nil), "GET", "/readyz", ""); a.status != 200 || string(a.raw) != `{"ready":true,"checks":[]}` {
		t.Errorf("readyz without a report: got %d %s", a.status, a.raw)
	}
}

func TestBadConfig(t *testing.T) {
	for _, tc := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Broker = nil }, "Broker"},
		{func(c *Config) { c.Anonymous = false }, "no users"},
		{func(c *Config) { c.Prefixes = []Prefix{{Path: "cf"}} }, "begin"},
		{func(c *Config) { c.Prefixes = []Prefix{{Path: "/cf/"}} }, "end"},
		{func(c *Config) { c.Prefixes = []Prefix{{Path: "/:x"}} }, "character"},
		{func(c *Config) { c.Prefixes = []Prefix{{Path: "/v2"}} }, "taken"},
		{func(c *Config) { c.Prefixes = []Prefix{{Path: "/cf"}, {Path: "/cf"}} }, "taken"},
	} {
		cfg := Config{Broker: &recorder{}, Anonymous: true}
		tc.change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want %q", err, tc.want)
		}
	}
}

// TestPrefixes: AUTH-06: the whole API is there under a prefix.
func TestPrefixes(t *testing.T) {
	h := serve(t, created(), func(c *Config) { c.Prefixes = []Prefix{{Path: "/eu/cf"}} })
	for verb, req := range verbRequests {
		if a := send(t, h, req.method, "/eu/cf"+req.target, req.body); a.status >= 400 {
			t.Errorf("%s: got %d %s", verb, a.status, a.raw)
		}
	}
	if a := send(t, h, "GET", "/eu/v2/catalog", ""); a.status != 404 {
		t.Errorf("half a prefix: got %d", a.status)
	}
}

// requestTo is a request for path as a server would see it; nil if no server would take it.
func requestTo(method, path string) *http.Request {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil
	}
	r := httptest.NewRequest(method, "/", nil)
	r.URL, r.RequestURI = u, path
	return r
}
