package catalog_test

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
)

// offered is a service that a plugin brings, with ids of its own; the plan's settings are indented by two.
func offered(number, name, settings, plan string) string {
	return "id: 7a1d0000-0000-4000-8000-00000000000" + number + "\nname: " + name + "\ndescription: Of a plugin.\nbindable: false\n" + settings +
		"plans:\n- id: 7a1d0000-0000-4000-9000-00000000000" + number + "\n  name: only\n  description: The only plan.\n" + plan
}

func services(parsed *catalog.Parsed) []string {
	var names []string
	if parsed != nil {
		for _, s := range parsed.Services {
			names = append(names, s.Name+"@"+s.Backend)
		}
	}
	return names
}

// What a plugin brings is in the catalog like a file of the directory, and cannot spoil it.
func TestOfferings(t *testing.T) {
	known := func(backend string) (core.Description, bool) {
		return core.Description{ProvisionInputs: []byte(`{"type":"object","additionalProperties":false,"properties":{"size":{"type":"integer"}}}`)}, true
	}
	for _, c := range []struct {
		name, why string
		files     map[string]string
		options   catalog.Options
		want      []string
		leftOut   []string
		problem   string // all of them, as warnings
	}{
		{name: "alone", why: "no file is needed",
			files: map[string]string{"offerings/notes/a.yaml": offered("1", "notes", "", "")}, want: []string{"notes@notes"}},
		{name: "with files", why: "files come first",
			files: map[string]string{"catalog/z.yaml": service("", ""), "offerings/notes/a.yaml": offered("1", "notes", "", "")},
			want:  []string{"small@demo", "notes@notes"}},
		{name: "of two backends", why: "two backends of one plugin bring the same files; a second one cannot have the same ids",
			files: map[string]string{"offerings/a/n.yaml": offered("1", "notes", "", ""), "offerings/b/n.yaml": offered("1", "notes", "", "")},
			want:  []string{"notes@a"}, problem: "offerings/b/n.yaml:1:5: warning: id: the service is left out: offerings/a/n.yaml has its id already"},
		{name: "of two backends, one listed", why: "a new plugin must not take over what another one serves",
			files:   map[string]string{"offerings/a/n.yaml": offered("1", "notes", "", ""), "offerings/b/n.yaml": offered("1", "notes", "", "")},
			options: catalog.Options{Listed: func(string) (string, bool) { return "b", true }},
			want:    []string{"notes@b"}, problem: "offerings/a/n.yaml:1:5: warning: id: the service is left out: offerings/b/n.yaml has its id already"},
		{name: "the plan of another", why: "nor a plan",
			files: map[string]string{"offerings/a/n.yaml": offered("1", "one", "", ""),
				"offerings/b/n.yaml": strings.Replace(offered("2", "two", "", ""), "9000-000000000002", "9000-000000000001", 1)},
			options: catalog.Options{Listed: func(id string) (string, bool) { return "b", strings.HasSuffix(id, "2") }},
			want:    []string{"two@b"}, leftOut: []string{"offerings/a/n.yaml"}, problem: "is used already at offerings/b/n.yaml"},
		{name: "the same id as a file", why: "an operator overrides a service by copying it",
			files: map[string]string{"catalog/z.yaml": service("", ""), "offerings/demo/a.yaml": service("", "")},
			want:  []string{"small@demo"}, problem: "offerings/demo/a.yaml:1:5: warning: id: the service is left out: catalog/z.yaml has its id already"},
		{name: "the same name as a file", why: "platforms go by the name",
			files: map[string]string{"catalog/z.yaml": service("", ""), "offerings/notes/a.yaml": offered("1", "small", "", "")},
			want:  []string{"small@demo"}, problem: "offerings/notes/a.yaml:2:7: warning: name: the service is left out: catalog/z.yaml has its name already"},
		{name: "names its backend", why: "it may be a copy of what is in use",
			files: map[string]string{"offerings/notes/a.yaml": offered("1", "notes", "backend: notes\n", "")}, want: []string{"notes@notes"}},
		{name: "names another backend", why: "a plugin cannot offer what is another one's",
			files:   map[string]string{"catalog/z.yaml": service("", ""), "offerings/notes/a.yaml": offered("1", "notes", "backend: demo\n", "")},
			want:    []string{"small@demo"},
			leftOut: []string{"offerings/notes/a.yaml"}, problem: `offerings/notes/a.yaml:5:10: warning: backend: the service is brought by the plugin of the backend "notes"`},
		{name: "no YAML", why: "one plugin's mistake is not everybody's",
			files:   map[string]string{"catalog/z.yaml": service("", ""), "offerings/notes/a.yaml": "id: [\n", "offerings/notes/b.yaml": offered("1", "notes", "", "")},
			want:    []string{"small@demo", "notes@notes"},
			leftOut: []string{"offerings/notes/a.yaml"}, problem: "offerings/notes/a.yaml:"},
		{name: "not a mapping", why: "there is no place for the backend",
			files: map[string]string{"offerings/notes/a.yaml": "- a\n"}, leftOut: []string{"offerings/notes/a.yaml"}, problem: "a mapping"},
		{name: "nothing in it", why: "what is missing is no conflict with what else is missing",
			files:   map[string]string{"offerings/a/a.yaml": "{}", "offerings/a/b.yaml": "{}"},
			leftOut: []string{"offerings/a/a.yaml", "offerings/a/b.yaml"}, problem: `offerings/a/b.yaml:1:1: warning: id: "id" is required`},
		{name: "unknown key", why: "strict as files are",
			files:   map[string]string{"offerings/notes/a.yaml": offered("1", "notes", "bindabel: true\n", "")},
			leftOut: []string{"offerings/notes/a.yaml"}, problem: "bindabel"},
		{name: "inputs that the plugin does not take", why: "the plugin's own word counts for what it brings, too",
			files:   map[string]string{"offerings/notes/a.yaml": offered("1", "notes", "", "  provision: {sise: 1}\n")},
			options: catalog.Options{Describe: known},
			leftOut: []string{"offerings/notes/a.yaml"}, problem: "sise"},
		{name: "a template of nothing", why: "templates are compiled before they are used",
			files:   map[string]string{"offerings/notes/a.yaml": offered("1", "notes", "", "  provision: {size: '{{ nonsense }}'}\n")},
			leftOut: []string{"offerings/notes/a.yaml"}, problem: "nonsense"},
		{name: "a template file", why: "templates/ are the operator's, and a plugin cannot know what they hold",
			files: map[string]string{"templates/credentials/x.yaml": "a: b\n",
				"offerings/notes/a.yaml": strings.Replace(offered("1", "notes", "", "  credentials: credentials/x.yaml\n"), "bindable: false\n", "", 1)},
			leftOut: []string{"offerings/notes/a.yaml"}, problem: "plans[0].credentials: a service that a plugin brings cannot use files under templates/ (write what it holds here)"},
		{name: "a secret of the broker", why: "a plugin must not publish the broker's environment",
			files:   map[string]string{"offerings/notes/a.yaml": offered("1", "notes", "dashboardClient: {id: a, secret: '${file:/etc/passwd}', redirectURI: 'https://x.example.org'}\n", "")},
			options: catalog.Options{Secret: func(string) (string, error) { return "leaked", nil }},
			leftOut: []string{"offerings/notes/a.yaml"}, problem: "cannot refer to variables and files of the broker"},
	} {
		t.Run(c.name, func(t *testing.T) {
			parsed, problems := parse(c.files, c.options)
			if parsed == nil {
				t.Fatalf("refused: %s\n%s", c.why, texts(problems))
			}
			if diff := cmp.Diff(c.want, services(parsed)); diff != "" {
				t.Errorf("%s:\n%s", c.why, diff)
			}
			if diff := cmp.Diff(c.leftOut, parsed.LeftOut); diff != "" {
				t.Errorf("left out: %s:\n%s", c.why, diff)
			}
			if got := texts(problems); !strings.Contains(got, c.problem) || c.problem == "" && got != "" {
				t.Errorf("problems; expected %q:\n%s", c.problem, got)
			}
		})
	}
}

