package osbapi

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

type fixedAdmin struct{ err error }

func (f fixedAdmin) Status(context.Context) (CatalogStatus, error) {
	return CatalogStatus{Revision: "r1", Valid: false, Problems: []core.Problem{{File: "a.yaml", Line: 3, Message: "m"}}}, f.err
}
func (f fixedAdmin) Diff(_ context.Context, files map[string]string) (CatalogDiff, error) {
	return CatalogDiff{Changes: []CatalogChange{{Service: "s", Kind: "added", Text: files["catalog/a.yaml"], Instances: 2}}}, f.err
}
func (f fixedAdmin) Reload(context.Context) (CatalogStatus, error) {
	return CatalogStatus{Revision: "r2", Valid: true}, f.err
}
func (f fixedAdmin) Backends(context.Context) ([]BackendStatus, error) {
	return []BackendStatus{{Name: "b", Plugin: "demo", State: "running"}}, f.err
}

// adminRecorder has rows with every secret that a row could have.
func adminRecorder() *recorder {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	secret := json.RawMessage(`{"k":"s3cret"}`)
	applied := core.Applied{Inputs: secret, Outputs: secret}
	return &recorder{
		snapshot:  richSnapshot(),
		instances: []*core.Instance{{ID: "a/b", ServiceID: "s", PlanID: "p", Backend: "b", Applied: applied, Parameters: json.RawMessage(`{"x":1}`), Ready: true, CreatedAt: at, UpdatedAt: at}},
		bindings: []*core.Binding{{ID: "bi", InstanceID: "a/b", Applied: applied, CreatedAt: at, UpdatedAt: at,
			Result: &core.BindingResult{Credentials: secret, ExpiresAt: "2030-01-01T00:00:00.0Z"}}},
		operations: []*core.Operation{{ID: "op-1", Verb: core.VerbProvision, InstanceID: "a/b", State: core.OperationFailed,
			Wanted: core.Wanted{ServiceID: "s", PlanID: "p", Inputs: secret, Parameters: secret, Secrets: []string{"s3cret"}},
			Handle: []byte("s3cret"), Seed: []byte("s3cret"), ProgressPercent: -1, CreatedAt: at, Deadline: at,
			Error: &core.Error{Code: core.CodeFailed, Message: "m", Detail: "for the operator"}}},
		steps: []*core.Step{{Seq: 1, At: at, Kind: core.StepAccepted, Text: "t", Detail: "d"}},
		drift: []core.Drift{{Pointer: "/versioning", Message: "it is off"}},
		inventory: core.InventoryPage{Next: "t/2", Items: []core.InventoryItem{
			{Name: "photos", State: core.InventoryOrphan, InstanceID: "gone", Inputs: json.RawMessage(`{"bucket":"photos"}`), Attributes: json.RawMessage(`{"objects":3}`)},
			{Name: "films", State: core.InventoryAdoptable}}},
		adopted: core.AdoptAnswer{Outcome: core.Accepted, Operation: "op-2"},
		purge:   core.PurgeReport{InstanceID: "a/b", Backend: "b", MayBeLeft: []string{"a bucket"}},
	}
}

