package osbapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chandler-broker/chandler/core"
)

// The endpoints that have a body, each with its smallest complete one.
var bodyEndpoints = []struct{ name, method, target, good string }{
	{"provision", "PUT", "/v2/service_instances/i", goodProvision},
	{"update", "PATCH", "/v2/service_instances/i", goodUpdate},
	{"bind", "PUT", "/v2/service_instances/i/service_bindings/b", goodBind},
	{"rotate", "PUT", "/v2/service_instances/i/service_bindings/b", goodRotation},
}

func created() *recorder {
	return &recorder{
		instance: core.InstanceAnswer{Outcome: core.Created},
		binding:  core.BindingAnswer{Outcome: core.Created, Result: &core.BindingResult{}},
	}
}

// TestBrokenBodies: what is wrong with a body as a whole is the same for every endpoint.
func TestBrokenBodies(t *testing.T) {
	deep := strings.Repeat(`{"a":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth)
	for _, tc := range []struct{ body, want, why string }{
		{" ", "empty", "CT-04: white space only"},
		{"{", "ends too early", "CT-04: cut off"},
		{`{"service_id":"s",}`, "line 1, column 19", "CT-04: the place helps to find it"},
		{"{\n \"service_id\": nope}", "line 2, column 17", "CT-04: in words of lines"},
		{"[]", "an array", "CT-04: not an object"},
		{"null", "null", "CT-04: not an object"},
		{`"x"`, "a string", "CT-04: not an object"},
		{"17", "a number", "CT-04: not an object"},
		{"true", "a boolean", "CT-04: not an object"},
		{"{} {}", "after the end", "CT-04: trailing garbage"},
		{"{}x", "after the end", "CT-04: trailing garbage"},
		{"{\"service_id\":\"\xff\"}", "UTF-8", "strings must be text"},
		{`{"service_id":"a","service_id":"b"}`, "/service_id: is there twice", "two readers could read two requests"},
		{`{"x":{"a/b~":1,"a/b~":2}}`, "/x/a~1b~0: is there twice", "at any level, as a JSON pointer"},
		{`{"x":[1e999]}`, "/x/0: is a number out of range", "no reader could keep it"},
		{`{"x":` + deep + `}`, "too deep", "no stack is deep enough for everything"},
		{`{"x":"` + strings.Repeat("y", 2000) + `"}`, "too large; expected at most 1000 bytes", "CT-05"},
	} {
		for _, ep := range bodyEndpoints {
			r := created()
			h := serve(t, r, func(c *Config) { c.MaxBody = 1000 })
			a := send(t, h, ep.method, ep.target, tc.body)
			if a.status != 400 || !strings.Contains(a.description(), tc.want) || len(r.asked) != 0 {
				t.Errorf("%s: %.40q (%s): got %d %q, asked %v; want 400 with %q", ep.name, tc.body, tc.why, a.status, a.description(), r.asked, tc.want)
			}
		}
	}
	for _, ep := range bodyEndpoints {
		if a := send(t, serve(t, created(), nil), ep.method, ep.target, ""); a.status != 400 {
			t.Errorf("CT-04: %s without a body: got %d, want 400", ep.name, a.status)
		}
	}
}

func TestContentType(t *testing.T) {
	for _, tc := range []struct {
		header, value string
		want          int
		why           string
	}{
		{"Content-Type", "", 201, "CT-02: none"},
		{"Content-Type", "application/json", 201, "the usual"},
		{"Content-Type", "application/json; charset=UTF-8", 201, "a charset parameter is allowed"},
		{"Content-Type", "Application/JSON", 201, "media types have no case"},
		{"Content-Type", "application/merge-patch+json", 201, "JSON by another name"},
		{"Content-Type", "application/x-www-form-urlencoded", 400, "CT-03: what curl -d says by itself"},
		{"Content-Type", "text/plain", 400, "CT-03"},
		{"Content-Type", "application/json; charset=utf-16", 400, "CT-03: JSON is UTF-8"},
		{"Content-Type", "/", 400, "CT-03: nonsense"},
		{"Content-Encoding", "gzip", 400, "CT-03: we would read it as broken JSON"},
		{"Content-Encoding", "identity", 201, "the name of doing nothing"},
	} {
		for _, ep := range bodyEndpoints {
			r := created()
			a := send(t, serve(t, r, nil), ep.method, ep.target, ep.good, tc.header, tc.value)
			if a.status != tc.want {
				t.Errorf("%s: %s %q (%s): got %d %s, want %d", ep.name, tc.header, tc.value, tc.why, a.status, a.raw, tc.want)
			}
			if tc.want == 400 && (len(r.asked) != 0 || !strings.Contains(a.description(), "Content-")) {
				t.Errorf("%s: %s %q (%s): asked %v, description %q", ep.name, tc.header, tc.value, tc.why, r.asked, a.description())
			}
		}
	}
}

// TestFields: a body's fields, one by one. want lists the JSON pointers that the
// description must name; none means that the request is passed on.
func TestFields(t *testing.T) {
	const provision, update, bind, rotate = 0, 1, 2, 3
	for _, tc := range []struct {
		endpoint int
		fields   string // changed or added fields of the good body; "-name" removes one
		want     []string
		why      string
	}{
		{provision, ``, nil, "PRO-07: the smallest body"},
		{provision, `-service_id -plan_id -organization_guid -space_guid`,
			[]string{"/service_id", "/plan_id", "/organization_guid", "/space_guid"}, "PRO-07: all at once"},
		{provision, `"service_id":"" "space_guid":null`, []string{"/service_id", "/space_guid"}, "PRO-07, A-16: empty or null is missing"},
		{provision, `"plan_id":17`, []string{"/plan_id: is a number; expected a string"}, "CT-04: wrong type"},
		{provision, `"parameters":null "context":null "maintenance_info":null`, nil, "A-9: null is absent"},
		{provision, `"parameters":{} "maintenance_info":{}`, nil, "A-16: empty objects"},
		{provision, `"parameters":[] "context":"x"`, []string{"/parameters: is an array", "/context: is a string"}, "PRO-10, PRO-11: objects"},
		{provision, `"maintenance_info":{"version":""}`, nil, "C-6: an empty version is not given"},
		{provision, `"maintenance_info":{"version":1}`, []string{"/maintenance_info/version"}, "CT-04: wrong type inside"},
		{provision, `"maintenance_info":"1.0.0"`, []string{"/maintenance_info"}, "CT-04: wrong type"},
		{provision, `"service_id":"a\u0000b"`, []string{"/service_id"}, "databases cannot keep NUL"},
		{provision, `"zzz":{"deep":[1]} "organization_name":"o"`, nil, "EXT-01: unknown fields"},
		{update, `-service_id`, []string{"/service_id"}, "UPD-03: required"},
		{update, `"service_id":""`, []string{"/service_id"}, "UPD-03: required"},
		{update, `"plan_id":"" "parameters":null "previous_values":{}`, nil, "A-9, A-16: empty is absent"},
		{update, `"previous_values":{"plan_id":"p","organization_id":"o","space_id":"s","service_id":"s","maintenance_info":{"version":"1"},"x":1}`, nil, "UPD-14"},
		{update, `"previous_values":"p"`, []string{"/previous_values"}, "CT-04: wrong type"},
		{update, `"plan_id":{} "parameters":1`, []string{"/plan_id", "/parameters"}, "CT-04: wrong types"},
		{bind, `-service_id -plan_id`, []string{"/service_id", "/plan_id"}, "BND-07"},
		{bind, `"service_id":"" "plan_id":""`, []string{"/service_id", "/plan_id"}, "BND-07"},
		{bind, `"app_guid":"" "bind_resource":{"app_guid":""} "parameters":null "context":null`, nil, "BND-09, A-9: what Korifi sends for a key"},
		{bind, `"app_guid":1`, []string{"/app_guid"}, "CT-04: wrong type"},
		{bind, `"bind_resource":{"app_guid":1,"route":[]}`, []string{"/bind_resource/app_guid", "/bind_resource/route"}, "CT-04: wrong types"},
		{bind, `"bind_resource":[]`, []string{"/bind_resource"}, "CT-04: wrong type"},
		{bind, `"predecessor_binding_id":""`, nil, "A-16: empty is absent: an ordinary bind"},
		{rotate, ``, nil, "ROT-01: complete without service_id and plan_id"},
		{rotate, `"predecessor_binding_id":7`, []string{"/predecessor_binding_id", "/service_id", "/plan_id"}, "CT-04: wrong type: not a rotation"},
		{rotate, `"service_id":1`, []string{"/service_id"}, "CT-04: what is there must have its type"},
	} {
		ep := bodyEndpoints[tc.endpoint]
		body := changed(t, ep.good, tc.fields)
		r := created()
		a := send(t, serve(t, r, nil), ep.method, ep.target, body)
		if len(tc.want) == 0 {
			if a.status != 201 || len(r.asked) != 1 {
				t.Errorf("%s %s (%s): got %d %s", ep.name, body, tc.why, a.status, a.raw)
			}
			continue
		}
		if a.status != 400 || len(r.asked) != 0 {
			t.Errorf("%s %s (%s): got %d, asked %v", ep.name, body, tc.why, a.status, r.asked)
		}
		for _, w := range tc.want {
			if !strings.Contains(a.description(), w) {
				t.Errorf("%s %s (%s): the description does not name %s: %q", ep.name, body, tc.why, w, a.description())
			}
		}
	}
}

// changed edits the fields of a JSON object; fields are separated by spaces that
// are followed by a quote or a minus sign.
func changed(t *testing.T, good, fields string) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(good), &m); err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Fields(fields) {
		if name, remove := strings.CutPrefix(f, "-"); remove {
			delete(m, name)
			continue
		}
		if err := json.Unmarshal([]byte("{"+f+"}"), &m); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestPassedOn: what the Broker gets is what was sent.
func TestPassedOn(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	identity := "cloudfoundry " + b64(`{"user_id":"u"}`)
	caller := core.Caller{Identity: json.RawMessage(`{"platform":"cloudfoundry","user_id":"u"}`),
		RequestID: "req-7", Started: at, AcceptsIncomplete: true}
	context, parameters := json.RawMessage(`{"platform":"cloudfoundry","x":1}`), json.RawMessage(`{"a": [1, "<>"]}`)
	more := `,"context":{"platform":"cloudfoundry","x":1},"parameters":{"a": [1, "<>"]}`
	const instance, binding = "/v2/service_instances/i", "/v2/service_instances/i/service_bindings/b"
	for _, tc := range []struct {
		method, target, body string
		want                 any
		why                  string
	}{
		{"PUT", instance, goodProvision[:len(goodProvision)-1] + more + `,"maintenance_info":{"version":"1.2.3","description":"x"}}`,
			core.ProvisionRequest{Caller: caller, InstanceID: "i", ServiceID: "s", PlanID: "p", OrganizationGUID: "o", SpaceGUID: "sp",
				Parameters: parameters, Context: context, Maintenance: core.MaintenanceRequest{Version: "1.2.3"}}, "PRO-11, PRO-13: all fields"},
		{"PATCH", instance, `{"service_id":"s","plan_id":"p2","maintenance_info":{"version":"2.0.0"}` + more + `}`,
			core.UpdateRequest{Caller: caller, InstanceID: "i", ServiceID: "s", PlanID: "p2",
				Parameters: parameters, Context: context, Maintenance: core.MaintenanceRequest{Version: "2.0.0"}}, "UPD-23: all fields"},
		{"PUT", binding, `{"service_id":"s","plan_id":"p","bind_resource":{"app_guid":"app","route":"r","space_guid":"sp","x":null}` + more + `}`,
			core.BindRequest{Caller: caller, InstanceID: "i", BindingID: "b", ServiceID: "s", PlanID: "p", AppGUID: "app",
				Resource: json.RawMessage(`{"app_guid":"app","route":"r","space_guid":"sp"}`), Parameters: parameters, Context: context},
			"BND-24, BND-27, PRF-04: all fields"},
		{"PUT", binding, `{"service_id":"s","plan_id":"p","app_guid":"old"}`,
			core.BindRequest{Caller: caller, InstanceID: "i", BindingID: "b", ServiceID: "s", PlanID: "p", AppGUID: "old"}, "BND-09: the deprecated field"},
		{"PUT", binding, `{"service_id":"s","plan_id":"p","app_guid":"old","bind_resource":{"app_guid":"new"}}`,
			core.BindRequest{Caller: caller, InstanceID: "i", BindingID: "b", ServiceID: "s", PlanID: "p", AppGUID: "new",
				Resource: json.RawMessage(`{"app_guid":"new"}`)}, "BND-09: bind_resource wins"},
		{"PUT", binding, `{"service_id":"s","plan_id":"p","app_guid":"","bind_resource":{"app_guid":""}}`,
			core.BindRequest{Caller: caller, InstanceID: "i", BindingID: "b", ServiceID: "s", PlanID: "p"}, "A-9: nothing is left of empty members"},
		{"PUT", binding, goodRotation,
			core.BindRequest{Caller: caller, InstanceID: "i", BindingID: "b", Predecessor: "b0"}, "ROT-01"},
		{"DELETE", instance + "?service_id=s&plan_id=p", "",
			core.DeprovisionRequest{Caller: caller, InstanceID: "i", ServiceID: "s", PlanID: "p"}, "DEP-04"},
		{"DELETE", binding + "?service_id=s&plan_id=p", "",
			core.UnbindRequest{Caller: caller, InstanceID: "i", BindingID: "b", ServiceID: "s", PlanID: "p"}, "UNB-04"},
		{"GET", instance + "/last_operation?operation=provision", "",
			core.PollRequest{Caller: caller, InstanceID: "i", Operation: "provision"}, "A-15: any word"},
		{"GET", binding + "/last_operation?service_id=s&plan_id=p&operation=o%2Fp", "",
			core.PollRequest{Caller: caller, InstanceID: "i", BindingID: "b", Operation: "o/p"}, "LOB-05"},
	} {
		r := created()
		r.operation.State = "succeeded"
		h := serve(t, r, func(c *Config) { c.Now = func() time.Time { return at } })
		target := tc.target + "?accepts_incomplete=true"
		if strings.Contains(tc.target, "?") {
			target = tc.target + "&accepts_incomplete=true"
		}
		if a := send(t, h, tc.method, target, tc.body, headerIdentity, identity, headerRequestIdentity, "req-7"); a.status >= 400 {
			t.Errorf("%s %s (%s): got %d %s", tc.method, target, tc.why, a.status, a.raw)
			continue
		}
		if diff := cmp.Diff([]any{tc.want}, r.asked, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s %s (%s): -want +got:\n%s", tc.method, target, tc.why, diff)
		}
	}
}

// TestAcceptsIncomplete: exactly "true" is true (ASY-03).
func TestAcceptsIncomplete(t *testing.T) {
	for query, want := range map[string]bool{
		"": false, "?accepts_incomplete=true": true, "?accepts_incomplete=false": false, "?accepts_incomplete=": false,
		"?accepts_incomplete": false, "?accepts_incomplete=TRUE": false, "?accepts_incomplete=1": false, "?accepts_incomplete=tru%65": true,
	} {
		r := created()
		send(t, serve(t, r, nil), "PUT", "/v2/service_instances/i"+query, goodProvision)
		if got := r.asked[0].(core.ProvisionRequest).AcceptsIncomplete; got != want {
			t.Errorf("%q: got %v, want %v", query, got, want)
		}
	}
}

// TestQueries: missing, empty and broken query parameters.
func TestQueries(t *testing.T) {
	const instance, binding = "/v2/service_instances/i", "/v2/service_instances/i/service_bindings/b"
	for _, tc := range []struct {
		method, target string
		want           int
		names          string
		why            string
	}{
		{"DELETE", instance, 400, "?service_id ?plan_id", "DEP-04, C-2: both are named"},
		{"DELETE", instance + "?service_id=s", 400, "?plan_id", "DEP-04"},
		{"DELETE", instance + "?service_id=&plan_id=p", 400, "?service_id", "DEP-04"},
		{"DELETE", instance + "?service_id=s&plan_id=p&x=%zz", 400, "query", "a query that cannot be decoded"},
		{"DELETE", instance + "?service_id=s&plan_id=p&x=1", 200, "", "unknown parameters"},
		{"DELETE", binding + "?service_id=s", 400, "?plan_id", "UNB-04"},
		{"GET", instance + "/last_operation?operation=", 400, "?operation", "LOI-04: present but empty"},
		{"GET", instance + "/last_operation?service_id=", 400, "?service_id", "LOI-04"},
		{"GET", instance + "/last_operation?operation=whatever", 200, "", "A-15: unknown words"},
		{"GET", instance + "/last_operation?plan_id=new&x=%zz", 200, "", "A-6, LOI-06: odd but harmless"},
		{"GET", binding + "/last_operation?operation=&plan_id=", 400, "?operation ?plan_id", "LOB-04"},
		{"GET", instance + "?service_id=", 400, "?service_id", "FI-07"},
		{"GET", instance + "?service_id=other&plan_id=other", 200, "", "FI-07: hints only"},
		{"GET", binding + "?plan_id=", 400, "?plan_id", "FB-07"},
		{"GET", binding + "?plan_id=other", 200, "", "FB-07: hints only"},
	} {
		r := &recorder{
			instances: []*core.Instance{{ID: "i"}}, bindings: []*core.Binding{{ID: "b"}},
			instance:  core.InstanceAnswer{Outcome: core.Done},
			binding:   core.BindingAnswer{Outcome: core.Done},
			operation: core.OperationView{State: "succeeded"},
		}
		a := send(t, serve(t, r, nil), tc.method, tc.target, "")
		if a.status != tc.want {
			t.Errorf("%s %s (%s): got %d %s, want %d", tc.method, tc.target, tc.why, a.status, a.raw, tc.want)
		}
		for _, name := range strings.Fields(tc.names) {
			if !strings.Contains(a.description(), name+": ") {
				t.Errorf("%s %s (%s): the description does not name %s: %q", tc.method, tc.target, tc.why, name, a.description())
			}
		}
	}
}

// TestUnbindOfNothing: a binding without a row is 410 however the query looks; one
// that is being made is not (C-2).
func TestUnbindOfNothing(t *testing.T) {
	for _, tc := range []struct {
		instance, binding string
		want              int
		why               string
	}{
		{"i", "b", 400, "the row is there, ready or not"},
		{"i", "other", 410, "UNB-06"},
		{"other", "b", 410, "UNB-06: the instance does not exist either"},
		{"i", strings.Repeat("x", MaxID+1), 400, "a malformed path comes first"},
	} {
		r := &recorder{instances: []*core.Instance{{ID: "i"}}, bindings: []*core.Binding{{ID: "b"}}}
		target := fmt.Sprintf("/v2/service_instances/%s/service_bindings/%s", tc.instance, tc.binding)
		if a := send(t, serve(t, r, nil), "DELETE", target, ""); a.status != tc.want {
			t.Errorf("%.80s (%s): got %d %s, want %d", target, tc.why, a.status, a.raw, tc.want)
		}
	}
	r := &recorder{err: core.Errorf(core.CodeOverloaded, "busy")}
	if a := send(t, serve(t, r, nil), "DELETE", "/v2/service_instances/i/service_bindings/b", ""); a.status != 400 {
		t.Errorf("when the store cannot say: got %d, want 400", a.status)
	}
}
