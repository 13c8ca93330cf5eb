package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/template"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is as much of a store as a catalog needs: documents and the plans in use.
type memory struct {
	core.Store // nil: what is not here must not be called
	mu         sync.Mutex
	documents  map[string][]byte
	updates    int
	uses       []core.PlanUse
	err        error
}

type memoryTx struct {
	core.Tx
	m *memory
}

func (m *memory) View(_ context.Context, fn func(core.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	return fn(memoryTx{m: m})
}

func (m *memory) Update(_ context.Context, fn func(core.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	if err := fn(memoryTx{m: m}); err != nil {
		return err
	}
	m.updates++
	return nil
}

func (t memoryTx) Get(key string) ([]byte, error) {
	if raw, ok := t.m.documents[key]; ok {
		return raw, nil
	}
	return nil, core.ErrNotFound
}

func (t memoryTx) Put(key string, value []byte) error {
	if t.m.documents == nil {
		t.m.documents = map[string][]byte{}
	}
	t.m.documents[key] = value
	return nil
}

func (t memoryTx) PlansInUse() ([]core.PlanUse, error) { return t.m.uses, nil }

func (m *memory) config(dir string) catalog.Config {
	return catalog.Config{Dir: filepath.Join(dir, "catalog"), TemplatesDir: filepath.Join(dir, "templates"),
		Templates: template.New(), Store: m}
}

// fail lets the store fail with err, or work again with nil.
func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *memory) use(uses ...core.PlanUse) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uses = uses
}

// started makes a catalog of a fresh directory with files.
func started(t *testing.T, cfg catalog.Config) *catalog.Catalog {
	t.Helper()
	c := catalog.New(cfg)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func plansOf(s *core.Snapshot) []string {
	var names []string
	for _, svc := range s.Services {
		for _, p := range svc.Plans {
			names = append(names, svc.Name+"/"+p.Name)
		}
	}
	return names
}

const secondPlan = "- {id: 5e5a8c5c-0000-4000-8000-000000000003, name: second, description: The second plan.}\n"

// A good edit is active, a broken one changes nothing and is explained.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	m := &memory{}
	cfg := m.config(dir)
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	var told []string
	cfg.OnChange = append(cfg.OnChange, func(s *core.Snapshot) { told = append(told, s.Revision) })
	c := catalog.New(cfg)
	if s := c.Snapshot(); s == nil || len(s.Services) != 0 {
		t.Fatal("the snapshot before the first load is not an empty one")
	}
	ctx := t.Context()
	write := func(text string) error {
		writeFiles(t, dir, map[string]string{"catalog/a.yaml": text})
		return c.Reload(ctx)
	}
	if err := write(service("", "")); err != nil {
		t.Fatal(err)
	}
	first := c.Snapshot()
	if err := write("# comment\n" + service("", "")); err != nil || len(told) != 1 || c.Snapshot().LoadedAt != first.LoadedAt {
		t.Errorf("a comment is a change: %v, told %d times", err, len(told))
	}
	if err := write(service("", secondPlan)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"small/only", "small/second"}, plansOf(c.Snapshot())); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"small/only"}, plansOf(first)); diff != "" {
		t.Errorf("a snapshot changed after it was taken: %s", diff)
	}
	good := c.Snapshot()
	err := write(service("", "  fre: true\n"))
	var invalid *catalog.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) != 1 || c.Snapshot() != good {
		t.Errorf("broken edit: %v", err)
	}
	st := c.Status()
	if st.Valid || st.Revision != good.Revision || len(st.Problems) != 1 || st.Problems[0].Line != 10 || st.Problems[0].File != filepath.Join(dir, "catalog", "a.yaml") {
		t.Errorf("status %+v", st)
	}
	if !strings.Contains(log.String(), "a.yaml:10:3: plans[0].fre") {
		t.Errorf("the log does not say what is wrong:\n%s", log.String())
	}
	if err := write(service("", secondPlan)); err != nil || !c.Status().Valid || len(c.Status().Problems) != 0 || c.Status().Plans != 2 {
		t.Errorf("after the repair: %v, %+v", err, c.Status())
	}
	if diff := cmp.Diff([]string{first.Revision, good.Revision}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if n := c.Status().Active.Number; n != 3 || m.updates != 3 { // the comment is in the files too
		t.Errorf("revision %d after %d updates of the store", n, m.updates)
	}
}