func TestAdmin(t *testing.T) {
	for _, tc := range []struct {
		method, target string
		want           int
		asked          string // first thing that the Broker was asked, as JSON or text
		has            []string
	}{
		{"GET", "/admin/v1/version", 200, "", []string{`"osb":"2.17"`, `"version":"1.2.3"`}},
		{"GET", "/admin/v1/status", 200, "", []string{`"instances":1`, `"bind":3`, `"provision":0`, `"catalog_revision":"r1"`}},
		{"GET", "/admin/v1/replicas", 200, "", []string{`{"name":"a/1","version":"v1","holder":"h1","keys":3,"self":true}`, `{"name":"b/2","self":false}`}},
		{"GET", "/admin/v1/instances", 200, `{"ServiceID":"","PlanID":"","Backend":"","After":"","Limit":100}`, []string{`"id":"a/b"`, `"service":"name"`, `"plan":"plan"`, `"parameters":{"x":1}`}},
		{"GET", "/admin/v1/instances?service_id=s&plan_id=p&backend=b&after=x&limit=1", 200,
			`{"ServiceID":"s","PlanID":"p","Backend":"b","After":"x","Limit":1}`, []string{`"next":"a/b"`}},
		{"GET", "/admin/v1/instances?limit=0", 400, "", []string{"?limit"}},
		{"GET", "/admin/v1/instances?limit=x&offset=3", 400, "", []string{"?limit", "?offset"}},
		{"GET", "/admin/v1/instances/a%2Fb", 200, "detail a/b", []string{`"bindings":[`, `"id":"bi"`, `"expires_at"`}},
		{"GET", "/admin/v1/instances/none", 404, "detail none", nil},
		{"POST", "/admin/v1/instances/a%2Fb/purge", 200, "purge a/b", []string{`"may_be_left":["a bucket"]`, `"bindings":[]`}},
		{"GET", "/admin/v1/instances/a%2Fb/purge", 405, "", nil},
		{"GET", "/admin/v1/operations?instance_id=i&binding_id=b&verb=bind&state=pending,failed&state=succeeded&before=op&limit=7", 200,
			`{"InstanceID":"i","BindingID":"b","Verb":"bind","States":["pending","failed","succeeded"],"Before":"op","Limit":7}`, []string{`"id":"op-1"`, `"detail":"for the operator"`}},
		{"GET", "/admin/v1/operations?verb=delete&state=done", 400, "", []string{"?verb", "deprovision", "?state", "cancelling"}},
		{"GET", "/admin/v1/operations/op-1", 200, "timeline op-1", []string{`"timeline":[{"seq":1,"at":"2026-01-02T03:04:05Z","kind":"accepted","text":"t","detail":"d"}]`}},
		{"POST", "/admin/v1/operations/op-1/cancel", 200, "cancel op-1", []string{`"operation":"op-1"`}},
		{"POST", "/admin/v1/operations/op-1/retry", 200, "retry op-1", []string{`"operation":"new-op-1"`, `"retries":"op-1"`}},
		{"POST", "/admin/v1/operations/op-1/abandon", 200, "abandon op-1", []string{`"operation":"op-1"`}},
		{"GET", "/admin/v1/catalog", 200, "", []string{`"revision":"r1"`, `"valid":false`, `"line":3`}},
		{"GET", "/admin/v1/catalog/diff", 200, "", []string{`"instances":2`, `"problems":[]`}},
		{"POST", "/admin/v1/catalog/reload", 200, "", []string{`"revision":"r2"`, `"problems":[]`}},
		{"GET", "/admin/v1/backends", 200, "", []string{`"state":"running"`}},
		{"GET", "/admin/v1/instances/a%2Fb/inspect", 200, "inspect a/b", []string{`"exists":true`, `"drift":[{"pointer":"/versioning","message":"it is off"}]`}},
		{"GET", "/admin/v1/backends/b/inventory", 200, "inventory b after ", []string{`"next":"t/2"`,
			`{"name":"photos","state":"orphan","instance_id":"gone","inputs":{"bucket":"photos"},"attributes":{"objects":3}}`, `{"name":"films","state":"adoptable"}`}},
		{"GET", "/admin/v1/backends/b/inventory?after=t%2F2", 200, "inventory b after t/2", nil},
		{"GET", "/admin/v1/backends/b/inventory?page=2", 400, "", []string{"?page", "after"}},
		{"POST", "/admin/v1/instances/a%2Fb/adopt", 400, "", []string{"JSON"}},
		{"GET", "/admin/v1", 404, "", nil},
	} {
		r := adminRecorder()
		h := serve(t, r, func(c *Config) {
			c.CatalogAdmin, c.BackendsAdmin, c.Version = fixedAdmin{}, fixedAdmin{}, Version{Version: "1.2.3"}
		})
		a := send(t, h, tc.method, tc.target, "", headerVersion, "")
		if a.status != tc.want {
			t.Errorf("%s %s: got %d %s, want %d", tc.method, tc.target, a.status, a.raw, tc.want)
		}
		for _, part := range tc.has {
			if !strings.Contains(string(a.raw), part) {
				t.Errorf("%s %s: no %s in %s", tc.method, tc.target, part, a.raw)
			}
		}
		if strings.Contains(string(a.raw), "s3cret") {
			t.Errorf("%s %s shows a secret: %s", tc.method, tc.target, a.raw)
		}
		if diff := cmp.Diff(tc.asked, firstAsked(t, r)); diff != "" {
			t.Errorf("%s %s: -want +got:\n%s", tc.method, tc.target, diff)
		}
	}
}

