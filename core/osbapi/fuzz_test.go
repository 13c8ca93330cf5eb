package osbapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/chandler-broker/chandler/core"
)

// fuzzBody: no body makes a handler panic or answer 5xx, every answer is JSON, and
// what reaches the Broker is what core may expect.
func fuzzBody(f *testing.F, endpoint int) {
	ep := bodyEndpoints[endpoint]
	f.Add([]byte(ep.good))
	f.Add([]byte(strings.TrimSuffix(ep.good, "}") + `,"parameters":{"a":[1,2.5,null,"x"]},"context":{"platform":"kubernetes"},"maintenance_info":{"version":"1.0.0"}}`))
	f.Add([]byte(strings.TrimSuffix(ep.good, "}") + `,"bind_resource":{"app_guid":"","x":null},"app_guid":"a","previous_values":{}}`))
	f.Add([]byte(`{"service_id":"\u0000","plan_id":7}`))
	f.Add([]byte(`{"a":1,"a":2}`))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := created()
		req := httptest.NewRequest(ep.method, ep.target, strings.NewReader(string(body)))
		req.Header.Set(headerVersion, "2.17")
		rec := httptest.NewRecorder()
		serve(t, r, nil).ServeHTTP(rec, req)
		if rec.Code != 201 && rec.Code != 400 {
			t.Fatalf("got %d %s", rec.Code, rec.Body)
		}
		if !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("not JSON: %s", rec.Body)
		}
		if (rec.Code == 201) != (len(r.asked) == 1) {
			t.Fatalf("got %d, asked %v", rec.Code, r.asked)
		}
		for _, raw := range objectsOf(r.asked) {
			if _, err := core.JSONObject(raw); raw != nil && err != nil {
				t.Fatalf("core was given %s: %v", raw, err)
			}
		}
	})
}

func objectsOf(asked []any) []json.RawMessage {
	if len(asked) == 0 {
		return nil
	}
	switch q := asked[0].(type) {
	case core.ProvisionRequest:
		return []json.RawMessage{q.Parameters, q.Context}
	case core.UpdateRequest:
		return []json.RawMessage{q.Parameters, q.Context}
	case core.BindRequest:
		return []json.RawMessage{q.Parameters, q.Context, q.Resource}
	}
	return nil
}

func FuzzProvisionBody(f *testing.F) { fuzzBody(f, 0) }
func FuzzUpdateBody(f *testing.F)    { fuzzBody(f, 1) }
func FuzzBindBody(f *testing.F)      { fuzzBody(f, 2) }
func FuzzRotationBody(f *testing.F)  { fuzzBody(f, 3) }

// FuzzPath: whatever path a server takes, the answer is JSON and no 5xx, and no
// id reaches the Broker that is empty, too long or not text.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"/", "/v2/catalog", "/v2/service_instances/i", "/v2/service_instances/a%2Fb/last_operation",
		"/v2/service_instances//service_bindings/", "/v2/service_instances/%00/service_bindings/%FF?service_id=s&plan_id=p",
		"/v2/service_instances/i?service_id=s&plan_id=p&x=%zz;", "/admin/v1/operations/o%2Fp", "/v2/service_instances/../.."} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			f.Add(method, path)
		}
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		req := requestTo("GET", path)
		if req == nil || method == "" {
			t.Skip()
		}
		req.Method = method
		req.Header.Set(headerVersion, "2.17")
		r := created()
		r.operation.State = "succeeded"
		rec := httptest.NewRecorder()
		serve(t, r, nil).ServeHTTP(rec, req)
		if rec.Code >= 500 || rec.Code/100 == 3 {
			t.Fatalf("got %d %s", rec.Code, rec.Body)
		}
		if !json.Valid(rec.Body.Bytes()) {
			t.Fatalf("not JSON: %s", rec.Body)
		}
		for _, asked := range r.asked {
			if q, ok := asked.(core.DeprovisionRequest); ok {
				checkID(t, q.InstanceID)
			}
			if q, ok := asked.(core.PollRequest); ok {
				checkID(t, q.InstanceID)
			}
		}
	})
}

func checkID(t *testing.T, id string) {
	if id == "" || len(id) > MaxID || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		t.Fatalf("the id %q reached the broker", id)
	}
}

// FuzzIdentity: the header is either refused in words or a JSON object with its platform.
func FuzzIdentity(f *testing.F) {
	f.Add("cloudfoundry " + b64(`{"user_id":"u"}`))
	f.Add("x " + b64(`{"platform":1,"n":1e5}`))
	f.Add("x")
	f.Add(" \xff")
	f.Fuzz(func(t *testing.T, value string) {
		platform, identity, problem := parseIdentity(value)
		if problem != "" {
			if platform != "" || identity != nil || !utf8.ValidString(problem) {
				t.Fatalf("refused (%q) with %q, %q", problem, platform, identity)
			}
			return
		}
		var object map[string]any
		if err := json.Unmarshal(identity, &object); err != nil || object["platform"] != platform || platform == "" {
			t.Fatalf("%q: %v", identity, err)
		}
	})
}

// FuzzIfNoneMatch: a list that has the tag among well-formed ones matches; nothing panics.
func FuzzIfNoneMatch(f *testing.F) {
	f.Add(`"a", W/"b"`)
	f.Add(`*`)
	f.Add(`"`)
	f.Fuzz(func(t *testing.T, list string) {
		const tag = `"0123456789abcdef"`
		if matchesETag(list, tag) && strings.TrimSpace(list) != "*" && !strings.Contains(list, tag) {
			t.Fatalf("%q matches %s", list, tag)
		}
		if !matchesETag(tag+","+list, tag) {
			t.Fatalf("%s before %q is not found", tag, list)
		}
	})
}

var _ http.Handler = (*handler)(nil)
