package osbapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

func TestParseVersion(t *testing.T) {
	for _, tc := range []struct {
		headers []string
		want    int // -1: refused
		why     string
	}{
		{[]string{"2.17"}, 17, "VER-01: our own version"},
		{[]string{"2.9"}, 9, "VER-03: compared as numbers, 9 is less than 17"},
		{[]string{"2.0"}, 0, "VER-03: older minor versions are served"},
		{[]string{"2.20"}, 17, "VER-03: newer minor versions are served in ours"},
		{[]string{"2.123456789"}, 17, "a minor version of any size"},
		{[]string{"2.1234567890"}, -1, "a number without bound is not a version"},
		{[]string{"3.0"}, -1, "VER-02: another major version"},
		{[]string{"1.0"}, -1, "VER-02: another major version"},
		{[]string{"2"}, -1, "no minor version"},
		{[]string{"2."}, -1, "no minor version"},
		{[]string{".17"}, -1, "no major version"},
		{[]string{"2.x"}, -1, "not a number"},
		{[]string{"2.-1"}, -1, "not a number"},
		{[]string{"2.+1"}, -1, "strconv would take it"},
		{[]string{"2.17.1"}, -1, "a version has two parts"},
		{[]string{"v2.17"}, -1, "a version has no prefix"},
		{[]string{""}, -1, "C-1: empty is as good as missing"},
		{nil, -1, "C-1: missing"},
		{[]string{"2.17", "2.17"}, -1, "twice: nobody knows which one counts"},
	} {
		v, ok := parseVersion(http.Header{http.CanonicalHeaderKey(headerVersion): tc.headers})
		if ok != (tc.want >= 0) || ok && int(v) != tc.want {
			t.Errorf("%q (%s): got %d, %v, want %d", tc.headers, tc.why, v, ok, tc.want)
		}
	}
}

// richSnapshot has every field that a catalog can have.
func richSnapshot() *core.Snapshot {
	s := &core.Service{
		ID: "s", Name: "name", Description: "d", Tags: []string{"t"}, Requires: []string{"syslog_drain"},
		Bindable: true, InstancesRetrievable: true, BindingsRetrievable: true, AllowContextUpdates: true,
		PlanUpdateable: true, Metadata: map[string]any{"displayName": "N"}, Backend: "b",
		DashboardClient: &core.DashboardClient{ID: "c", Secret: "x", RedirectURI: "https://dashboard.example"},
	}
	s.Plans = []*core.Plan{{
		Service: s, ID: "p", Name: "plan", Description: "d", Metadata: map[string]any{"bullets": []any{"a"}},
		Free: true, Bindable: true, PlanUpdateable: true, BindingRotatable: true,
		MaximumPollingDuration: 90 * time.Second, MaintenanceInfo: &core.MaintenanceInfo{Version: "1.0.0", Description: "m"},
		SchemaProvision: fixedSchema("create"), SchemaUpdate: fixedSchema("update"), SchemaBind: fixedSchema("bind"),
	}}
	return core.NewSnapshot("r1", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), []*core.Service{s}, nil)
}

// fixedSchema is a Schema of which only the document counts.
type fixedSchema string

func (f fixedSchema) JSON() json.RawMessage {
	return json.RawMessage(`{"$schema":"http://json-schema.org/draft-04/schema#","title":"` + string(f) + `"}`)
}
func (fixedSchema) Validate(map[string]any) []core.Violation       { return nil }
func (fixedSchema) Effective(p map[string]any) map[string]any      { return p }
func (fixedSchema) WithoutSecrets(p map[string]any) map[string]any { return p }
func (fixedSchema) Secrets(map[string]any) []string                { return nil }

func yes() *bool { b := true; return &b }

// richRecorder answers with every field that an answer can have.
func richRecorder() *recorder {
	result := &core.BindingResult{
		Credentials: json.RawMessage(`{"k":"v"}`), SyslogDrainURL: "syslog://x", RouteServiceURL: "https://r",
		VolumeMounts: json.RawMessage(`[{}]`), Endpoints: json.RawMessage(`[{"host":"h","ports":["1"]}]`),
		ExpiresAt: "2030-01-01T00:00:00.0Z", RenewBefore: "2029-01-01T00:00:00.0Z",
	}
	metadata := core.InstanceMetadata{Labels: json.RawMessage(`{"l":"1"}`), Attributes: json.RawMessage(`{"a":"1"}`)}
	return &recorder{
		snapshot: richSnapshot(),
		instance: core.InstanceAnswer{Outcome: core.Accepted, Operation: "op", DashboardURL: "https://d", Metadata: metadata},
		binding:  core.BindingAnswer{Outcome: core.Created, Result: result},
		view: core.InstanceView{ServiceID: "s", PlanID: "p", DashboardURL: "https://d",
			Parameters: json.RawMessage(`{"x":1}`), MaintenanceVersion: "1.0.0", Metadata: metadata},
		bindView:  core.BindingView{Result: result, Parameters: json.RawMessage(`{"y":1}`)},
		operation: core.OperationView{State: "failed", Description: "d", Verb: core.VerbUpdate, InstanceUsable: yes(), UpdateRepeatable: yes()},
	}
}