// A broken file of the directory refuses the catalog, whatever plugins bring.
func TestOfferingsDoNotExcuseFiles(t *testing.T) {
	parsed, problems := parse(map[string]string{"catalog/a.yaml": service("x: 1\n", ""), "offerings/notes/a.yaml": offered("1", "notes", "y: 2\n", "")}, catalog.Options{})
	if parsed != nil || !catalog.Refused(problems) {
		t.Errorf("accepted:\n%s", texts(problems))
	}
}

// brought is what plugins bring; a test changes it.
type brought struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (b *brought) set(files map[string]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files = map[string][]byte{}
	for name, text := range files {
		b.files[name] = []byte(text)
	}
}

func (b *brought) offerings() map[string][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.files)
}

// Offerings come and go with their plugin; plans that instances have are retired, and
// the last good catalog holds them.
func TestOfferingsReload(t *testing.T) {
	dir, m, b := t.TempDir(), &memory{}, &brought{}
	writeFiles(t, dir, map[string]string{"catalog/README.md": "no services"})
	cfg := m.config(dir)
	cfg.Offerings = b.offerings
	c := started(t, cfg)
	if n := len(c.Snapshot().Services); n != 0 || !c.Status().Valid {
		t.Fatalf("%d services; %+v", n, c.Status())
	}
	is := func(want ...string) func() bool {
		return func() bool { return cmp.Equal(want, plansOf(c.Snapshot())) }
	}
	b.set(map[string]string{"notes/a.yaml": offered("1", "notes", "", "")})
	changes, problems, err := c.Diff(t.Context())
	if err != nil || len(problems) != 0 || len(changes) != 2 || changes[0].Kind != "added" || changes[0].Service != "notes" {
		t.Errorf("diff: %v\n%s\n%+v", err, texts(problems), changes)
	}
	c.BackendChanged("notes")
	eventually(t, "the plugin's service", is("notes/only"))
	if diff := cmp.Diff("notes", c.Snapshot().Services[0].Backend); diff != "" {
		t.Error(diff)
	}

	// A broken offering is left out with a word in the status; the catalog is valid.
	b.set(map[string]string{"notes/a.yaml": offered("1", "notes", "", ""), "notes/b.yaml": "id: 1"})
	c.BackendChanged("notes")
	eventually(t, "the broken offering's name", func() bool { return cmp.Equal([]string{"offerings/notes/b.yaml"}, c.Status().LeftOut) })
	if s := c.Status(); !s.Valid || len(s.Problems) == 0 || catalog.Refused(s.Problems) || !is("notes/only")() {
		t.Errorf("status %+v", s)
	}

	// The directory wins, and gives way when its file is gone. It holds one file of two then, so it is not empty.
	other := strings.NewReplacer("name: small", "name: other", "000000000001", "00000000000a", "000000000002", "00000000000b").Replace(service("", ""))
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": strings.Replace(offered("1", "overridden", "backend: notes\n", ""), "only", "mine", 1), "catalog/b.yaml": other})
	eventually(t, "the directory's file", is("overridden/mine", "other/only"))
	remove(t, dir, "catalog/a.yaml")
	eventually(t, "the plugin's service again", is("other/only", "notes/only"))

	// An empty directory is taken for a mistake, as without offerings.
	remove(t, dir, "catalog/b.yaml")
	eventually(t, "the empty directory's problem", func() bool { return !c.Status().Valid })
	writeFiles(t, dir, map[string]string{"catalog/b.yaml": other})
	eventually(t, "the repair", func() bool { return c.Status().Valid })

	// The last good catalog of an invalid directory has what plugins brought.
	writeFiles(t, dir, map[string]string{"catalog/b.yaml": "id: ["})
	eventually(t, "the broken file's problem", func() bool { return !c.Status().Valid })
	restored := started(t, cfg)
	if diff := cmp.Diff([]string{"other/only", "notes/only"}, plansOf(restored.Snapshot())); diff != "" || !restored.Status().Differs {
		t.Errorf("restored: %s", diff)
	}
	restored.Close()
	writeFiles(t, dir, map[string]string{"catalog/b.yaml": other})

	// What the plugin does not bring any more is retired while it is in use.
	plan := c.Snapshot().Services[1].Plans[0]
	m.use(core.PlanUse{ServiceID: plan.Service.ID, PlanID: plan.ID, Definition: plan.Definition, Instances: 1})
	b.set(nil)
	c.BackendChanged("notes")
	eventually(t, "the retired plan", func() bool { return is("other/only")() && c.Status().Retired == 1 })
}

