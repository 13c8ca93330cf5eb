package osbapi_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", what, diff)
	}
}

// requests is one of every route, with a complete form.
var requests = []struct{ method, path, body string }{
	{"GET", "/v2/catalog", ""},
	{"PUT", instancePath("x"), provisionBody("plan-plain", "")},
	{"PATCH", instancePath("x"), `{"service_id":"svc-main"}`},
	{"DELETE", withIDs(instancePath("x"), "svc-main", "plan-plain"), ""},
	{"GET", instancePath("x"), ""},
	{"GET", "/v2/service_instances/x/last_operation", ""},
	{"PUT", bindingPath("x", "b"), bindBody("plan-plain", "")},
	{"DELETE", withIDs(bindingPath("x", "b"), "svc-main", "plan-plain"), ""},
	{"GET", bindingPath("x", "b"), ""},
	{"GET", "/v2/service_instances/x/service_bindings/b/last_operation", ""},
}

func TestConformanceRequests(t *testing.T) {
	w := newWorld(t)

	t.Run("AUTH-01,AUTH-02,AUTH-05,A-17,C-2: authentication comes before everything", func(t *testing.T) {
		for _, r := range requests {
			for _, authorization := range []string{"", "Basic bm9ib2R5Om5vdGhpbmc=", "Basic x", "Bearer x", "x"} {
				if a := w.do(t, r.method, r.path, "", "Authorization", authorization, "X-Broker-API-Version", "nonsense"); a.status != 401 {
					t.Errorf("%s %s with %q: got %d, want 401", r.method, r.path, authorization, a.status)
				}
			}
		}
		w.nothing(t, "x")
	})

	t.Run("VER-02,VER-04,C-1,C-2,AUTH-05,A-16,A-17: then the version", func(t *testing.T) {
		for _, r := range requests {
			for _, version := range []string{"", "1.0", "3.0", "2", "nonsense"} {
				a := w.do(t, r.method, r.path, "{", "X-Broker-API-Version", version)
				a.is(t, 412)
				a.says(t, "2.17", "X-Broker-API-Version")
			}
		}
		w.nothing(t, "x")
	})

	t.Run("VER-01,VER-03,C-4,EXT-03: older and newer minor versions are served", func(t *testing.T) {
		for i, version := range []string{"2.0", "2.9", "2.13", "2.14", "2.17", "2.18", "2.99"} {
			id := "v" + version
			w.put(t, id, provisionBody("plan-plain", ""), "X-Broker-API-Version", version).is(t, 201)
			_, metadata := w.put(t, id, provisionBody("plan-plain", ""), "X-Broker-API-Version", version).body["metadata"]
			if want := i >= 4; metadata != want {
				t.Errorf("C-4: metadata in %s: %v", version, metadata)
			}
		}
	})

	t.Run("AUTH-03: every request of one connection is checked", func(t *testing.T) {
		w.do(t, "GET", "/v2/catalog", "").is(t, 200)
		w.do(t, "GET", "/v2/catalog", "", "Authorization", "").is(t, 401)
		w.do(t, "GET", "/v2/catalog", "").is(t, 200)
	})

	t.Run("OID-01,OID-02,OID-03,OID-04,OID-05,ORP-06: originating identity", func(t *testing.T) {
		identity := func(platform, value string) string {
			return platform + " " + base64.StdEncoding.EncodeToString([]byte(value))
		}
		for _, tc := range []struct {
			id, header string
			want       int
		}{
			{"o1", "", 201},
			{"o2", identity("cloudfoundry", `{"user_id":"u","new":[1]}`), 201},
			{"o3", identity("kubernetes", `{"username":"u","uid":"1","groups":["g"],"extra":{"a":["b"]}}`), 201},
			{"o4", identity("mine", `{}`), 201},
			{"o5", "mine", 400},
			{"o5", identity("mine", `[]`), 400},
			{"o5", "mine %%%", 400},
		} {
			w.put(t, tc.id, provisionBody("plan-plain", ""), "X-Broker-API-Originating-Identity", tc.header).is(t, tc.want)
		}
		w.put(t, "o5", provisionBody("plan-plain", `"context":{"platform":"kubernetes"}`),
			"X-Broker-API-Originating-Identity", identity("cloudfoundry", `{}`)).is(t, 400)
		w.nothing(t, "o5")
		if a := w.admin(t, "GET", "/operations?instance_id=o2"); a.text("operations/0/identity/user_id") != "u" {
			t.Errorf("the identity is not in the journal: %s", a.raw)
		}
		w.remove(t, "o2", "svc-main", "plan-plain").is(t, 200)
	})

	t.Run("RID-01,RID-03: the request's identity comes back on every answer", func(t *testing.T) {
		for _, r := range requests {
			a := w.do(t, r.method, r.path, r.body, "X-Broker-API-Request-Identity", "not a guid, and twice")
			equal(t, r.method+" "+r.path, a.header.Get("X-Broker-API-Request-Identity"), "not a guid, and twice")
			a = w.do(t, r.method, r.path, r.body)
			equal(t, r.method+" "+r.path, a.header.Values("X-Broker-API-Request-Identity"), []string(nil))
		}
	})

	t.Run("CT-01,CT-02,CT-03,CT-05: bodies", func(t *testing.T) {
		w.put(t, "ct", provisionBody("plan-plain", ""), "Content-Type", "text/plain").is(t, 400)
		w.put(t, "ct", strings.Repeat(" ", 1<<20)+provisionBody("plan-plain", "")).is(t, 400)
		w.nothing(t, "ct")
		w.put(t, "ct", provisionBody("plan-plain", ""), "Content-Type", "").is(t, 201)
		w.put(t, "ct2", provisionBody("plan-plain", ""), "Content-Type", "application/json; charset=utf-8").is(t, 201)
	})

	t.Run("C-2: form, catalog, AsyncRequired, existence, in this order", func(t *testing.T) {
		w.put(t, "order?accepts_incomplete=true", provisionBody("plan-async", "")).made(t)
		w.finish(t, "order").has(t, "state", "succeeded")
		w.put(t, "order", `{"service_id":"svc-none","plan_id":"","organization_guid":"o","space_guid":"s"}`).says(t, "/plan_id")
		w.put(t, "order", provisionBody("plan-none", "")).is(t, 400)
		w.put(t, "order", provisionBody("plan-async", `"parameters":{"size":3}`)).is(t, 422)
		w.put(t, "order?accepts_incomplete=true", provisionBody("plan-async", `"parameters":{"size":3}`)).is(t, 409)
	})

	t.Run("EXT-02,A-1,ORP-02: answers of every route have the specification's fields only", func(t *testing.T) {
		w.put(t, "every", provisionBody("plan-plain", "")).strict(t)
		w.bind(t, "every", "b", bindBody("plan-plain", "")).strict(t)
		w.getBinding(t, "every", "b").strict(t)
		w.patch(t, "every", `{"service_id":"svc-main","parameters":{"size":3}}`).strict(t)
		w.unbind(t, "every", "b", "svc-main", "plan-plain").strict(t)
		w.remove(t, "every", "svc-main", "plan-plain").strict(t)
	})

	t.Run("A-3: what will never succeed is 400, which clients do not repeat", func(t *testing.T) {
		for _, body := range []string{`{`, provisionBody("plan-none", ""), provisionBody("plan-plain", `"parameters":{"size":"x"}`)} {
			w.put(t, "never", body).is(t, 400)
		}
	})

	t.Run("A-18: the operation needs no escaping", func(t *testing.T) {
		a := w.put(t, "eden?accepts_incomplete=true", provisionBody("plan-steps", ""))
		w.poll(t, "eden?operation="+a.operation(t)).is(t, 200)
		w.finish(t, "eden").has(t, "state", "succeeded")
	})
}
