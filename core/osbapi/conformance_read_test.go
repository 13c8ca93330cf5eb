package osbapi_test

import (
	"testing"
)

func TestConformanceFetchInstance(t *testing.T) {
	w := newWorld(t)

	t.Run("FI-01,FI-04,FI-05,CAT-11,MET-02,MET-03: everything but secrets", func(t *testing.T) {
		w.put(t, "i", provisionBody("plan-plain", `"parameters":{"size":20,"password":"s3cret"}`)).is(t, 201)
		a := w.get(t, "i")
		a.is(t, 200)
		a.has(t, "service_id", "svc-main")
		a.has(t, "plan_id", "plan-plain")
		a.has(t, "dashboard_url", "https://dashboard.example/i")
		a.has(t, "parameters", map[string]any{"size": 20.0})
		a.has(t, "metadata/labels/size", 20.0)
		a.has(t, "metadata/attributes/plan", "plain")
		a.lacks(t, "maintenance_info")
	})

	t.Run("FI-01,LOI-11: at once after the poll says succeeded", func(t *testing.T) {
		w.put(t, "later?accepts_incomplete=true", provisionBody("plan-steps", "")).is(t, 202)
		w.finish(t, "later").has(t, "state", "succeeded")
		w.get(t, "later").is(t, 200)
	})

	t.Run("FI-02: neither what does not exist nor what is not there yet", func(t *testing.T) {
		w.get(t, "nobody").is(t, 404)
		w.put(t, "young?accepts_incomplete=true", slowBody("slow-provision", "")).is(t, 202)
		w.get(t, "young").is(t, 404)
	})

	t.Run("FI-03,CON-03: while it is being updated", func(t *testing.T) {
		w.put(t, "updating", slowBody("slow-update", "")).is(t, 201)
		w.patch(t, "updating?accepts_incomplete=true", `{"service_id":"svc-slow","parameters":{"size":5}}`).is(t, 202)
		a := w.get(t, "updating")
		a.is(t, 422)
		a.has(t, "error", "ConcurrencyError")
	})

	t.Run("FI-07: hints are not compared, but must not be empty", func(t *testing.T) {
		w.put(t, "hinted", provisionBody("plan-plain", "")).is(t, 201)
		w.get(t, "hinted?service_id=svc-main&plan_id=plan-plain").is(t, 200)
		w.get(t, "hinted?service_id=other&plan_id=other").is(t, 200)
		w.get(t, "hinted?service_id=").is(t, 400)
	})

	t.Run("FI-08,FI-06: an update is visible", func(t *testing.T) {
		w.put(t, "moved", provisionBody("plan-plain", "")).is(t, 201)
		w.patch(t, "moved", `{"service_id":"svc-main","plan_id":"plan-maintained","parameters":{"size":44}}`).is(t, 200)
		a := w.get(t, "moved")
		a.has(t, "plan_id", "plan-maintained")
		a.has(t, "parameters/size", 44.0)
		a.has(t, "maintenance_info/version", "2.0.0")
		a.has(t, "metadata/attributes/plan", "maintained")
	})

	t.Run("FI-09: while it is being deleted, one answer until it is gone", func(t *testing.T) {
		w.put(t, "leaving", slowBody("slow-deprovision", "")).is(t, 201)
		w.remove(t, "leaving?accepts_incomplete=true", "svc-slow", "slow-deprovision").is(t, 202)
		first := w.get(t, "leaving")
		if first.status != 404 && first.status != 422 {
			t.Errorf("got %d %s", first.status, first.raw)
		}
		if again := w.get(t, "leaving"); again.status != first.status {
			t.Errorf("got %d and then %d", first.status, again.status)
		}
	})

	t.Run("CAT-11: a service that does not show its instances", func(t *testing.T) {
		w.put(t, "closed", instanceBody("svc-closed", "closed-plan", "")).is(t, 201)
		a := w.get(t, "closed")
		a.is(t, 400)
		a.says(t, "instances_retrievable")
		w.bind(t, "closed", "b", bindBody("svc-closed:closed-plan", "")).is(t, 201)
		w.getBinding(t, "closed", "b").is(t, 400)
	})
}

