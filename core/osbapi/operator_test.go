package osbapi_test

import (
	"slices"
	"strings"
	"testing"
)

// TestOperators: the operators' API over the real broker.
func TestOperators(t *testing.T) {
	w := newWorld(t)

	t.Run("secrets are not shown", func(t *testing.T) {
		w.put(t, "secret", provisionBody("plan-plain", `"parameters":{"size":20,"password":"s3cret-one"}`)).is(t, 201)
		b := w.bind(t, "secret", "b", bindBody("plan-plain", `"parameters":{"password":"s3cret-two"}`))
		b.is(t, 201)
		paths := []string{"/instances", "/instances/secret", "/operations"}
		rows := objects(t, w.admin(t, "GET", "/operations?instance_id=secret").lookup("operations"))
		for _, row := range rows {
			paths = append(paths, "/operations/"+text(t, row, "id"))
		}
		if len(rows) != 2 {
			t.Fatalf("got %v", rows)
		}
		for _, path := range paths {
			a := w.admin(t, "GET", path)
			for _, secret := range []string{"s3cret-one", "s3cret-two", b.text("credentials/password")} {
				if strings.Contains(string(a.raw), secret) {
					t.Errorf("%s shows a secret: %s", path, a.raw)
				}
			}
		}
		a := w.admin(t, "GET", "/instances/secret")
		a.has(t, "instance/parameters/size", 20.0)
		a.has(t, "instance/service", "main-service")
		a.has(t, "bindings/0/id", "b")
	})

	t.Run("a timeline tells what happened", func(t *testing.T) {
		op := w.put(t, "steps?accepts_incomplete=true", provisionBody("plan-steps", "")).operation(t)
		w.finish(t, "steps").has(t, "state", "succeeded")
		a := w.admin(t, "GET", "/operations/"+op)
		a.has(t, "operation/state", "succeeded")
		a.has(t, "operation/user", platformUser)
		var kinds []string
		for _, step := range objects(t, a.lookup("timeline")) {
			kinds = append(kinds, text(t, step, "kind"))
		}
		for _, want := range []string{"accepted", "call", "pending", "done"} {
			if !slices.Contains(kinds, want) {
				t.Errorf("no step %q in %v", want, kinds)
			}
		}
	})

	t.Run("cancel, retry and abandon", func(t *testing.T) {
		op := w.put(t, "stuck?accepts_incomplete=true", slowBody("slow-provision", "")).operation(t)
		if a := w.admin(t, "POST", "/operations/"+op+"/cancel"); a.status != 200 {
			t.Fatalf("cancel: %d %s", a.status, a.raw)
		}
		w.finish(t, "stuck").has(t, "state", "failed")
		retried := w.admin(t, "POST", "/operations/"+op+"/retry")
		if retried.status != 200 || retried.text("operation") == op || retried.text("retries") != op {
			t.Fatalf("retry: %d %s", retried.status, retried.raw)
		}
		w.poll(t, "stuck").has(t, "state", "in progress")
		if a := w.admin(t, "POST", "/operations/"+retried.text("operation")+"/abandon"); a.status != 200 {
			t.Fatalf("abandon: %d %s", a.status, a.raw)
		}
		w.finish(t, "stuck").has(t, "state", "failed")
		if a := w.admin(t, "POST", "/operations/none/cancel"); a.status != 404 {
			t.Errorf("cancel of nothing: %d %s", a.status, a.raw)
		}
		if a := w.admin(t, "POST", "/operations/"+op+"/cancel"); a.status != 422 {
			t.Errorf("cancel of what has ended: %d %s", a.status, a.raw)
		}
	})

	t.Run("purge", func(t *testing.T) {
		w.put(t, "forgotten", provisionBody("plan-plain", "")).is(t, 201)
		w.bind(t, "forgotten", "b", bindBody("plan-plain", "")).is(t, 201)
		a := w.admin(t, "POST", "/instances/forgotten/purge")
		if a.status != 200 || a.text("bindings/0") != "b" || a.lookup("may_be_left/0") == nil {
			t.Errorf("got %d %s", a.status, a.raw)
		}
		w.absent(t, "forgotten")
		if a := w.admin(t, "POST", "/instances/forgotten/purge"); a.status != 404 {
			t.Errorf("again: %d %s", a.status, a.raw)
		}
	})

	t.Run("pages", func(t *testing.T) {
		for _, id := range []string{"page-1", "page-2", "page-3"} {
			w.put(t, id, provisionBody("plan-other", "")).is(t, 201)
		}
		var ids []string
		query := "/instances?plan_id=plan-other&limit=2"
		for next := query; next != ""; {
			a := w.admin(t, "GET", next)
			for _, row := range objects(t, a.lookup("instances")) {
				ids = append(ids, text(t, row, "id"))
			}
			next = ""
			if after := a.text("next"); after != "" {
				next = query + "&after=" + after
			}
		}
		equal(t, "ids", ids, []string{"page-1", "page-2", "page-3"})
		if a := w.admin(t, "GET", "/status"); a.lookup("instances").(float64) < 3 {
			t.Errorf("status: %s", a.raw)
		}
	})
}