// TestMinorVersions asks everything in every minor version and compares what is
// there with the specification's release notes, written down here a second time.
func TestMinorVersions(t *testing.T) {
	const (
		instance = "/v2/service_instances/i"
		binding  = instance + "/service_bindings/b"
	)
	for _, tc := range []struct {
		method, target, body string
		pending              bool // the bind goes on
		fails                bool
		fields               map[string]int // path of a field → minor version since which it is there
	}{
		{method: "GET", target: "/v2/catalog", fields: map[string]int{
			"services/0/id": 0, "services/0/name": 0, "services/0/description": 0, "services/0/bindable": 0,
			"services/0/tags": 0, "services/0/requires": 0, "services/0/metadata": 0, "services/0/plans": 0,
			"services/0/dashboard_client": 3, "services/0/plan_updateable": 4,
			"services/0/instances_retrievable": 14, "services/0/bindings_retrievable": 14,
			"services/0/allow_context_updates": 15,
			"services/0/plans/0/id":            0, "services/0/plans/0/name": 0, "services/0/plans/0/description": 0,
			"services/0/plans/0/metadata": 0, "services/0/plans/0/free": 2, "services/0/plans/0/bindable": 11,
			"services/0/plans/0/schemas": 13, "services/0/plans/0/plan_updateable": 15,
			"services/0/plans/0/maximum_polling_duration": 15, "services/0/plans/0/maintenance_info": 15,
			"services/0/plans/0/binding_rotatable": 17,
		}},
		{method: "PUT", target: instance, body: goodProvision, fields: map[string]int{
			"dashboard_url": 0, "operation": 9, "metadata": 16, "metadata/labels": 16, "metadata/attributes": 17}},
		{method: "PATCH", target: instance, body: goodUpdate, fields: map[string]int{
			"dashboard_url": 14, "operation": 9, "metadata": 16, "metadata/labels": 16, "metadata/attributes": 17}},
		{method: "DELETE", target: instance + "?service_id=s&plan_id=p", fields: map[string]int{"operation": 9}},
		{method: "GET", target: instance, fields: map[string]int{
			"service_id": 0, "plan_id": 0, "dashboard_url": 0, "parameters": 0, "maintenance_info": 17, "metadata": 17}},
		{method: "GET", target: instance + "/last_operation", fields: map[string]int{
			"state": 0, "description": 0, "instance_usable": 16, "update_repeatable": 16}},
		{method: "PATCH", target: instance, body: goodUpdate, fails: true, fields: map[string]int{
			"error": 0, "description": 0, "instance_usable": 16, "update_repeatable": 16}},
		{method: "PUT", target: binding, body: goodBind, fields: map[string]int{
			"credentials": 0, "syslog_drain_url": 0, "route_service_url": 8, "volume_mounts": 10, "endpoints": 15,
			"metadata": 16, "metadata/expires_at": 16, "metadata/renew_before": 17}},
		{method: "PUT", target: binding, body: goodBind, pending: true, fields: map[string]int{"operation": 14}},
		{method: "DELETE", target: binding + "?service_id=s&plan_id=p", pending: true, fields: map[string]int{"operation": 14}},
		{method: "GET", target: binding, fields: map[string]int{
			"credentials": 0, "syslog_drain_url": 0, "route_service_url": 0, "volume_mounts": 0, "parameters": 0,
			"endpoints": 15, "metadata": 16, "metadata/renew_before": 17}},
	} {
		for minor := 0; minor <= newestMinor+1; minor++ {
			r := richRecorder()
			if tc.pending {
				r.binding = core.BindingAnswer{Outcome: core.Accepted, Operation: "op"}
			}
			if tc.fails {
				r.err = &core.Error{Code: core.CodeFailed, Message: "m", InstanceUsable: yes(), UpdateRepeatable: yes()}
			}
			a := send(t, serve(t, r, nil), tc.method, tc.target, tc.body, headerVersion, fmt.Sprintf("2.%d", minor))
			for field, since := range tc.fields {
				if _, got := lookup(a.body, field); got != (minor >= since) {
					t.Errorf("C-4, EXT-03: %s %s in 2.%d: field %s is there: %v; it came with 2.%d", tc.method, tc.target, minor, field, got, since)
				}
			}
		}
	}
}

// lookup finds a value by a path of keys and indexes.
func lookup(v any, path string) (any, bool) {
	for _, key := range strings.Split(path, "/") {
		switch t := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = t[key]; !ok {
				return nil, false
			}
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(t) {
				return nil, false
			}
			v = t[i]
		default:
			return nil, false
		}
	}
	return v, true
}
