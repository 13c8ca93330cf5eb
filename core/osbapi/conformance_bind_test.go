package osbapi_test

import (
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestConformanceBind(t *testing.T) {
	w := newWorld(t)
	w.put(t, "i", provisionBody("plan-plain", "")).is(t, 201)

	t.Run("BND-02,BND-14,BND-16,BND-17,BND-18,A-12: credentials that work", func(t *testing.T) {
		a := w.bind(t, "i", "works", bindBody("plan-plain", ""))
		a.is(t, 201)
		if got := write(t, a.text("credentials/uri")); got != "204" {
			t.Errorf("the credentials do not work: %s", got)
		}
		credentials, _ := a.lookup("credentials").(map[string]any)
		for key := range credentials {
			if !regexp.MustCompile(`^[-._a-zA-Z0-9]+$`).MatchString(key) {
				t.Errorf("A-12: the key %q cannot be one of a Secret", key)
			}
		}
		a.has(t, "endpoints/0/host", "127.0.0.1")
		a.has(t, "endpoints/0/protocol", "tcp")
		if port := a.text("endpoints/0/ports/0"); !regexp.MustCompile(`^[0-9]+$`).MatchString(port) {
			t.Errorf("BND-18: a port is the string of a number, got %v", a.lookup("endpoints/0/ports/0"))
		}
		a.lacks(t, "operation", "metadata")
	})

	t.Run("BND-05,A-10,C-8: the same again has the same credentials", func(t *testing.T) {
		first := w.bind(t, "i", "again", bindBody("plan-plain", `"parameters":{"access":"read-only"},"bind_resource":{"app_guid":"app"}`))
		first.is(t, 201)
		for range 3 {
			again := w.bind(t, "i", "again", bindBody("plan-plain", `"parameters":{"access":"read-only"},"bind_resource":{"app_guid":"app"}`))
			again.is(t, 200)
			again.equal(t, first)
		}
	})

	t.Run("BND-06: the id is taken by something different", func(t *testing.T) {
		w.put(t, "i2", provisionBody("plan-plain", "")).is(t, 201)
		first := w.bind(t, "i", "taken", bindBody("plan-plain", `"bind_resource":{"app_guid":"app"}`))
		first.is(t, 201)
		for why, body := range map[string]string{
			"parameters":    bindBody("plan-plain", `"bind_resource":{"app_guid":"app"},"parameters":{"access":"read-only"}`),
			"bind_resource": bindBody("plan-plain", `"bind_resource":{"app_guid":"other"}`),
			"nothing":       bindBody("plan-plain", ""),
		} {
			if a := w.bind(t, "i", "taken", body); a.status != 409 {
				t.Errorf("another %s: got %d %s, want 409", why, a.status, a.raw)
			}
		}
		w.bind(t, "i", "taken", bindBody("plan-plain", `"bind_resource":{"app_guid":"app"}`)).equal(t, first)
	})

	t.Run("BND-07,CT-04,ERR-10: malformed or incomplete", func(t *testing.T) {
		for why, body := range map[string]string{
			"no service_id": `{"plan_id":"plan-plain"}`, "empty plan_id": `{"service_id":"svc-main","plan_id":""}`,
			"broken": `{`, "empty": ``, "an array": `[1]`,
		} {
			if a := w.bind(t, "i", "bad", body); a.status != 400 {
				t.Errorf("%s: got %d %s", why, a.status, a.raw)
			}
		}
		w.getBinding(t, "i", "bad").is(t, 404)
	})

	t.Run("BND-08,BND-13: not the instance's, or not by the schema", func(t *testing.T) {
		for why, body := range map[string]string{
			"unknown service":  `{"service_id":"svc-none","plan_id":"plan-plain"}`,
			"unknown plan":     bindBody("plan-none", ""),
			"another plan":     bindBody("plan-other", ""),
			"another service":  bindBody("svc-slow:slow-bind", ""),
			"a wrong value":    bindBody("plan-plain", `"parameters":{"access":"all"}`),
			"an unknown field": bindBody("plan-plain", `"parameters":{"acess":"read-only"}`),
		} {
			if a := w.bind(t, "i", "bad", body); a.status != 400 {
				t.Errorf("%s: got %d %s, want 400", why, a.status, a.raw)
			}
		}
		w.pollBinding(t, "i", "bad").is(t, 404)
	})

	t.Run("BND-09,BND-28,A-9,A-16,BND-27,EXT-01: what platforms send for nothing, and one scope for several bindings", func(t *testing.T) {
		for id, more := range map[string]string{
			"key":    `"app_guid":"","bind_resource":{"app_guid":""},"parameters":null,"context":{"platform":"kubernetes","namespace":"n"}`,
			"empty":  `"bind_resource":{},"parameters":{},"unknown":{"x":1}`,
			"scope1": `"bind_resource":{"app_guid":"namespace-1"}`,
			"scope2": `"bind_resource":{"app_guid":"namespace-1"}`,
			"old":    `"app_guid":"app"`,
		} {
			w.bind(t, "i", id, bindBody("plan-plain", more)).is(t, 201)
		}
		w.bind(t, "i", "key", bindBody("plan-plain", "")).is(t, 200)
	})

	t.Run("BND-10,ERR-07,A-19: an application is needed", func(t *testing.T) {
		w.put(t, "apps", provisionBody("plan-app", "")).is(t, 201)
		for _, more := range []string{"", `"app_guid":""`, `"bind_resource":{"app_guid":""}`, `"bind_resource":{"route":"r"}`} {
			a := w.bind(t, "apps", "b", bindBody("plan-app", more))
			a.is(t, 422)
			a.has(t, "error", "RequiresApp")
			a.has(t, "description", "This service supports generation of credentials through binding an application only.")
		}
		w.bind(t, "apps", "b", bindBody("plan-app", `"app_guid":"a"`)).is(t, 201)
		w.bind(t, "apps", "c", bindBody("plan-app", `"bind_resource":{"app_guid":"a"}`)).is(t, 201)
	})

	t.Run("BND-01,CAT-21: a plan that is not bindable", func(t *testing.T) {
		w.put(t, "unbindable", provisionBody("plan-unbindable", "")).is(t, 201)
		w.bind(t, "unbindable", "b", bindBody("plan-unbindable", "")).is(t, 400)
	})

	t.Run("BND-03,BND-04,BND-29,OPK-02,ASY-04: while it runs, nothing but the same operation", func(t *testing.T) {
		w.put(t, "binding", slowBody("slow-bind", "")).is(t, 201)
		body := bindBody("svc-slow:slow-bind", "")
		first := w.bind(t, "binding", "b?accepts_incomplete=true", body)
		first.is(t, 202)
		if diff := cmp.Diff(map[string]any{"operation": first.operation(t)}, first.body); diff != "" {
			t.Errorf("BND-03: -want +got:\n%s", diff)
		}
		for range 3 {
			w.bind(t, "binding", "b?accepts_incomplete=true", body).has(t, "operation", first.operation(t))
		}
		w.bind(t, "binding", "b?accepts_incomplete=true", bindBody("svc-slow:slow-bind", `"parameters":{"size":1}`)).is(t, 409)
		w.getBinding(t, "binding", "b").is(t, 404)
	})

	t.Run("BND-12,ASY-03: only asynchronously", func(t *testing.T) {
		w.put(t, "async?accepts_incomplete=true", provisionBody("plan-async", "")).made(t)
		w.finish(t, "async").has(t, "state", "succeeded")
		w.bind(t, "async", "b", bindBody("plan-async", "")).has(t, "error", "AsyncRequired")
		w.getBinding(t, "async", "b").is(t, 404)
		w.pollBinding(t, "async", "b").is(t, 404)
	})

	t.Run("BND-11,CON-01,CON-02,A-4: binds of one instance run side by side", func(t *testing.T) {
		w.put(t, "several", slowBody("slow-bind", "")).is(t, 201)
		w.bind(t, "several", "b1?accepts_incomplete=true", bindBody("svc-slow:slow-bind", "")).is(t, 202)
		w.bind(t, "several", "b2?accepts_incomplete=true", bindBody("svc-slow:slow-bind", "")).is(t, 202)
		w.pollBinding(t, "several", "b2").has(t, "state", "in progress")
	})

	t.Run("A-5: a bind during a provision waits for it", func(t *testing.T) {
		w.put(t, "young?accepts_incomplete=true", provisionBody("plan-steps", "")).is(t, 202)
		w.bind(t, "young", "b?accepts_incomplete=true", bindBody("plan-steps", "")).is(t, 202)
		w.finishBinding(t, "young", "b").has(t, "state", "succeeded")
		w.getBinding(t, "young", "b").is(t, 200)
	})

	t.Run("BND-15: credentials of their own, each revoked alone", func(t *testing.T) {
		one, two := w.bind(t, "i", "own1", bindBody("plan-plain", "")), w.bind(t, "i", "own2", bindBody("plan-plain", ""))
		if one.text("credentials/uri") == two.text("credentials/uri") {
			t.Fatal("two bindings have the same credentials")
		}
		w.unbind(t, "i", "own1", "svc-main", "plan-plain").is(t, 200)
		if got := write(t, one.text("credentials/uri")); got != "401" {
			t.Errorf("UNB-01: the credentials of a deleted binding: %s", got)
		}
		if got := write(t, two.text("credentials/uri")); got != "204" {
			t.Errorf("the credentials of the other binding: %s", got)
		}
	})

	t.Run("BND-19,BND-20,BND-21,BND-22: when it ends", func(t *testing.T) {
		a := w.bind(t, "i", "ends", bindBody("plan-plain", `"parameters":{"expiresAt":"2040-06-01T12:00:00+02:00","renewBefore":"2040-05-01T10:00:00Z"}`))
		a.is(t, 201)
		a.has(t, "metadata", map[string]any{"expires_at": "2040-06-01T10:00:00.0Z", "renew_before": "2040-05-01T10:00:00.0Z"})
		w.getBinding(t, "i", "ends").has(t, "metadata/renew_before", "2040-05-01T10:00:00.0Z")
		if a := w.bind(t, "i", "backwards", bindBody("plan-plain", `"parameters":{"expiresAt":"2040-01-01T00:00:00Z","renewBefore":"2040-05-01T10:00:00Z"}`)); a.status < 400 {
			t.Errorf("BND-21: renew_before after expires_at: got %d %s", a.status, a.raw)
		}
	})

	t.Run("BND-23,BND-24,BND-25,FB-04: log drain, route and volume", func(t *testing.T) {
		w.put(t, "platform", instanceBody("svc-platform", "platform-plan", "")).is(t, 201)
		a := w.bind(t, "platform", "b", bindBody("svc-platform:platform-plan", `"bind_resource":{"route":"app.example","space_guid":"s","app_annotations":{},"credential_client_id":"c"}`))
		a.is(t, 201)
		a.has(t, "syslog_drain_url", "syslog://127.0.0.1:514")
		a.has(t, "route_service_url", "https://proxy.example/b")
		a.has(t, "volume_mounts", []any{map[string]any{"driver": "nfs", "container_dir": "/data", "mode": "rw", "device_type": "shared",
			"device": map[string]any{"volume_id": "platform", "mount_config": map[string]any{"server": "127.0.0.1"}}}})
		w.getBinding(t, "platform", "b").has(t, "route_service_url", "https://proxy.example/b")
		w.bind(t, "i", "plain", bindBody("plan-plain", `"bind_resource":{"route":"app.example"}`)).lacks(t, "syslog_drain_url", "route_service_url", "volume_mounts")
	})

	t.Run("PRF-04: what Cloud Foundry puts into bind_resource", func(t *testing.T) {
		w.bind(t, "i", "cf", bindBody("plan-plain", `"bind_resource":{"app_guid":"a","space_guid":"s","app_annotations":{"a":"b"},"credential_client_id":"c"}`)).is(t, 201)
	})

	t.Run("BND-26,C-7: an instance that does not exist", func(t *testing.T) {
		a := w.bind(t, "nobody", "b", bindBody("plan-plain", ""))
		a.is(t, 404)
		a.says(t, "nobody")
		w.nothing(t, "nobody")
		w.bind(t, "i", "a%2Fb%20c", bindBody("plan-plain", "")).is(t, 201)
		w.getBinding(t, "i", "a%2Fb%20c").is(t, 200)
	})

	t.Run("BND-30,ERR-09,ORP-03: a failure leaves nothing, and the DELETE that follows is served", func(t *testing.T) {
		w.put(t, "failing", failingBody("fail-bind", "")).is(t, 201)
		a := w.bind(t, "failing", "b", bindBody("svc-failing:fail-bind", ""))
		a.is(t, 500)
		a.says(t, "No more accounts.")
		w.getBinding(t, "failing", "b").is(t, 404)
		if a := w.unbind(t, "failing", "b", "svc-failing", "fail-bind"); a.status != 200 && a.status != 410 {
			t.Errorf("got %d %s", a.status, a.raw)
		}
		w.unbind(t, "failing", "b", "svc-failing", "fail-bind").is(t, 410)
	})
}

func TestConformanceRotation(t *testing.T) {
	w := newWorld(t)
	w.put(t, "i", provisionBody("plan-plain", "")).is(t, 201)
	w.put(t, "other", provisionBody("plan-plain", "")).is(t, 201)
	w.put(t, "fixed", provisionBody("plan-other", "")).is(t, 201)
	old := w.bind(t, "i", "old", bindBody("plan-plain", `"parameters":{"access":"read-only"}`))
	old.is(t, 201)

	t.Run("ROT-01,ROT-02,ROT-03,ROT-06,ROT-07,CAT-22: a new binding beside the old one", func(t *testing.T) {
		a := w.bind(t, "i", "new", `{"predecessor_binding_id":"old"}`)
		a.is(t, 201)
		if a.text("credentials/uri") == old.text("credentials/uri") {
			t.Error("the credentials are the old ones")
		}
		w.getBinding(t, "i", "new").has(t, "parameters/access", "read-only")
		for _, uri := range []string{old.text("credentials/uri"), a.text("credentials/uri")} {
			if got := write(t, uri); got != "403" {
				t.Errorf("ROT-03: read-only credentials must be known and not write: got %s", got)
			}
		}
		again := w.bind(t, "i", "new", `{"predecessor_binding_id":"old"}`)
		again.is(t, 200)
		again.equal(t, a)
		w.unbind(t, "i", "old", "svc-main", "plan-plain").is(t, 200)
		if got := write(t, a.text("credentials/uri")); got != "403" {
			t.Errorf("ROT-03: after the old one is gone: %s", got)
		}
		w.bind(t, "i", "newer", `{"predecessor_binding_id":"new","service_id":"svc-main","plan_id":"plan-plain"}`).is(t, 201)
	})

	t.Run("ROT-04,ROT-05,ROT-06: predecessors that are none", func(t *testing.T) {
		w.bind(t, "i", "expired", bindBody("plan-plain", `"parameters":{"expiresAt":"2020-01-01T00:00:00Z"}`)).is(t, 201)
		w.bind(t, "fixed", "old", bindBody("plan-other", "")).is(t, 201)
		w.bind(t, "i", "valid", bindBody("plan-plain", "")).is(t, 201)
		for _, tc := range []struct{ instance, predecessor, why string }{
			{"i", "none", "unknown"},
			{"other", "valid", "another instance's"},
			{"i", "expired", "expired"},
			{"fixed", "old", "ROT-05: the plan does not rotate"},
		} {
			a := w.bind(t, tc.instance, "rotated", `{"predecessor_binding_id":"`+tc.predecessor+`"}`)
			if a.status != 400 {
				t.Errorf("%s: got %d %s, want 400", tc.why, a.status, a.raw)
			}
			w.getBinding(t, tc.instance, "rotated").is(t, 404)
		}
		w.bind(t, "nobody", "rotated", `{"predecessor_binding_id":"valid"}`).is(t, 404)
		w.bind(t, "i", "taken", bindBody("plan-plain", `"parameters":{"access":"read-only"}`)).is(t, 201)
		w.bind(t, "i", "taken", `{"predecessor_binding_id":"valid"}`).is(t, 409)
	})
}
