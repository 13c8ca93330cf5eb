package osbapi_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
)

func TestConformanceCatalog(t *testing.T) {
	w := newWorld(t)
	a := w.do(t, "GET", "/v2/catalog", "")

	t.Run("CAT-01,CAT-02,CAT-03,CAT-04,CAT-05,CAT-07,CAT-10,CAT-16,CAT-29: services", func(t *testing.T) {
		a.is(t, 200)
		ids, names := map[string]bool{}, map[string]bool{}
		for _, s := range objects(t, a.lookup("services")) {
			id, name := text(t, s, "id"), text(t, s, "name")
			if ids[id] || names[name] {
				t.Errorf("%s %s is there twice", id, name)
			}
			ids[id], names[name] = true, true
			if !regexp.MustCompile(`^[A-Za-z0-9.-]+$`).MatchString(name) {
				t.Errorf("CAT-04: the name %q", name)
			}
			if d := text(t, s, "description"); len(d) > 255 {
				t.Errorf("CAT-29: the description of %s has %d characters", name, len(d))
			}
			if _, ok := s["bindable"].(bool); !ok {
				t.Errorf("CAT-10: %s: bindable is %v", name, s["bindable"])
			}
			if len(objects(t, s["plans"])) == 0 {
				t.Errorf("CAT-16: %s has no plans", name)
			}
		}
		if len(ids) != 5 {
			t.Errorf("got the services %v", ids)
		}
	})

	t.Run("CAT-08,CAT-09,CAT-11,CAT-12,CAT-13,CAT-14,CAT-15,CAT-32: fields of a service", func(t *testing.T) {
		main := named(t, a.lookup("services"), "main-service")
		for field, want := range map[string]any{
			"tags": []any{"kv", "test"}, "instances_retrievable": true, "bindings_retrievable": true, "allow_context_updates": true,
			"plan_updateable": true, "metadata": map[string]any{"displayName": "Main service", "documentationUrl": "https://docs.example/main"},
			"dashboard_client": map[string]any{"id": "dashboard", "secret": "dashboard-secret", "redirect_uri": "https://dashboard.example"},
		} {
			equal(t, field, main[field], want)
		}
		equal(t, "CAT-09 requires", named(t, a.lookup("services"), "platform-service")["requires"], []any{"syslog_drain", "route_forwarding", "volume_mount"})
		equal(t, "CAT-12 of a closed service", named(t, a.lookup("services"), "closed-service")["allow_context_updates"], false)
	})

	t.Run("CAT-17,CAT-18,CAT-19,CAT-20,CAT-21,CAT-22,CAT-23,CAT-24,A-13: plans", func(t *testing.T) {
		ids := map[string]bool{}
		for _, s := range objects(t, a.lookup("services")) {
			names := map[string]bool{}
			for _, p := range objects(t, s["plans"]) {
				id, name := text(t, p, "id"), text(t, p, "name")
				if ids[id] || names[name] || len(id) > 63 || len(name) > 63 {
					t.Errorf("%s %s is there twice or too long", id, name)
				}
				ids[id], names[name] = true, true
				text(t, p, "description")
				for _, field := range []string{"free", "bindable"} {
					if _, ok := p[field].(bool); !ok {
						t.Errorf("A-13: %s of %s is %v", field, id, p[field])
					}
				}
				if d, ok := p["maximum_polling_duration"].(float64); !ok || d != float64(int(d)) || d < 1 {
					t.Errorf("CAT-23: maximum_polling_duration of %s is %v", id, p["maximum_polling_duration"])
				}
			}
		}
		plans := named(t, a.lookup("services"), "main-service")["plans"]
		equal(t, "CAT-20 free", named(t, plans, "plain")["free"], true)
		equal(t, "CAT-20 free", named(t, plans, "other")["free"], false)
		equal(t, "CAT-20 free by default", named(t, plans, "fixed")["free"], true)
		equal(t, "CAT-21 bindable", named(t, plans, "unbindable")["bindable"], false)
		equal(t, "CAT-22 binding_rotatable", named(t, plans, "plain")["binding_rotatable"], true)
		equal(t, "CAT-22 binding_rotatable", named(t, plans, "other")["binding_rotatable"], false)
		equal(t, "CAT-15 plan_updateable", named(t, plans, "fixed")["plan_updateable"], false)
		equal(t, "CAT-15 plan_updateable", named(t, plans, "plain")["plan_updateable"], true)
		info, _ := named(t, plans, "maintained")["maintenance_info"].(map[string]any)
		if _, err := semver.StrictNewVersion(text(t, info, "version")); err != nil {
			t.Errorf("CAT-24: %v", err)
		}
		text(t, info, "description")
		equal(t, "CAT-13, CAT-32 metadata", named(t, plans, "plain")["metadata"], map[string]any{"displayName": "Plain", "bullets": []any{"fast", "small"},
			"costs": []any{map[string]any{"amount": map[string]any{"eur": 0.5}, "unit": "MONTHLY"}}})
	})

	t.Run("CAT-25,CAT-26,CAT-27,CAT-28: schemas", func(t *testing.T) {
		for _, s := range objects(t, a.lookup("services")) {
			for _, p := range objects(t, s["plans"]) {
				plan := answer{body: p}
				if p["bindable"] == false && plan.lookup("schemas/service_binding") != nil {
					t.Errorf("CAT-25: a schema of bindings for %v", p["id"])
				}
				for _, path := range []string{"service_instance/create", "service_instance/update", "service_binding/create"} {
					schema, there := plan.lookup("schemas/" + path + "/parameters").(map[string]any)
					if !there {
						continue
					}
					if v, _ := schema["$schema"].(string); v == "" {
						t.Errorf("CAT-26: %v %s names no version", p["id"], path)
					}
					if doc := fmt.Sprint(schema); strings.Contains(doc, "$ref:http") || len(doc) > 64<<10 {
						t.Errorf("CAT-27, CAT-28: %v %s", p["id"], path)
					}
				}
			}
		}
		create := answer{body: named(t, named(t, a.lookup("services"), "main-service")["plans"], "plain")}
		equal(t, "size", create.lookup("schemas/service_instance/create/parameters/properties/size/maximum"), 500.0)
		equal(t, "access", create.lookup("schemas/service_binding/create/parameters/properties/access/enum"), []any{"read-write", "read-only"})
	})

	t.Run("CAT-30: caching", func(t *testing.T) {
		first := w.do(t, "GET", "/v2/catalog", "", "Accept-Encoding", "identity")
		tag, date := first.header.Get("ETag"), first.header.Get("Last-Modified")
		for _, tc := range []struct {
			header, value string
			want          int
		}{{"If-None-Match", tag, 304}, {"If-None-Match", `"x", W/` + tag, 304}, {"If-None-Match", `"x"`, 200}, {"If-Modified-Since", date, 304}} {
			got := w.do(t, "GET", "/v2/catalog", "", "Accept-Encoding", "identity", tc.header, tc.value)
			if tc.value == "" || got.status != tc.want {
				t.Errorf("%s %q: got %d, want %d", tc.header, tc.value, got.status, tc.want)
			}
		}
	})

	t.Run("C-5: a name that lint would warn of is served", func(t *testing.T) {
		// The catalog of this test has none; a service named so is added here.
		dir := t.TempDir()
		catalogDir := copyCatalog(t, dir)
		raw, err := os.ReadFile(filepath.Join(catalogDir, "closed.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		odd := strings.NewReplacer("svc-closed", "svc-odd", "closed-service", "Odd.Name", "closed-plan", "odd-plan").Replace(string(raw))
		if err := os.WriteFile(filepath.Join(catalogDir, "odd.yaml"), []byte(odd), 0o644); err != nil {
			t.Fatal(err)
		}
		odder := newWorldIn(t, dir)
		named(t, odder.do(t, "GET", "/v2/catalog", "").lookup("services"), "Odd.Name")
	})
}

// TestConformanceRetired: a plan that leaves the catalog while it has instances.
func TestConformanceRetired(t *testing.T) {
	dir := t.TempDir()
	catalogDir := copyCatalog(t, dir)
	w := newWorldIn(t, dir)
	w.put(t, "i", instanceBody("svc-closed", "closed-plan", "")).is(t, 201)
	w.close()
	if err := os.Remove(filepath.Join(catalogDir, "closed.yaml")); err != nil {
		t.Fatal(err)
	}
	w = newWorldIn(t, dir)

	t.Run("CAT-31,CAT-06: hidden, but its instances can be managed", func(t *testing.T) {
		names := []string{}
		for _, s := range objects(t, w.do(t, "GET", "/v2/catalog", "").lookup("services")) {
			names = append(names, text(t, s, "name"))
		}
		if slices.Contains(names, "closed-service") || len(names) != 4 {
			t.Errorf("the catalog has %v", names)
		}
		w.bind(t, "i", "b", bindBody("svc-closed:closed-plan", "")).is(t, 201)
		w.unbind(t, "i", "b", "svc-closed", "closed-plan").is(t, 200)
		w.remove(t, "i", "svc-closed", "closed-plan").is(t, 200)
	})
}

func objects(t *testing.T, v any) []map[string]any {
	t.Helper()
	list, ok := v.([]any)
	if !ok {
		t.Fatalf("%v is not an array", v)
	}
	out := make([]map[string]any, len(list))
	for i, e := range list {
		if out[i], ok = e.(map[string]any); !ok {
			t.Fatalf("%v is not an object", e)
		}
	}
	return out
}

func named(t *testing.T, list any, name string) map[string]any {
	t.Helper()
	for _, o := range objects(t, list) {
		if o["name"] == name {
			return o
		}
	}
	t.Fatalf("nothing is named %q", name)
	return nil
}

func text(t *testing.T, o map[string]any, field string) string {
	t.Helper()
	s, _ := o[field].(string)
	if s == "" {
		t.Errorf("%s of %v is missing or empty", field, o["name"])
	}
	return s
}