// The last good catalog is used when the files are bad at the start, however they are bad.
func TestLastGood(t *testing.T) {
	tests := []struct {
		name, why string
		spoil     func(t *testing.T, dir string)
	}{
		{"broken file", "an edit while the broker was down", func(t *testing.T, dir string) {
			writeFiles(t, dir, map[string]string{"catalog/a.yaml": "id: [\n"})
		}},
		{"no directory", "a volume that is not mounted", func(t *testing.T, dir string) { remove(t, dir, "catalog") }},
		{"empty directory", "a volume that is mounted, but empty", func(t *testing.T, dir string) { remove(t, dir, "catalog/a.yaml") }},
		{"no template file", "the saved files hold the templates too", func(t *testing.T, dir string) { remove(t, dir, "templates") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, m := t.TempDir(), &memory{}
			files := map[string]string{"catalog/a.yaml": strings.Replace(service("", "  credentials: credentials/x.yaml\n"), "bindable: false\n", "", 1),
				"templates/credentials/x.yaml": "a: '{{ .binding.id }}'\n"}
			writeFiles(t, dir, files)
			started(t, m.config(dir)).Close()
			tt.spoil(t, dir)
			c := started(t, m.config(dir))
			if diff := cmp.Diff([]string{"small/only"}, plansOf(c.Snapshot())); diff != "" {
				t.Errorf("%s: %s", tt.why, diff)
			}
			if st := c.Status(); st.Valid || !st.Differs || len(st.Problems) == 0 {
				t.Errorf("status %+v", st)
			}
			writeFiles(t, dir, files)
			if err := c.Reload(t.Context()); err != nil || c.Status().Differs {
				t.Errorf("after the repair: %v, %+v", err, c.Status())
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
		t.Fatal(err)
	}
}

// Without a last good catalog an invalid one refuses to start, and says everything; an empty one is fine.
func TestStartInvalid(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("x: 1\ny: 2\n", "")})
	var invalid *catalog.InvalidError
	c := catalog.New((&memory{}).config(dir))
	if err := c.Start(t.Context()); !errors.As(err, &invalid) || len(invalid.Problems) != 2 {
		t.Errorf("started: %v", err)
	}
	c.Close()
	empty := t.TempDir()
	writeFiles(t, empty, map[string]string{"catalog/README.md": "no services yet", "catalog/.hidden.yaml": "]"})
	if st := started(t, (&memory{}).config(empty)).Status(); !st.Valid || st.Services != 0 {
		t.Errorf("an empty catalog: %+v", st)
	}
}

// A plan that instances have stays as retired, across restarts, until nobody has it (CAT-31).
func TestRetired(t *testing.T) {
	dir, m := t.TempDir(), &memory{}
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("", "  provision: {size: 7}\n"+secondPlan)})
	c := started(t, m.config(dir))
	svc := c.Snapshot().Services[0]
	m.use(core.PlanUse{ServiceID: svc.ID, PlanID: svc.Plans[0].ID, Definition: svc.Plans[0].Definition, Instances: 3})
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": minimal + "plans:\n" + secondPlan})
	check := func(c *catalog.Catalog, want ...string) {
		t.Helper()
		s := c.Snapshot()
		if diff := cmp.Diff([]string{"small/second"}, plansOf(s)); diff != "" {
			t.Error(diff)
		}
		var got []string
		for _, p := range s.Retired {
			got = append(got, p.Name)
			if !p.Retired || s.Plan(svc.ID, p.ID) != p || p.Service.ID != svc.ID {
				t.Errorf("retired plan %+v", p)
			}
			v, err := p.Provision.Render(core.TemplateData{})
			if diff := cmp.Diff(any(map[string]any{"size": int64(7)}), v); diff != "" || err != nil {
				t.Errorf("%v %s", err, diff)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("retired (-want +got):\n%s", diff)
		}
	}
	if err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(c, "only")
	revision := c.Snapshot().Revision
	c.Close()
	c = started(t, m.config(dir))
	check(c, "only")
	if c.Snapshot().Revision != revision {
		t.Error("a restart changed the revision")
	}
	m.use()
	if err := c.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(c)
	if c.Snapshot().Revision == revision {
		t.Error("the retired plan is gone and the revision is the same")
	}
	m.fail(errors.New("the store is down"))
	before := c.Snapshot()
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("", "")})
	if err := c.Reload(t.Context()); err == nil || c.Snapshot() != before || c.Status().Valid {
		t.Errorf("a catalog was activated although nobody knows what is in use: %v", err)
	}
}

