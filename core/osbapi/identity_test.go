package osbapi

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestOriginatingIdentity(t *testing.T) {
	for _, tc := range []struct {
		header string
		want   string // the caller's identity; "" if none
		bad    bool
		why    string
	}{
		{"", "", false, "OID-01: absent is fine"},
		{"cloudfoundry " + b64(`{"user_id":"u1"}`), `{"platform":"cloudfoundry","user_id":"u1"}`, false, "OID-02: Cloud Foundry's"},
		{"kubernetes " + b64(`{"username":"duke","uid":"1","groups":["a"],"extra":{"x":["y"]}}`),
			`{"extra":{"x":["y"]},"groups":["a"],"platform":"kubernetes","uid":"1","username":"duke"}`, false, "OID-02: Kubernetes'"},
		{"mine " + b64(`{}`), `{"platform":"mine"}`, false, "OID-02: no property is required"},
		{"mine " + b64(`{"platform":"other"}`), `{"platform":"mine"}`, false, "the header's word wins over a property of that name"},
		{"mine " + b64(`{"unknown":{"deep":[1,2.5,null]}}`), `{"platform":"mine","unknown":{"deep":[1,2.5,null]}}`, false, "OID-03: unknown properties"},
		{"mine " + strings.TrimRight(b64(`{"a":1}`), "="), `{"a":1,"platform":"mine"}`, false, "base64 without padding"},
		{"mine  " + b64(`{}`), `{"platform":"mine"}`, false, "two spaces harm nobody"},
		{"mine", "", true, "OID-05: no value"},
		{" " + b64(`{}`), "", true, "OID-05: no platform"},
		{"mine ", "", true, "OID-05: no value after the space"},
		{"mine !!!", "", true, "OID-05: not base64"},
		{"mine " + b64(`[]`), "", true, "OID-05: not an object"},
		{"mine " + b64(`null`), "", true, "OID-05: not an object"},
		{"mine " + b64(`"x"`), "", true, "OID-05: not an object"},
		{"mine " + b64(`{"a":`), "", true, "OID-05: not JSON"},
		{"mine " + b64("{\"a\":\"\xff\"}"), "", true, "OID-05: not UTF-8"},
		{"mine " + b64(strings.Repeat("[", 1000)), "", true, "no stack is deep enough for everything"},
	} {
		r := &recorder{instance: core.InstanceAnswer{Outcome: core.Created}}
		a := send(t, serve(t, r, nil), "PUT", "/v2/service_instances/i", goodProvision, headerIdentity, tc.header)
		if tc.bad {
			if a.status != 400 || !strings.Contains(a.description(), headerIdentity) || len(r.asked) != 0 {
				t.Errorf("%q (%s): got %d %q, asked %v", tc.header, tc.why, a.status, a.description(), r.asked)
			}
			continue
		}
		if a.status != 201 || len(r.asked) != 1 {
			t.Errorf("%q (%s): got %d %s", tc.header, tc.why, a.status, a.raw)
			continue
		}
		if diff := cmp.Diff(tc.want, string(r.asked[0].(core.ProvisionRequest).Identity)); diff != "" {
			t.Errorf("%q (%s): -want +got:\n%s", tc.header, tc.why, diff)
		}
	}
}

// TestIdentityOnEveryEndpoint: the header is read wherever a user stands behind
// the request, and cannot break the catalog, which has no 400.
func TestIdentityOnEveryEndpoint(t *testing.T) {
	for target, method := range map[string]string{
		"/v2/service_instances/i?service_id=s&plan_id=p":                    "DELETE",
		"/v2/service_instances/i/last_operation":                            "GET",
		"/v2/service_instances/i":                                           "GET",
		"/v2/service_instances/i/service_bindings/b":                        "GET",
		"/v2/service_instances/i/service_bindings/b/last_operation":         "GET",
		"/v2/service_instances/i/service_bindings/b?service_id=s&plan_id=p": "DELETE",
	} {
		if a := send(t, serve(t, &recorder{}, nil), method, target, "", headerIdentity, "nonsense"); a.status != 400 {
			t.Errorf("OID-05: %s %s with a malformed header: got %d, want 400", method, target, a.status)
		}
	}
	if a := send(t, serve(t, &recorder{}, nil), "GET", "/v2/catalog", "", headerIdentity, "nonsense"); a.status != 200 {
		t.Errorf("catalog: got %d, want 200", a.status)
	}
}

func TestContextPlatform(t *testing.T) {
	header := "kubernetes " + b64(`{"username":"u"}`)
	for _, tc := range []struct {
		context, header string
		want            int
		why             string
	}{
		{`{"platform":"kubernetes"}`, header, 201, "OID-04: equal"},
		{`{"platform":"cloudfoundry"}`, header, 400, "OID-04: different"},
		{`{"platform":"cloudfoundry"}`, "", 201, "nothing to compare with"},
		{`{"namespace":"n"}`, header, 201, "PRF-05: an older platform sends no word"},
		{`{"platform":7}`, "", 400, "PRF-01: the word is a string"},
		{`null`, header, 201, "null is absent"},
	} {
		r := &recorder{instance: core.InstanceAnswer{Outcome: core.Created}}
		body := strings.TrimSuffix(goodProvision, "}") + `,"context":` + tc.context + `}`
		a := send(t, serve(t, r, nil), "PUT", "/v2/service_instances/i", body, headerIdentity, tc.header)
		if a.status != tc.want {
			t.Errorf("%s (%s): got %d %s, want %d", tc.context, tc.why, a.status, a.raw, tc.want)
		}
		if tc.want == 400 && !strings.Contains(a.description(), "/context/platform") {
			t.Errorf("%s (%s): the description does not name the field: %q", tc.context, tc.why, a.description())
		}
	}
}

// TestTraceparent: the trace of the request reaches the Broker if it has its form.
func TestTraceparent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tc := range []struct{ header, want, why string }{
		{good, good, "the form of the W3C"},
		{"", "", "none"},
		{"01" + good[2:], "", "another version may have another form"},
		{good[:len(good)-1], "", "too short"},
		{strings.Replace(good, "b7", "zz", 1), "", "not hexadecimal"},
	} {
		r := created()
		send(t, serve(t, r, nil), "PUT", "/v2/service_instances/i", goodProvision, headerTraceparent, tc.header)
		if got := r.asked[0].(core.ProvisionRequest).Trace; got != tc.want {
			t.Errorf("%q (%s): got %q", tc.header, tc.why, got)
		}
	}
}
