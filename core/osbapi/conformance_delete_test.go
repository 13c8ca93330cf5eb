package osbapi_test

import "testing"

func TestConformanceUnbind(t *testing.T) {
	w := newWorld(t)
	w.put(t, "i", provisionBody("plan-plain", "")).is(t, 201)

	t.Run("UNB-01,UNB-02,UNB-06,UNB-13,A-1,ORP-04: gone, and gone again", func(t *testing.T) {
		b := w.bind(t, "i", "b", bindBody("plan-plain", ""))
		b.is(t, 201)
		a := w.unbind(t, "i", "b", "svc-main", "plan-plain")
		a.is(t, 200)
		if string(a.raw) != "{}" {
			t.Errorf("UNB-02: the body is %s", a.raw)
		}
		if got := write(t, b.text("credentials/uri")); got != "401" {
			t.Errorf("UNB-01: the credentials still work: %s", got)
		}
		for range 2 {
			w.unbind(t, "i", "b", "svc-main", "plan-plain").is(t, 410)
		}
		w.getBinding(t, "i", "b").is(t, 404)
		w.unbind(t, "nobody", "b", "svc-main", "plan-plain").is(t, 410)
	})

	t.Run("UNB-04,UNB-05,C-2: the query", func(t *testing.T) {
		w.bind(t, "i", "kept", bindBody("plan-plain", "")).is(t, 201)
		for _, query := range []string{"", "?service_id=svc-main", "?plan_id=plan-plain", "?service_id=&plan_id=plan-plain",
			"?service_id=svc-none&plan_id=plan-plain", "?service_id=svc-main&plan_id=plan-other"} {
			if a := w.do(t, "DELETE", bindingPath("i", "kept")+query, ""); a.status != 400 {
				t.Errorf("%q: got %d %s, want 400", query, a.status, a.raw)
			}
		}
		w.getBinding(t, "i", "kept").is(t, 200)
		w.do(t, "DELETE", bindingPath("i", "never"), "").is(t, 410)
	})

	t.Run("UNB-03,UNB-12,OPK-02,A-7,A-8: while it runs, the same operation", func(t *testing.T) {
		w.put(t, "slow", slowBody("slow-unbind", "")).is(t, 201)
		w.bind(t, "slow", "b", bindBody("svc-slow:slow-unbind", "")).is(t, 201)
		first := w.unbind(t, "slow", "b?accepts_incomplete=true", "svc-slow", "slow-unbind")
		first.is(t, 202)
		for range 3 {
			again := w.unbind(t, "slow", "b?accepts_incomplete=true", "svc-slow", "slow-unbind")
			again.is(t, 202)
			again.has(t, "operation", first.operation(t))
		}
		a := w.bind(t, "slow", "b?accepts_incomplete=true", bindBody("svc-slow:slow-unbind", ""))
		a.is(t, 422)
		a.has(t, "error", "ConcurrencyError")
	})

	t.Run("UNB-07,ASY-03: only asynchronously", func(t *testing.T) {
		w.put(t, "async?accepts_incomplete=true", provisionBody("plan-async", "")).made(t)
		w.finish(t, "async").has(t, "state", "succeeded")
		w.bind(t, "async", "b?accepts_incomplete=true", bindBody("plan-async", "")).made(t)
		w.finishBinding(t, "async", "b").has(t, "state", "succeeded")
		w.unbind(t, "async", "b", "svc-main", "plan-async").has(t, "error", "AsyncRequired")
		w.getBinding(t, "async", "b").is(t, 200)
	})

	t.Run("UNB-09,UNB-10,ORP-03: while it is being created", func(t *testing.T) {
		w.put(t, "halt", slowBody("slow-bind", "")).is(t, 201)
		bound := w.bind(t, "halt", "b?accepts_incomplete=true", bindBody("svc-slow:slow-bind", ""))
		bound.is(t, 202)
		gone := w.unbind(t, "halt", "b?accepts_incomplete=true", "svc-slow", "slow-bind")
		gone.is(t, 202)
		w.finishBinding(t, "halt", "b").has(t, "state", "succeeded")
		w.pollBinding(t, "halt", "b?operation="+bound.operation(t)).has(t, "state", "failed")
		w.pollBinding(t, "halt", "b?operation="+gone.operation(t)).has(t, "state", "succeeded")
		w.getBinding(t, "halt", "b").is(t, 404)
	})

	t.Run("UNB-11: synchronously while it is being created", func(t *testing.T) {
		w.put(t, "halted", slowBody("slow-bind", "")).is(t, 201)
		bound := w.bind(t, "halted", "b?accepts_incomplete=true", bindBody("svc-slow:slow-bind", ""))
		w.unbind(t, "halted", "b", "svc-slow", "slow-bind").is(t, 200)
		w.pollBinding(t, "halted", "b?operation="+bound.operation(t)).has(t, "state", "failed")
	})

	t.Run("UNB-08: while the whole instance is deleted, it joins", func(t *testing.T) {
		w.put(t, "leaving", slowBody("slow-deprovision", "")).is(t, 201)
		w.bind(t, "leaving", "b", bindBody("svc-slow:slow-deprovision", "")).is(t, 201)
		w.remove(t, "leaving?accepts_incomplete=true", "svc-slow", "slow-deprovision").is(t, 202)
		a := w.unbind(t, "leaving", "b?accepts_incomplete=true", "svc-slow", "slow-deprovision")
		if a.status != 202 && a.status != 410 {
			t.Errorf("got %d %s", a.status, a.raw)
		}
	})
}