// A stored definition compiles without any file, to a plan that does the same.
func TestDefinition(t *testing.T) {
	options := catalog.Options{Templates: template.New()}
	plan := mustParse(t, map[string]string{"catalog/a.yaml": everything}, options).Services[0].Plans[0]
	again := mustParse(t, map[string]string{"catalog/a.yaml": everything}, options).Services[0].Plans[0]
	if plan.Definition.Digest != again.Definition.Digest || !bytes.Equal(plan.Definition.Blob, again.Definition.Blob) {
		t.Error("the same files give different definitions")
	}
	if !json.Valid(plan.Definition.Blob) || bytes.Contains(plan.Definition.Blob, []byte("env:S")) {
		t.Errorf("the blob is no JSON or has the dashboard's secret: %s", plan.Definition.Blob)
	}
	c := catalog.New(catalog.Config{Templates: template.New()})
	got, err := c.Plan(plan.Definition)
	if err != nil {
		t.Fatal(err)
	}
	if same, _ := c.Plan(plan.Definition); same != got {
		t.Error("a definition is compiled twice")
	}
	type comparable struct {
		Service core.Service
		Plan    core.Plan
		Schemas []string
		Sources map[string]any
	}
	view := func(p *core.Plan) comparable {
		v := comparable{Service: *p.Service, Plan: *p, Sources: map[string]any{}}
		v.Service.Plans, v.Service.DashboardClient, v.Plan.Service = nil, nil, nil
		for _, s := range []core.Schema{p.SchemaProvision, p.SchemaUpdate, p.SchemaBind} {
			v.Schemas = append(v.Schemas, string(s.JSON()))
		}
		v.Plan.SchemaProvision, v.Plan.SchemaUpdate, v.Plan.SchemaBind = nil, nil, nil
		for _, key := range []string{"provision", "update", "deprovision", "bind", "unbind", "credentials", "dashboardURL", "metadataLabels",
			"metadataAttributes", "endpoints", "volumeMounts", "syslogDrainURL", "routeServiceURL", "expiresAt", "renewBefore"} {
			raw, err := json.Marshal(catalog.TemplateOf(p, key).Source())
			if err != nil {
				t.Fatal(err)
			}
			v.Sources[key] = string(raw)
		}
		v.Plan.Provision, v.Plan.Update, v.Plan.Deprovision, v.Plan.Bind, v.Plan.Unbind, v.Plan.Credentials = nil, nil, nil, nil, nil, nil
		v.Plan.DashboardURL, v.Plan.InstanceLabels, v.Plan.InstanceAttributes, v.Plan.Endpoints, v.Plan.VolumeMounts = nil, nil, nil, nil, nil
		v.Plan.SyslogDrainURL, v.Plan.RouteServiceURL, v.Plan.ExpiresAt, v.Plan.RenewBefore = nil, nil, nil, nil
		return v
	}
	want := view(plan)
	if diff := cmp.Diff(want, view(got), cmp.AllowUnexported()); diff != "" {
		t.Errorf("(-compiled from YAML +compiled from the definition):\n%s", diff)
	}
	bad := plan.Definition
	bad.Blob = bytes.Replace(bad.Blob, []byte("First."), []byte("Wrong."), 1)
	fresh := catalog.New(catalog.Config{Templates: template.New()})
	if _, err := fresh.Plan(bad); core.CodeOf(err) != core.CodeFailed || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged definition: %v", err)
	}
	if _, err := fresh.Plan(plan.Definition); err != nil {
		t.Errorf("damaged bytes spoil the good ones: %v", err)
	}
}

// A plugin that nobody heard of holds back its services only; word of it brings them in.
func TestBackendChanged(t *testing.T) {
	dir, m := t.TempDir(), &memory{}
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("", "  provision: {size: 1}\n"),
		"catalog/b.yaml": "id: s2\nname: other\ndescription: D.\nbackend: late\nbindable: false\nplans: [{id: p2, name: x, description: D., provision: {size: 1}}]\n"})
	var mu sync.Mutex
	known := map[string]core.Description{"demo": {}}
	cfg := m.config(dir)
	cfg.Describe = func(b string) (core.Description, bool) {
		mu.Lock()
		defer mu.Unlock()
		d, ok := known[b]
		return d, ok
	}
	describe := func(b string, d *core.Description) {
		mu.Lock()
		defer mu.Unlock()
		if delete(known, b); d != nil {
			known[b] = *d
		}
	}
	c := started(t, cfg)
	if diff := cmp.Diff([]string{"small/only"}, plansOf(c.Snapshot())); diff != "" {
		t.Fatal(diff)
	}
	if st := c.Status(); !st.Valid || cmp.Diff([]string{"other"}, st.Held) != "" || len(st.Problems) != 1 {
		t.Errorf("status %+v", st)
	}
	sized := core.Description{ProvisionInputs: json.RawMessage(`{"type":"object","properties":{"size":{"type":"integer"}}}`)}
	describe("late", &sized)
	c.BackendChanged("late")
	eventually(t, "the service of the new plugin", func() bool { return len(c.Snapshot().Services) == 2 })

	// A new process that does not fit is refused; a service stays when its plugin is forgotten.
	renamed := core.Description{ProvisionInputs: json.RawMessage(`{"type":"object","properties":{"capacity":{"type":"integer"}}}`)}
	if err := c.Approve("late", renamed); err == nil || !strings.Contains(err.Error(), `the plugin has no input "size"`) {
		t.Errorf("approved: %v", err)
	}
	if err := c.Approve("late", sized); err != nil {
		t.Errorf("not approved: %v", err)
	}
	if err := c.Approve("unused", renamed); err != nil {
		t.Errorf("a backend without services was refused: %v", err)
	}
	describe("late", nil)
	if err := c.Reload(t.Context()); err != nil || len(c.Snapshot().Services) != 2 {
		t.Errorf("the service vanished with its plugin: %v", err)
	}
	c.Close()
	c = started(t, cfg) // after a restart the last good catalog says that it was listed
	if len(c.Snapshot().Services) != 2 {
		t.Errorf("the service vanished over a restart: %+v", c.Status())
	}
	c.Close()
	describe("late", &renamed) // its plugin does not fit any more: the broker starts all the same
	c = started(t, cfg)
	if st := c.Status(); len(c.Snapshot().Services) != 2 || st.Valid || !st.Differs {
		t.Errorf("one plugin keeps the broker from its catalog: %+v", st)
	}
}
