package osbapi_test

import (
	"testing"
)

func TestConformanceUpdate(t *testing.T) {
	w := newWorld(t)
	// have provisions an instance for a sub-test.
	have := func(t *testing.T, id, body string) {
		t.Helper()
		w.put(t, id, body).is(t, 201)
	}

	t.Run("UPD-01,UPD-07,MET-01,UPD-18,UPD-19,ASY-02: parameters change, the rest stays", func(t *testing.T) {
		have(t, "changed", provisionBody("plan-plain", `"parameters":{"size":20,"name":"kept"}`))
		a := w.patch(t, "changed", `{"service_id":"svc-main","parameters":{"size":30}}`)
		a.is(t, 200)
		a.has(t, "metadata/labels/size", 30.0)
		a.has(t, "dashboard_url", "https://dashboard.example/changed")
		got := w.get(t, "changed")
		got.has(t, "parameters/size", 30.0)
		got.has(t, "parameters/name", "kept")
		got.has(t, "metadata/labels/size", 30.0)
	})

	t.Run("UPD-01,UPD-06,UPD-07: nothing changes without plan and parameters", func(t *testing.T) {
		have(t, "same", provisionBody("plan-plain", `"parameters":{"size":20}`))
		before := w.get(t, "same")
		for _, body := range []string{`{"service_id":"svc-main"}`, `{"service_id":"svc-main","plan_id":"plan-plain","parameters":{"size":20}}`,
			`{"service_id":"svc-main","plan_id":"","parameters":null,"previous_values":{},"maintenance_info":{}}`} {
			w.patch(t, "same", body).is(t, 200)
		}
		w.get(t, "same").equal(t, before)
	})

	t.Run("UPD-02,ASY-04,OPK-02,A-8: while it runs, the same operation", func(t *testing.T) {
		have(t, "updating", slowBody("slow-update", ""))
		body := `{"service_id":"svc-slow","parameters":{"size":5}}`
		first := w.patch(t, "updating?accepts_incomplete=true", body)
		first.is(t, 202)
		operation := first.operation(t)
		for range 3 {
			again := w.patch(t, "updating?accepts_incomplete=true", body)
			again.is(t, 202)
			again.has(t, "operation", operation)
		}
		if got := w.operations(t, "updating"); len(got) != 2 {
			t.Errorf("the same request made other operations: %v", got)
		}
	})

	t.Run("UPD-20,CON-01,CON-03: another operation runs", func(t *testing.T) {
		have(t, "busy", slowBody("slow-update", ""))
		w.patch(t, "busy?accepts_incomplete=true", `{"service_id":"svc-slow","parameters":{"size":5}}`).is(t, 202)
		a := w.patch(t, "busy?accepts_incomplete=true", `{"service_id":"svc-slow","parameters":{"size":6}}`)
		a.is(t, 422)
		a.has(t, "error", "ConcurrencyError")
		w.put(t, "young?accepts_incomplete=true", slowBody("slow-provision", "")).is(t, 202)
		w.patch(t, "young?accepts_incomplete=true", `{"service_id":"svc-slow","parameters":{"size":6}}`).has(t, "error", "ConcurrencyError")
		if got := w.operations(t, "young"); len(got) != 1 {
			t.Errorf("the refused request left something: %v", got)
		}
	})

	t.Run("UPD-03,UPD-04,UPD-05,CT-04,ERR-10: malformed or not in the catalog", func(t *testing.T) {
		have(t, "strict", provisionBody("plan-plain", ""))
		for why, body := range map[string]string{
			"UPD-03 no service_id":        `{"plan_id":"plan-other"}`,
			"UPD-03 empty service_id":     `{"service_id":"","plan_id":"plan-other"}`,
			"UPD-03 broken":               `{"service_id"`,
			"UPD-04 unknown service":      `{"service_id":"svc-none"}`,
			"UPD-04 another's service":    `{"service_id":"svc-slow"}`,
			"UPD-05 unknown plan":         `{"service_id":"svc-main","plan_id":"plan-none"}`,
			"UPD-05 another service's":    `{"service_id":"svc-main","plan_id":"slow-update"}`,
			"UPD-08 breaks the schema":    `{"service_id":"svc-main","parameters":{"size":501}}`,
			"UPD-08 not in update schema": `{"service_id":"svc-main","parameters":{"name":"x"}}`,
		} {
			if a := w.patch(t, "strict", body); a.status != 400 {
				t.Errorf("%s: got %d %s, want 400", why, a.status, a.raw)
			}
		}
		if got := w.operations(t, "strict"); len(got) != 1 {
			t.Errorf("the refused requests left something: %v", got)
		}
	})

	t.Run("UPD-08: every violation at once", func(t *testing.T) {
		have(t, "violated", provisionBody("plan-plain", ""))
		a := w.patch(t, "violated", `{"service_id":"svc-main","parameters":{"size":"x","colour":1}}`)
		a.is(t, 400)
		a.says(t, "/parameters/size", "/parameters/colour")
	})

	t.Run("UPD-22,UPD-09,CAT-15: plan changes, where the current plan allows them", func(t *testing.T) {
		have(t, "moving", provisionBody("plan-plain", ""))
		w.patch(t, "moving", `{"service_id":"svc-main","plan_id":"plan-other","previous_values":{"plan_id":"nonsense","organization_id":"x"}}`).is(t, 200)
		w.get(t, "moving").has(t, "plan_id", "plan-other")
		w.patch(t, "moving", `{"service_id":"svc-main","plan_id":"plan-fixed"}`).is(t, 200)
		a := w.patch(t, "moving", `{"service_id":"svc-main","plan_id":"plan-plain"}`)
		a.is(t, 422)
		a.says(t, "plan")
		w.get(t, "moving").has(t, "plan_id", "plan-fixed")
		w.patch(t, "moving", `{"service_id":"svc-main","parameters":{"size":99}}`).is(t, 200)
	})

	t.Run("UPD-14: previous_values are not believed", func(t *testing.T) {
		have(t, "previous", provisionBody("plan-plain", ""))
		w.patch(t, "previous", `{"service_id":"svc-main","parameters":{"size":12},"previous_values":{"service_id":"other","plan_id":"other",
			"organization_id":"other","space_id":"other","maintenance_info":{"version":"9.9.9"},"unknown":[]}}`).is(t, 200)
	})

	t.Run("UPD-10,ASY-03: only asynchronously", func(t *testing.T) {
		w.put(t, "async?accepts_incomplete=true", provisionBody("plan-async", "")).made(t)
		w.finish(t, "async").has(t, "state", "succeeded")
		a := w.patch(t, "async", `{"service_id":"svc-main","parameters":{"size":12}}`)
		a.is(t, 422)
		a.has(t, "error", "AsyncRequired")
		w.get(t, "async").lacks(t, "parameters/size")
	})

	t.Run("UPD-11,UPD-12,FI-06,A-14: maintenance_info", func(t *testing.T) {
		have(t, "old", provisionBody("plan-plain", ""))
		w.patch(t, "old", `{"service_id":"svc-main","plan_id":"plan-maintained","maintenance_info":{"version":"1.0.0"}}`).has(t, "error", "MaintenanceInfoConflict")
		w.patch(t, "old", `{"service_id":"svc-main","maintenance_info":{"version":"2.0.0"}}`).has(t, "error", "MaintenanceInfoConflict")
		w.get(t, "old").lacks(t, "maintenance_info")
		w.patch(t, "old", `{"service_id":"svc-main","plan_id":"plan-maintained","maintenance_info":{"version":"2.0.0","x":1}}`).is(t, 200)
		w.get(t, "old").has(t, "maintenance_info/version", "2.0.0")
		w.patch(t, "old", `{"service_id":"svc-main","maintenance_info":{"version":"2.0.0"}}`).is(t, 200)
	})

	t.Run("UPD-13,UPD-23,CAT-12: a context alone", func(t *testing.T) {
		have(t, "renamed", provisionBody("plan-plain", `"context":{"platform":"x","instance_name":"old"}`))
		w.patch(t, "renamed", `{"service_id":"svc-main","context":{"platform":"x","instance_name":"new","organization_guid":"org2"}}`).is(t, 200)
		if a := w.admin(t, "GET", "/instances/renamed"); a.text("instance/context/instance_name") != "new" {
			t.Errorf("the context was not taken: %s", a.raw)
		}
		have(t, "closed", instanceBody("svc-closed", "closed-plan", `"context":{"platform":"x","a":1}`))
		w.patch(t, "closed", `{"service_id":"svc-closed","context":{"platform":"x","a":2}}`).is(t, 422)
		w.patch(t, "closed", `{"service_id":"svc-closed","context":{"platform":"x","a":1}}`).is(t, 200)
		w.admin(t, "GET", "/instances/closed").has(t, "instance/context/a", 1.0)
	})

	t.Run("UPD-15,UPD-16,UPD-17,ERR-05,ERR-06: a failure applies nothing and says what is left", func(t *testing.T) {
		have(t, "breaking", failingBody("fail-update", `"parameters":{"size":10}`))
		a := w.patch(t, "breaking", `{"service_id":"svc-failing","parameters":{"size":20,"broken":true}}`)
		a.is(t, 500)
		a.has(t, "instance_usable", false)
		a.has(t, "update_repeatable", false)
		a.says(t, "The migration broke.")
		w.get(t, "breaking").has(t, "parameters/size", 10.0)
		w.bind(t, "breaking", "b", bindBody("svc-failing:fail-update", "")).is(t, 422)
		w.patch(t, "breaking", `{"service_id":"svc-failing","parameters":{"size":30,"broken":false}}`).is(t, 200)
		w.get(t, "breaking").has(t, "parameters/size", 30.0)
		w.bind(t, "breaking", "b", bindBody("svc-failing:fail-update", "")).is(t, 201)
	})

	t.Run("UPD-09,UPD-15,ERR-08: what the backend cannot do now is 422", func(t *testing.T) {
		have(t, "shrinking", failingBody("refuse-update", `"parameters":{"size":10}`))
		a := w.patch(t, "shrinking", `{"service_id":"svc-failing","parameters":{"size":5}}`)
		a.is(t, 422)
		a.says(t, "The quota of the new size is too small.")
		w.get(t, "shrinking").has(t, "parameters/size", 10.0)
	})

	t.Run("UPD-21,C-7: an instance that does not exist", func(t *testing.T) {
		a := w.patch(t, "nobody", `{"service_id":"svc-main"}`)
		a.is(t, 404)
		a.says(t, "nobody")
		w.nothing(t, "nobody")
	})
}