func TestConformanceDeprovision(t *testing.T) {
	w := newWorld(t)

	t.Run("DEP-01,DEP-02,DEP-05,A-1,A-2,ORP-04,ORP-06: gone, and gone again", func(t *testing.T) {
		w.put(t, "i", provisionBody("plan-plain", "")).is(t, 201)
		b := w.bind(t, "i", "b", bindBody("plan-plain", ""))
		w.unbind(t, "i", "b", "svc-main", "plan-plain").is(t, 200)
		a := w.remove(t, "i", "svc-main", "plan-plain")
		a.is(t, 200)
		if string(a.raw) != "{}" {
			t.Errorf("DEP-02: the body is %s", a.raw)
		}
		if got := write(t, b.text("credentials/uri")); got == "204" {
			t.Error("DEP-01: the service still serves the instance")
		}
		for range 2 {
			w.remove(t, "i", "svc-main", "plan-plain").is(t, 410)
		}
		w.get(t, "i").is(t, 404)
	})

	t.Run("DEP-04,DEP-11,C-2: the query", func(t *testing.T) {
		w.put(t, "kept", provisionBody("plan-plain", "")).is(t, 201)
		for _, query := range []string{"", "?service_id=svc-main", "?plan_id=plan-plain", "?service_id=svc-main&plan_id=",
			"?service_id=svc-none&plan_id=plan-plain", "?service_id=svc-main&plan_id=plan-other"} {
			if a := w.do(t, "DELETE", instancePath("kept")+query, ""); a.status != 400 {
				t.Errorf("%q: got %d %s, want 400", query, a.status, a.raw)
			}
		}
		w.get(t, "kept").is(t, 200)
		w.do(t, "DELETE", instancePath("never"), "").is(t, 400)
	})

	t.Run("DEP-03,DEP-14,OPK-02,A-7,A-8: while it runs, the same operation", func(t *testing.T) {
		w.put(t, "slow", slowBody("slow-deprovision", "")).is(t, 201)
		first := w.remove(t, "slow?accepts_incomplete=true", "svc-slow", "slow-deprovision")
		first.is(t, 202)
		for range 3 {
			again := w.remove(t, "slow?accepts_incomplete=true", "svc-slow", "slow-deprovision")
			again.is(t, 202)
			again.has(t, "operation", first.operation(t))
		}
		if got := w.operations(t, "slow"); len(got) != 2 {
			t.Errorf("the same request made other operations: %v", got)
		}
	})

	t.Run("DEP-06,DEP-07,ORP-03,LOI-05: while it is being provisioned", func(t *testing.T) {
		made := w.put(t, "halt?accepts_incomplete=true", slowBody("slow-provision", ""))
		made.is(t, 202)
		gone := w.remove(t, "halt?accepts_incomplete=true", "svc-slow", "slow-provision")
		gone.is(t, 202)
		w.finish(t, "halt").has(t, "state", "succeeded")
		w.poll(t, "halt?operation="+made.operation(t)).has(t, "state", "failed")
		w.poll(t, "halt?operation="+gone.operation(t)).has(t, "state", "succeeded")
		w.get(t, "halt").is(t, 404)
		w.put(t, "halt", provisionBody("plan-plain", "")).is(t, 201)
	})

	t.Run("DEP-08: synchronously while it is being provisioned", func(t *testing.T) {
		made := w.put(t, "halted?accepts_incomplete=true", slowBody("slow-provision", ""))
		w.remove(t, "halted", "svc-slow", "slow-provision").is(t, 200)
		w.poll(t, "halted?operation="+made.operation(t)).has(t, "state", "failed")
	})

	t.Run("DEP-09,ASY-03: only asynchronously", func(t *testing.T) {
		w.put(t, "async?accepts_incomplete=true", provisionBody("plan-async", "")).made(t)
		w.finish(t, "async").has(t, "state", "succeeded")
		w.remove(t, "async", "svc-main", "plan-async").has(t, "error", "AsyncRequired")
		w.get(t, "async").is(t, 200)
	})

	t.Run("DEP-10,UPD-20: an update that runs is cancelled, not waited for", func(t *testing.T) {
		w.put(t, "updating", slowBody("slow-update", "")).is(t, 201)
		w.patch(t, "updating?accepts_incomplete=true", `{"service_id":"svc-slow","parameters":{"size":5}}`).is(t, 202)
		w.remove(t, "updating", "svc-slow", "slow-update").is(t, 200)
		w.get(t, "updating").is(t, 404)
	})

	t.Run("DEP-12: bindings that are left go with it", func(t *testing.T) {
		w.put(t, "bound", provisionBody("plan-plain", "")).is(t, 201)
		b := w.bind(t, "bound", "b", bindBody("plan-plain", ""))
		w.remove(t, "bound", "svc-main", "plan-plain").is(t, 200)
		if got := write(t, b.text("credentials/uri")); got == "204" {
			t.Error("the binding's credentials still work")
		}
		w.unbind(t, "bound", "b", "svc-main", "plan-plain").is(t, 410)
		w.getBinding(t, "bound", "b").is(t, 404)
	})

	t.Run("DEP-13,ERR-05,LOI-08: a failure says whether the instance can be used, and DELETE again tries again", func(t *testing.T) {
		w.put(t, "burning", failingBody("fail-deprovision", "")).is(t, 201)
		a := w.remove(t, "burning", "svc-failing", "fail-deprovision")
		a.is(t, 500)
		a.has(t, "instance_usable", false)
		a.lacks(t, "update_repeatable")
		w.remove(t, "burning?accepts_incomplete=true", "svc-failing", "fail-deprovision").begun(t)
		polled := w.finish(t, "burning")
		polled.has(t, "state", "failed")
		polled.has(t, "instance_usable", false)
		polled.lacks(t, "update_repeatable")
		if got := w.operations(t, "burning"); len(got) != 3 {
			t.Errorf("A-7: DELETE after a failure must try again: %v", got)
		}
	})
}