func TestConformanceFetchBinding(t *testing.T) {
	w := newWorld(t)
	w.put(t, "i", provisionBody("plan-plain", "")).is(t, 201)
	w.put(t, "other", provisionBody("plan-plain", "")).is(t, 201)

	t.Run("FB-01,FB-03,FB-05,FB-06: everything but secret parameters", func(t *testing.T) {
		bound := w.bind(t, "i", "b", bindBody("plan-plain", `"parameters":{"access":"read-only","password":"s3cret","expiresAt":"2040-01-01T00:00:00Z"}`))
		bound.is(t, 201)
		a := w.getBinding(t, "i", "b")
		a.is(t, 200)
		a.has(t, "credentials/uri", bound.text("credentials/uri"))
		a.has(t, "parameters", map[string]any{"access": "read-only", "expiresAt": "2040-01-01T00:00:00Z"})
		a.has(t, "metadata/expires_at", "2040-01-01T00:00:00.0Z")
		a.has(t, "endpoints/0/host", "127.0.0.1")
		w.getBinding(t, "i", "b").equal(t, a)
	})

	t.Run("FB-01,FB-03,LOB-08,A-10,A-11,BND-16: credentials of an asynchronous binding, by GET and by PUT", func(t *testing.T) {
		w.put(t, "steps?accepts_incomplete=true", provisionBody("plan-steps", "")).is(t, 202)
		w.finish(t, "steps").has(t, "state", "succeeded")
		w.bind(t, "steps", "b?accepts_incomplete=true", bindBody("plan-steps", "")).is(t, 202)
		w.finishBinding(t, "steps", "b").has(t, "state", "succeeded")
		a := w.getBinding(t, "steps", "b")
		a.is(t, 200)
		if got := write(t, a.text("credentials/uri")); got != "204" {
			t.Errorf("the credentials do not work: %s", got)
		}
		again := w.bind(t, "steps", "b?accepts_incomplete=true", bindBody("plan-steps", ""))
		again.is(t, 200)
		again.has(t, "credentials/uri", a.text("credentials/uri"))
	})

	t.Run("FB-02: neither what does not exist nor what is not there yet", func(t *testing.T) {
		w.getBinding(t, "i", "none").is(t, 404)
		w.getBinding(t, "nobody", "b").is(t, 404)
		w.put(t, "slow", slowBody("slow-bind", "")).is(t, 201)
		w.bind(t, "slow", "b?accepts_incomplete=true", bindBody("svc-slow:slow-bind", "")).is(t, 202)
		w.getBinding(t, "slow", "b").is(t, 404)
	})

	t.Run("FB-07: hints are not compared, but must not be empty", func(t *testing.T) {
		w.bind(t, "i", "hinted", bindBody("plan-plain", "")).is(t, 201)
		w.getBinding(t, "i", "hinted?service_id=other&plan_id=other").is(t, 200)
		w.getBinding(t, "i", "hinted?plan_id=").is(t, 400)
	})

	t.Run("FB-08: the same id under another instance is another binding", func(t *testing.T) {
		w.bind(t, "i", "mine", bindBody("plan-plain", "")).is(t, 201)
		w.getBinding(t, "other", "mine").is(t, 404)
		w.pollBinding(t, "other", "mine").is(t, 404)
		w.unbind(t, "other", "mine", "svc-main", "plan-plain").is(t, 410)
		w.getBinding(t, "i", "mine").is(t, 200)
	})

	t.Run("FB-09: while it is being deleted, one answer until it is gone", func(t *testing.T) {
		w.put(t, "leaving", slowBody("slow-unbind", "")).is(t, 201)
		w.bind(t, "leaving", "b", bindBody("svc-slow:slow-unbind", "")).is(t, 201)
		w.unbind(t, "leaving", "b?accepts_incomplete=true", "svc-slow", "slow-unbind").is(t, 202)
		first := w.getBinding(t, "leaving", "b")
		if again := w.getBinding(t, "leaving", "b"); again.status != first.status || first.status >= 500 {
			t.Errorf("got %d and then %d", first.status, again.status)
		}
	})
}

