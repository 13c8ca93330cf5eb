package osbapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

func TestConformanceProvision(t *testing.T) {
	w := newWorld(t)

	t.Run("PRO-01,PRO-02,ASY-02,ERR-01: made as a result of the request", func(t *testing.T) {
		a := w.put(t, "made", provisionBody("plan-plain", `"parameters":{"size":20}`))
		a.is(t, 201)
		a.has(t, "dashboard_url", "https://dashboard.example/made")
		if got := w.data(t, "made"); got != "204" {
			t.Errorf("the service itself does not serve the instance: %s", got)
		}
	})

	t.Run("PRO-04,PRO-10,PRO-15,PRO-16,MET-01,MET-02,MET-03,C-8: the same again has the same body", func(t *testing.T) {
		body := provisionBody("plan-plain", `"parameters":{}`)
		first := w.put(t, "again", body)
		first.is(t, 201)
		first.has(t, "metadata/labels/size", 10.0)
		first.has(t, "metadata/attributes/plan", "plain")
		for _, same := range []string{body, provisionBody("plan-plain", ""), provisionBody("plan-plain", `"parameters":null`),
			provisionBody("plan-plain", `"context":{"platform":"kubernetes","namespace":"renamed"}`)} {
			again := w.put(t, "again", same)
			again.is(t, 200)
			again.equal(t, first)
		}
		w.put(t, "again?accepts_incomplete=true", body).is(t, 200)
	})

	t.Run("C-9: the context is not compared, the rest is", func(t *testing.T) {
		w.put(t, "compared", provisionBody("plan-plain", `"context":{"platform":"x","a":1}`)).is(t, 201)
		w.put(t, "compared", provisionBody("plan-plain", `"context":{"platform":"x","a":2}`)).is(t, 200)
		w.put(t, "compared", provisionBody("plan-plain", `"parameters":{"size":11}`)).is(t, 409)
	})

	t.Run("PRO-03,PRO-05,ASY-04,OPK-01,OPK-02,OPK-03,URL-02,A-8: while it runs, the same operation", func(t *testing.T) {
		body := slowBody("slow-provision", "")
		first := w.put(t, "running?accepts_incomplete=true", body)
		first.is(t, 202)
		operation := first.operation(t)
		for range 5 {
			again := w.put(t, "running?accepts_incomplete=true", body)
			again.is(t, 202)
			again.has(t, "operation", operation)
		}
		if got := w.operations(t, "running"); len(got) != 1 {
			t.Errorf("the same request made other operations: %v", got)
		}
	})

	t.Run("PRO-06: the id is taken by something different", func(t *testing.T) {
		w.put(t, "taken", provisionBody("plan-plain", `"parameters":{"size":20}`)).is(t, 201)
		w.put(t, "taking?accepts_incomplete=true", slowBody("slow-provision", "")).is(t, 202)
		before := w.get(t, "taken")
		for why, body := range map[string]string{
			"plan":         provisionBody("plan-other", `"parameters":{"size":20}`),
			"parameters":   provisionBody("plan-plain", `"parameters":{"size":21}`),
			"no parameter": provisionBody("plan-plain", ""),
			"service":      slowBody("slow-update", ""),
			"organization": strings.Replace(provisionBody("plan-plain", `"parameters":{"size":20}`), `"org"`, `"other"`, 1),
			"space":        strings.Replace(provisionBody("plan-plain", `"parameters":{"size":20}`), `"space"`, `"other"`, 1),
		} {
			if a := w.put(t, "taken?accepts_incomplete=true", body); a.status != 409 {
				t.Errorf("another %s: got %d %s, want 409", why, a.status, a.raw)
			}
			if a := w.put(t, "taking?accepts_incomplete=true", body); a.status != 409 {
				t.Errorf("another %s while it is being made: got %d %s, want 409", why, a.status, a.raw)
			}
		}
		w.get(t, "taken").equal(t, before)
		w.poll(t, "taking").has(t, "state", "in progress")
	})

	t.Run("PRO-07,CT-04,ERR-08,ERR-10,AUTH-05,ORP-01: malformed or incomplete changes nothing", func(t *testing.T) {
		for why, body := range map[string]string{
			"broken JSON":          `{"service_id":`,
			"not an object":        `[]`,
			"empty":                ``,
			"no service_id":        `{"plan_id":"plan-plain","organization_guid":"o","space_guid":"s"}`,
			"no plan_id":           `{"service_id":"svc-main","organization_guid":"o","space_guid":"s"}`,
			"no organization_guid": `{"service_id":"svc-main","plan_id":"plan-plain","space_guid":"s"}`,
			"empty space_guid":     `{"service_id":"svc-main","plan_id":"plan-plain","organization_guid":"o","space_guid":""}`,
		} {
			if a := w.put(t, "malformed", body); a.status != 400 || a.text("description") == "" {
				t.Errorf("%s: got %d %s", why, a.status, a.raw)
			}
		}
		w.nothing(t, "malformed")
	})

	t.Run("PRO-08,C-2: not in the catalog", func(t *testing.T) {
		for field, body := range map[string]string{
			"/service_id": strings.Replace(provisionBody("plan-plain", ""), "svc-main", "svc-none", 1),
			"/plan_id":    provisionBody("plan-none", ""),
			"plan_id":     provisionBody("slow-bind", ""),
		} {
			a := w.put(t, "unknown", body)
			a.is(t, 400)
			a.says(t, field)
		}
		w.nothing(t, "unknown")
	})

	t.Run("PRO-09: every violation of the schema at once, as JSON pointers", func(t *testing.T) {
		a := w.put(t, "violating", provisionBody("plan-plain", `"parameters":{"size":"big","nmae":"x","password":1}`))
		a.is(t, 400)
		a.says(t, "/parameters/size", "/parameters/nmae", "/parameters/password")
		a = w.put(t, "violating", provisionBody("plan-plain", `"parameters":{"size":0}`))
		a.is(t, 400)
		a.says(t, "/parameters/size")
		w.nothing(t, "violating")
	})

	t.Run("PRO-11,EXT-01,PRF-01,PRF-02,PRF-03,PRF-05: context and unknown fields", func(t *testing.T) {
		for id, context := range map[string]string{
			"in-cf": `{"platform":"cloudfoundry","organization_guid":"org","organization_name":"o","space_guid":"space","space_name":"s",
				"instance_name":"i","organization_annotations":{"a":"b"},"space_annotations":{},"instance_annotations":{},"new":{"x":[1]}}`,
			"in-k8s": `{"platform":"kubernetes","namespace":"n","clusterid":"c","instance_name":"i","namespace_annotations":{},"instance_annotations":{}}`,
			"in-old": `{}`,
		} {
			w.put(t, id, provisionBody("plan-plain", `"context":`+context+`,"unknown":{"deep":[1,{"x":null}]}`)).is(t, 201)
		}
	})

	t.Run("PRO-12,ASY-03,ERR-07,A-19: only asynchronously", func(t *testing.T) {
		for _, query := range []string{"", "?accepts_incomplete=false", "?accepts_incomplete=1"} {
			a := w.put(t, "only-async"+query, provisionBody("plan-async", ""))
			a.is(t, 422)
			a.has(t, "error", "AsyncRequired")
			a.has(t, "description", "This service plan requires client support for asynchronous service operations.")
		}
		w.nothing(t, "only-async")
		w.put(t, "only-async?accepts_incomplete=true", provisionBody("plan-async", "")).made(t)
		w.finish(t, "only-async").has(t, "state", "succeeded")
	})

	t.Run("PRO-13,PRO-14,C-6,A-16: maintenance_info", func(t *testing.T) {
		for _, tc := range []struct {
			id, plan, info string
			want           int
			why            string
		}{
			{"m1", "plan-maintained", `{"version":"1.0.0"}`, 422, "another version"},
			{"m1", "plan-plain", `{"version":"1.0.0"}`, 422, "a version for a plan that has none"},
			{"m1", "plan-maintained", `{"version":"2.0.0","description":"other words","x":1}`, 201, "only the version counts"},
			{"m2", "plan-maintained", `{}`, 201, "not given"},
			{"m3", "plan-maintained", `{"version":""}`, 201, "empty is not given"},
			{"m4", "plan-maintained", `null`, 201, "null is not given"},
		} {
			a := w.put(t, tc.id, provisionBody(tc.plan, `"maintenance_info":`+tc.info))
			a.is(t, tc.want)
			if tc.want == 422 {
				a.has(t, "error", "MaintenanceInfoConflict")
				w.nothing(t, tc.id)
			}
		}
	})

	t.Run("PRO-17,URL-01,URL-03,A-2: any id, and an id again after its DELETE", func(t *testing.T) {
		for _, id := range []string{"a%2Fb", "a%252Fb", "..", "%E6%97%A5%20%22", "x:y*z", strings.Repeat("long", 250)} {
			w.put(t, id, provisionBody("plan-plain", "")).is(t, 201)
			w.get(t, id).is(t, 200)
			w.remove(t, id, "svc-main", "plan-plain").is(t, 200)
			w.get(t, id).is(t, 404)
			w.put(t, id, provisionBody("plan-plain", `"parameters":{"size":33}`)).is(t, 201)
			w.get(t, id).has(t, "parameters/size", 33.0)
		}
	})

	t.Run("PRO-18,CON-01,CON-03,A-19: while a deprovision runs", func(t *testing.T) {
		w.put(t, "leaving", slowBody("slow-deprovision", "")).is(t, 201)
		w.remove(t, "leaving?accepts_incomplete=true", "svc-slow", "slow-deprovision").is(t, 202)
		a := w.put(t, "leaving?accepts_incomplete=true", slowBody("slow-deprovision", ""))
		a.is(t, 422)
		a.has(t, "error", "ConcurrencyError")
		a.has(t, "description", "The Service Broker does not support concurrent requests that mutate the same resource.")
		if got := w.operations(t, "leaving"); len(got) != 2 {
			t.Errorf("ORP-08: the refused request left something: %v", got)
		}
	})

	t.Run("PRO-19,ERR-09,ORP-03: a failure leaves nothing, and the DELETE that follows is served", func(t *testing.T) {
		a := w.put(t, "failing", failingBody("fail-provision", ""))
		a.is(t, 500)
		a.says(t, "The disks are full.")
		w.get(t, "failing").is(t, 404)
		if a := w.remove(t, "failing", "svc-failing", "fail-provision"); a.status != 200 && a.status != 410 {
			t.Errorf("got %d %s", a.status, a.raw)
		}
		w.remove(t, "failing", "svc-failing", "fail-provision").is(t, 410)
	})

	t.Run("ERR-02,ERR-08: what the plugin refuses is 400 and frees the id", func(t *testing.T) {
		a := w.put(t, "refused", failingBody("refuse-provision", ""))
		a.is(t, 400)
		a.says(t, "/parameters/size: The size is odd.") // and not the plugin's own name of it
		w.absent(t, "refused")
		a = w.put(t, "refused", failingBody("conflict-provision", ""))
		a.is(t, 400)
		a.says(t, "The name is taken.")
		w.absent(t, "refused")
		w.put(t, "refused", provisionBody("plan-plain", "")).is(t, 201)
	})

	t.Run("ORP-05,ERR-08: what was made before the plugin refused is deleted by the broker itself", func(t *testing.T) {
		w.put(t, "undone", failingBody("undo-provision", `"parameters":{"name":"free-again"}`)).is(t, 400)
		w.absent(t, "undone")
		w.put(t, "next", provisionBody("plan-plain", `"parameters":{"name":"free-again"}`)).is(t, 201)
	})

	t.Run("ERR-08: a name that another instance has reserved is 400, and nothing is made", func(t *testing.T) {
		w.put(t, "holder", provisionBody("plan-plain", `"parameters":{"name":"mine"}`)).is(t, 201)
		w.put(t, "wanting", provisionBody("plan-plain", `"parameters":{"name":"mine"}`)).is(t, 400)
		w.nothing(t, "wanting")
	})
}