func firstAsked(t *testing.T, r *recorder) string {
	if len(r.asked) == 0 {
		return ""
	}
	if s, ok := r.asked[0].(string); ok {
		return s
	}
	raw, err := json.Marshal(r.asked[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestAdminAdopt: the body is that of a provision, as far as it counts.
func TestAdminAdopt(t *testing.T) {
	for _, tc := range []struct {
		body    string
		answers core.AdoptAnswer
		want    int
		asked   string
		says    string
	}{
		{`{"service_id":"s","plan_id":"p","organization_guid":"o","space_guid":"sp","parameters":{"bucketName":"photos"}}`,
			core.AdoptAnswer{Outcome: core.Accepted, Operation: "op-2"}, 200,
			`{"InstanceID":"a/b","ServiceID":"s","PlanID":"p","OrganizationGUID":"o","SpaceGUID":"sp","Parameters":{"bucketName":"photos"}}`,
			`{"instance_id":"a/b","operation":"op-2","outcome":"accepted"}`},
		{`{"service_id":"s","plan_id":"p"}`, core.AdoptAnswer{Outcome: core.Unchanged}, 200,
			`{"InstanceID":"a/b","ServiceID":"s","PlanID":"p","OrganizationGUID":"","SpaceGUID":"","Parameters":null}`,
			`{"instance_id":"a/b","outcome":"unchanged"}`},
		{`{"parameters":[]}`, core.AdoptAnswer{}, 400, "", "/service_id"},
		{`{"parameters":[]}`, core.AdoptAnswer{}, 400, "", "/parameters"},
	} {
		r := adminRecorder()
		r.adopted = tc.answers
		a := send(t, serve(t, r, nil), "POST", "/admin/v1/instances/a%2Fb/adopt", tc.body)
		if a.status != tc.want || !strings.Contains(string(a.raw), tc.says) {
			t.Errorf("%s: got %d %s, want %d with %s", tc.body, a.status, a.raw, tc.want, tc.says)
		}
		if diff := cmp.Diff(tc.asked, firstAsked(t, r)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", tc.body, diff)
		}
	}
}

// TestAdminDiffOfFiles: files that the broker does not have.
func TestAdminDiffOfFiles(t *testing.T) {
	h := serve(t, adminRecorder(), func(c *Config) { c.CatalogAdmin = fixedAdmin{} })
	for _, tc := range []struct {
		body string
		want int
		says string
	}{
		{`{"files":{"catalog/a.yaml":"id: x"}}`, 200, `"text":"id: x"`},
		{`{"files":{}}`, 400, "/files"},
		{`{"files":{"a":1}}`, 400, "/files"},
		{`{}`, 400, "/files"},
		{`{`, 400, "JSON"},
	} {
		if a := send(t, h, "POST", "/admin/v1/catalog/diff", tc.body); a.status != tc.want || !strings.Contains(string(a.raw), tc.says) {
			t.Errorf("%s: got %d %s, want %d with %s", tc.body, a.status, a.raw, tc.want, tc.says)
		}
	}
}

// TestAdminErrors: errors of the parts behind the API come out as errors.
func TestAdminErrors(t *testing.T) {
	failed := core.Errorf(core.CodeUnavailable, "The store cannot be used.")
	r := adminRecorder()
	r.err = failed
	h := serve(t, r, func(c *Config) { c.CatalogAdmin, c.BackendsAdmin = fixedAdmin{failed}, fixedAdmin{failed} })
	for target, method := range map[string]string{
		"/admin/v1/status": "GET", "/admin/v1/instances": "GET", "/admin/v1/instances/i": "GET", "/admin/v1/instances/i/purge": "POST",
		"/admin/v1/operations": "GET", "/admin/v1/operations/o/cancel": "POST", "/admin/v1/operations/o/retry": "POST",
		"/admin/v1/operations/o/abandon": "POST", "/admin/v1/catalog": "GET", "/admin/v1/catalog/diff": "GET",
		"/admin/v1/catalog/reload": "POST", "/admin/v1/backends": "GET",
	} {
		if a := send(t, h, method, target, ""); a.status != 500 || !strings.Contains(a.description(), "store") {
			t.Errorf("%s %s: got %d %s", method, target, a.status, a.raw)
		}
	}
}

func TestReadyz(t *testing.T) {
	report := ReadyReport{Ready: false, Checks: []ReadyCheck{{Name: "store", Messages: []string{"locked"}}, {Name: "catalog", OK: true}}}
	h := serve(t, &recorder{}, func(c *Config) { c.Ready = func(context.Context) ReadyReport { return report } })
	if a := send(t, h, "GET", "/readyz", ""); a.status != 503 ||
		string(a.raw) != `{"ready":false,"checks":[{"name":"store","ok":false,"messages":["locked"]},{"name":"catalog","ok":true}]}` {
		t.Errorf("got %d %s", a.status, a.raw)
	}
	report.Ready = true
	if a := send(t, h, "GET", "/readyz", ""); a.status != 200 {
		t.Errorf("a broken check of a ready broker: got %d", a.status)
	}
}

// TestAdminReference: every route, filter and field is in the reference.
func TestAdminReference(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "admin-api.md"))
	if err != nil {
		t.Fatal(err)
	}
	reference := string(raw)
	h := serve(t, adminRecorder(), func(c *Config) {
		c.CatalogAdmin, c.BackendsAdmin, c.KeysAdmin, c.ExportAdmin = fixedAdmin{}, fixedAdmin{}, tellingKeys{}, &fixedExport{}
	}).(*handler)
	for _, route := range h.adminTable() {
		path := regexp.MustCompile(`:(\w+)`).ReplaceAllString(route.path, "{$1}")
		if want := "### `" + route.method + " /admin/v1" + path + "`"; !strings.Contains(reference, want+"\n") {
			t.Errorf("no heading %q", want)
		}
	}
	for _, row := range []any{instanceRow{}, bindingRow{}, operationRow{}, stepRow{}, CatalogStatus{}, CatalogChange{}, inventoryRow{}, core.Drift{}, BackendStatus{}, Version{}, core.Problem{},
		core.KeysetState{}, core.KeysProgress{}, replicaRow{}, replicaView{}} {
		for field := range reflect.TypeOf(row).Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if !strings.Contains(reference, "`"+name+"`") {
				t.Errorf("%T: the field %q is not described", row, name)
			}
		}
	}
}