func TestConformancePolls(t *testing.T) {
	dir := t.TempDir()
	w := newWorldIn(t, dir)

	t.Run("LOI-01,LOI-07,LOI-09: while it goes on", func(t *testing.T) {
		w.put(t, "slow?accepts_incomplete=true", slowBody("slow-provision", "")).is(t, 202)
		a := w.poll(t, "slow")
		a.is(t, 200)
		a.has(t, "state", "in progress")
		if a.text("description") == "" {
			t.Errorf("LOI-07: no description: %s", a.raw)
		}
		if after := a.header.Get("Retry-After"); after == "" || after == "0" {
			t.Errorf("LOI-09: Retry-After is %q", after)
		}
		a.lacks(t, "instance_usable", "update_repeatable")
	})

	t.Run("LOI-02: what never existed", func(t *testing.T) {
		w.poll(t, "nobody").is(t, 404)
	})

	t.Run("LOI-03,LOI-10,C-3: after a finished delete", func(t *testing.T) {
		w.put(t, "gone", provisionBody("plan-plain", "")).is(t, 201)
		w.remove(t, "gone?accepts_incomplete=true", "svc-main", "plan-plain").deleted(t)
		w.finish(t, "gone").has(t, "state", "succeeded")
		for range 2 {
			a := w.poll(t, "gone")
			a.is(t, 200)
			a.has(t, "state", "succeeded")
		}
	})

	t.Run("LOI-04,LOI-05,LOI-06,A-6,A-14,A-15: hints", func(t *testing.T) {
		made := w.put(t, "hints?accepts_incomplete=true", provisionBody("plan-steps", ""))
		w.finish(t, "hints").has(t, "state", "succeeded")
		updated := w.patch(t, "hints?accepts_incomplete=true", `{"service_id":"svc-main","plan_id":"plan-plain"}`)
		queries := []string{"", "operation=provision", "operation=update", "operation=unknown%2Fword", "plan_id=plan-plain",
			"plan_id=plan-steps&service_id=svc-main", "service_id=other&plan_id=other", "x=%zz",
			"operation=" + made.operation(t)}
		if updated.status == 202 { // else it was done before the broker could answer so
			queries = append(queries, "operation="+updated.operation(t))
		}
		for _, query := range queries {
			w.poll(t, "hints?"+query).is(t, 200)
		}
		w.finish(t, "hints").has(t, "state", "succeeded")
		for _, query := range []string{"operation=", "service_id=", "plan_id="} {
			w.poll(t, "hints?"+query).is(t, 400)
		}
	})

	t.Run("LOI-05: the operation that is named", func(t *testing.T) {
		made := w.put(t, "named?accepts_incomplete=true", slowBody("slow-provision", ""))
		w.remove(t, "named?accepts_incomplete=true", "svc-slow", "slow-provision").is(t, 202)
		w.finish(t, "named").has(t, "state", "succeeded")
		w.poll(t, "named?operation="+made.operation(t)).has(t, "state", "failed")
	})

	t.Run("LOI-08,UPD-16: a failed update says what is left", func(t *testing.T) {
		w.put(t, "broken", failingBody("fail-update", "")).is(t, 201)
		w.patch(t, "broken?accepts_incomplete=true", `{"service_id":"svc-failing","parameters":{"broken":true}}`).begun(t)
		a := w.finish(t, "broken")
		a.has(t, "state", "failed")
		a.has(t, "instance_usable", false)
		a.has(t, "update_repeatable", false)
		a.says(t, "The migration broke.")
	})

	t.Run("LOI-08: a failed provision says neither", func(t *testing.T) {
		w.put(t, "unmade?accepts_incomplete=true", failingBody("fail-provision", "")).begun(t)
		a := w.finish(t, "unmade")
		a.has(t, "state", "failed")
		a.lacks(t, "instance_usable", "update_repeatable")
		a.says(t, "The disks are full.")
		w.poll(t, "unmade").has(t, "state", "failed")
	})

	t.Run("LOI-12,CAT-23: the work fails at its deadline, which the catalog announces", func(t *testing.T) {
		plan := named(t, named(t, w.do(t, "GET", "/v2/catalog", "").lookup("services"), "slow-service")["plans"], "deadline")
		if d, _ := plan["maximum_polling_duration"].(float64); d < 1 {
			t.Errorf("maximum_polling_duration is %v", d)
		}
		w.put(t, "late?accepts_incomplete=true", slowBody("slow-deadline", "")).is(t, 202)
		w.finish(t, "late").has(t, "state", "failed")
	})

	t.Run("LOB-01,LOB-06,LOB-09: a binding while it goes on", func(t *testing.T) {
		w.put(t, "binding", slowBody("slow-bind", "")).is(t, 201)
		w.bind(t, "binding", "b?accepts_incomplete=true", bindBody("svc-slow:slow-bind", "")).is(t, 202)
		a := w.pollBinding(t, "binding", "b")
		a.has(t, "state", "in progress")
		if after := a.header.Get("Retry-After"); after == "" || after == "0" {
			t.Errorf("LOB-06: Retry-After is %q", after)
		}
		a.lacks(t, "instance_usable", "update_repeatable")
	})

	t.Run("LOB-02,LOB-04,LOB-05: hints, and what never existed", func(t *testing.T) {
		w.put(t, "i", provisionBody("plan-plain", "")).is(t, 201)
		w.bind(t, "i", "b", bindBody("plan-plain", "")).is(t, 201)
		w.pollBinding(t, "i", "none").is(t, 404)
		for _, query := range []string{"", "operation=bind", "service_id=other&plan_id=other"} {
			w.pollBinding(t, "i", "b?"+query).is(t, 200)
		}
		for _, query := range []string{"operation=", "service_id=", "plan_id="} {
			w.pollBinding(t, "i", "b?"+query).is(t, 400)
		}
	})

	t.Run("LOB-03,LOB-07,LOB-09,C-3: after a finished unbind and a failed bind", func(t *testing.T) {
		w.unbind(t, "i", "b?accepts_incomplete=true", "svc-main", "plan-plain").deleted(t)
		w.finishBinding(t, "i", "b").has(t, "state", "succeeded")
		w.pollBinding(t, "i", "b").has(t, "state", "succeeded")
		w.put(t, "failing", failingBody("fail-bind", "")).is(t, 201)
		w.bind(t, "failing", "b?accepts_incomplete=true", bindBody("svc-failing:fail-bind", "")).begun(t)
		a := w.finishBinding(t, "failing", "b")
		a.has(t, "state", "failed")
		a.lacks(t, "instance_usable", "update_repeatable")
	})

	t.Run("LOI-10,LOB-07,CAT-06,OPK-02: the same after a restart", func(t *testing.T) {
		catalog, slow := w.do(t, "GET", "/v2/catalog", ""), w.put(t, "slow?accepts_incomplete=true", slowBody("slow-provision", ""))
		slow.is(t, 202)
		w.close()
		w = newWorldIn(t, dir)
		w.do(t, "GET", "/v2/catalog", "").equal(t, catalog)
		w.poll(t, "gone").has(t, "state", "succeeded")
		w.poll(t, "unmade").has(t, "state", "failed")
		w.pollBinding(t, "i", "b").has(t, "state", "succeeded")
		again := w.put(t, "slow?accepts_incomplete=true", slowBody("slow-provision", ""))
		again.is(t, 202)
		again.has(t, "operation", slow.operation(t))
		w.poll(t, "slow").has(t, "state", "in progress")
	})
}