// A new version of a plugin must fit the files of the directory, and may change what
// it brings itself, but not for the worse.
func TestApproveOfferings(t *testing.T) {
	schema := func(name string) []byte {
		return []byte(`{"type":"object","additionalProperties":false,"properties":{"` + name + `":{"type":"string"}}}`)
	}
	brings := func(input, service string) core.Description {
		return core.Description{Version: "1.0.0", ProvisionInputs: schema(input), Offerings: map[string][]byte{
			"a.yaml": []byte(offered("1", "notes", "", "  provision: {"+service+": x}\n"))}}
	}
	dir, b := t.TempDir(), &brought{}
	writeFiles(t, dir, map[string]string{"catalog/README.md": "no services"})
	b.set(map[string]string{"notes/a.yaml": offered("1", "notes", "", "  provision: {old: x}\n")})
	cfg := (&memory{}).config(dir)
	cfg.Offerings = b.offerings
	cfg.Describe = func(string) (core.Description, bool) { return brings("old", "old"), true }
	c := started(t, cfg)
	if c.Status().Services != 1 {
		t.Fatalf("status %+v", c.Status())
	}
	second := brings("old", "old")
	second.Offerings["b.yaml"] = []byte(offered("2", "more", "", "  provision: {wrong: x}\n"))
	for _, tt := range []struct {
		name, why string
		d         core.Description
		problem   string
	}{
		{"the same", "nothing changes", brings("old", "old"), ""},
		{"inputs and offering change together", "the new process brings what goes with it", brings("new", "new"), ""},
		{"the offering is withdrawn", "its plans are retired, as with a file that is removed", core.Description{ProvisionInputs: schema("new")}, ""},
		{"the offering does not fit", "it would take a listed service away", brings("new", "old"), "offerings/notes/a.yaml"},
		{"the offering is broken", "it would take a listed service away", core.Description{Offerings: map[string][]byte{"a.yaml": []byte("id: [")}}, "offerings/notes/a.yaml"},
		{"another offering is broken", "nobody has that one yet", second, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := c.Approve("notes", tt.d)
			var invalid *catalog.InvalidError
			if tt.problem == "" && err != nil || tt.problem != "" && (!errors.As(err, &invalid) || !strings.Contains(err.Error(), tt.problem)) {
				t.Errorf("got %v; %s", err, tt.why)
			}
		})
	}
}