// TestConformanceFastAnswer: what is done at once is answered as done, although the
// platform would wait.
func TestConformanceFastAnswer(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.FastAnswer = 20 * time.Second })
	t.Run("ASY-01,ASY-05: 201 in spite of accepts_incomplete", func(t *testing.T) {
		w.put(t, "fast?accepts_incomplete=true", provisionBody("plan-plain", "")).is(t, 201)
		w.bind(t, "fast", "b?accepts_incomplete=true", bindBody("plan-plain", "")).is(t, 201)
		w.patch(t, "fast?accepts_incomplete=true", `{"service_id":"svc-main","parameters":{"size":11}}`).is(t, 200)
		w.unbind(t, "fast", "b?accepts_incomplete=true", "svc-main", "plan-plain").is(t, 200)
		w.remove(t, "fast?accepts_incomplete=true", "svc-main", "plan-plain").is(t, 200)
	})
}

// TestConformanceBudget: a synchronous request is answered within the budget,
// whatever the work does.
func TestConformanceBudget(t *testing.T) {
	w := newWorld(t, func(c *core.Config) { c.SyncBudget = 300 * time.Millisecond })
	t.Run("ORP-07,ASY-01: 500 that says that the work goes on, and a DELETE that ends it", func(t *testing.T) {
		a := w.put(t, "long", slowBody("slow-provision", ""))
		a.is(t, 500)
		a.has(t, "error", "StillRunning")
		w.poll(t, "long").has(t, "state", "in progress")
		w.remove(t, "long?accepts_incomplete=true", "svc-slow", "slow-provision").is(t, 202)
		w.finish(t, "long").has(t, "state", "succeeded")
		w.get(t, "long").is(t, 404)
	})
	t.Run("ASY-06: each plan has its own way", func(t *testing.T) {
		w.put(t, "sync", provisionBody("plan-plain", "")).is(t, 201)
		w.put(t, "async", provisionBody("plan-async", "")).is(t, 422)
	})
}
