package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
)

// replicas are brokers over one store, each with a directory of its own. They look
// at the store only when a test says so.
type replicas struct {
	t *testing.T
	m *memory
}

// start starts a replica whose directory holds the service with the plan settings.
func (r replicas) start(name, plan string) (*catalog.Catalog, string) {
	r.t.Helper()
	dir := r.t.TempDir()
	writeFiles(r.t, dir, map[string]string{"catalog/a.yaml": service("", plan)})
	return started(r.t, r.config(name, dir)), dir
}

func (r replicas) config(name, dir string) catalog.Config {
	cfg := r.m.config(dir)
	cfg.Shared, cfg.Replica, cfg.FollowEvery = true, name, time.Hour
	return cfg
}

// edit changes a replica's directory and has it read, as its watcher would.
func (r replicas) edit(c *catalog.Catalog, dir, plan string) {
	r.t.Helper()
	before := c.Status().CheckedAt
	writeFiles(r.t, dir, map[string]string{"catalog/a.yaml": service("", plan)})
	eventually(r.t, "the edit to be read", func() bool { return c.Status().CheckedAt.After(before) })
}

// is holds a replica's status against what it must be.
func (r replicas) is(c *catalog.Catalog, number int64, by string, differs bool, plans ...string) {
	r.t.Helper()
	s := c.Status()
	if s.Active.Number != number || s.Active.By != by || s.Differs != differs {
		r.t.Errorf("revision %d by %s, differs %v; want %d by %s, %v", s.Active.Number, s.Active.By, s.Differs, number, by, differs)
	}
	if diff := cmp.Diff(plans, plansOf(c.Snapshot())); diff != "" {
		r.t.Errorf("plans (-want +got):\n%s", diff)
	}
}

func (r replicas) follow(c *catalog.Catalog) {
	r.t.Helper()
	if err := c.Follow(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// A directory that changes is a new revision, and the others adopt it.
func TestRevisionIsAdopted(t *testing.T) {
	r := replicas{t, &memory{}}
	a, dirA := r.start("a", "")
	b, dirB := r.start("b", "")
	r.is(a, 1, "a", false, "small/only")
	r.is(b, 1, "a", false, "small/only")

	r.edit(a, dirA, secondPlan)
	r.is(a, 2, "a", false, "small/only", "small/second")
	r.is(b, 1, "a", false, "small/only")
	r.follow(b)
	r.is(b, 2, "a", true, "small/only", "small/second")
	if !cmp.Equal(a.Snapshot().Revision, b.Snapshot().Revision) {
		t.Error("the same revision is not the same catalog on both")
	}

	r.edit(b, dirB, secondPlan) // the same change arrives there later: it is no revision of its own
	r.is(b, 2, "a", false, "small/only", "small/second")
	r.edit(b, dirB, "") // an edit that goes back is a change like any other
	r.is(b, 3, "b", false, "small/only")
	r.follow(a)
	r.is(a, 3, "b", true, "small/only")

	b.BackendChanged("demo") // is no change of the directory
	a.BackendChanged("demo")
	before := a.Status().CheckedAt
	eventually(t, "the backend's change", func() bool { return a.Status().CheckedAt.After(before) })
	r.is(a, 3, "b", true, "small/only")
}

// What a directory means at the start depends on what the store remembers of it.
func TestRevisionAtStart(t *testing.T) {
	for _, tt := range []struct {
		name, why string
		files     string
		alone     bool
		number    int64
		by        string
		differs   bool
	}{
		{"the active one", "a restart changes nothing", service("", secondPlan), false, 2, "a", false},
		{"an older one", "it would roll back what the others use", service("", ""), false, 2, "a", true},
		{"one never seen", "a new release of the catalog comes with its first replica", service("tags: [new]\n", ""), false, 3, "late", false},
		{"a broken one", "the others' catalog is better than none", "id: [", false, 2, "a", true},
		{"an older one, alone", "nobody but its owner can have superseded it", service("", ""), true, 3, "late", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := replicas{t, &memory{}}
			a, dir := r.start("a", "")
			r.edit(a, dir, secondPlan)
			late := t.TempDir()
			writeFiles(t, late, map[string]string{"catalog/a.yaml": tt.files})
			cfg := r.config("late", late)
			cfg.Shared = !tt.alone
			s := started(t, cfg).Status()
			if s.Active.Number != tt.number || s.Active.By != tt.by || s.Differs != tt.differs {
				t.Errorf("%s: revision %d by %s, differs %v; want %d by %s, %v", tt.why, s.Active.Number, s.Active.By, s.Differs, tt.number, tt.by, tt.differs)
			}
		})
	}
}

// An operator's order activates a directory that was superseded.
func TestRevisionOnOrder(t *testing.T) {
	r := replicas{t, &memory{}}
	a, dir := r.start("a", "")
	r.edit(a, dir, secondPlan)
	old, _ := r.start("old", "")
	r.is(old, 2, "a", true, "small/only", "small/second")
	if err := old.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.is(old, 3, "old", false, "small/only")
}

// Two that propose at the same time get two numbers, and everybody ends with the later one.
func TestRevisionsAtOnce(t *testing.T) {
	r := replicas{t, &memory{}}
	r.start("first", "")
	var catalogs []*catalog.Catalog
	for _, name := range []string{"a", "b", "c", "d"} {
		dir := t.TempDir()
		writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("tags: ["+name+"]\n", "")})
		catalogs = append(catalogs, catalog.New(r.config(name, dir)))
	}
	numbers := make([]int64, len(catalogs))
	var all sync.WaitGroup
	for i, c := range catalogs {
		all.Go(func() {
			if err := c.Start(t.Context()); err != nil {
				t.Error(err)
			}
			numbers[i] = c.Status().Active.Number
		})
	}
	all.Wait()
	seen := map[int64]bool{}
	for i, c := range catalogs {
		defer c.Close()
		if n := numbers[i]; n < 2 || n > 5 || seen[n] {
			t.Errorf("numbers %v: one is there twice or was never given", numbers)
		}
		seen[numbers[i]] = true
		r.follow(c)
		if got := c.Status().Active.Number; got != 5 {
			t.Errorf("a replica stays at revision %d of 5", got)
		}
	}
}

// A hint is followed at once, and without one the store is asked from time to time.
func TestRevisionIsHeardOf(t *testing.T) {
	r := replicas{t, &memory{}}
	a, dir := r.start("a", "")
	hinted, _ := r.start("hinted", "")
	polling := t.TempDir()
	writeFiles(t, polling, map[string]string{"catalog/a.yaml": service("", "")})
	cfg := r.config("polling", polling)
	cfg.FollowEvery = 10 * time.Millisecond
	polls := started(t, cfg)
	r.edit(a, dir, secondPlan)
	eventually(t, "the poll", func() bool { return polls.Status().Active.Number == 2 })
	if n := hinted.Status().Active.Number; n != 1 {
		t.Fatalf("revision %d without a hint", n)
	}
	hinted.DocumentChanged("description/demo") // is not about the catalog
	hinted.DocumentChanged("")
	eventually(t, "the hint", func() bool { return hinted.Status().Active.Number == 2 })
}

// A replica announces what it proposes, and nothing else.
func TestRevisionIsAnnounced(t *testing.T) {
	r := replicas{t, &memory{}}
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("", "")})
	cfg := r.config("a", dir)
	announced := make(chan string, 10)
	cfg.Announce = func(key string) { announced <- key }
	c := started(t, cfg)
	if err := errors.Join(c.Reload(t.Context()), c.Reload(t.Context())); err != nil {
		t.Fatal(err)
	}
	if n := len(announced); n != 1 {
		t.Fatalf("announced %d times", n)
	}
	other, _ := r.start("b", secondPlan)
	before := other.Status()
	other.DocumentChanged(<-announced) // it is a key that the others know; there is nothing new
	r.follow(other)
	if other.Status().Active != before.Active {
		t.Error("nothing new changed the catalog")
	}
}

// A revision that does not fit a replica's plugins is refused there with its reason,
// and adopted when they have changed.
func TestRevisionIsRefused(t *testing.T) {
	r := replicas{t, &memory{}}
	a, dirA := r.start("a", "")
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("", "")})
	cfg := r.config("b", dir)
	var mu sync.Mutex
	inputs := `{"type":"object","additionalProperties":false,"properties":{}}`
	cfg.Describe = func(string) (core.Description, bool) {
		mu.Lock()
		defer mu.Unlock()
		return core.Description{ProvisionInputs: json.RawMessage(inputs)}, true
	}
	b := started(t, cfg)
	r.edit(a, dirA, "  provision: {size: 1}\n")
	var invalid *catalog.InvalidError
	if err := b.Follow(t.Context()); !errors.As(err, &invalid) {
		t.Fatalf("adopted: %v", err)
	}
	s := b.Status()
	if s.Active.Number != 1 || s.Valid || len(s.Problems) != 1 || !strings.Contains(catalog.Text(s.Problems[0]), "revision 2, proposed by a: catalog/a.yaml:") {
		t.Errorf("status %+v", s)
	}
	if err := b.Follow(t.Context()); err != nil { // it is not parsed again every few seconds
		t.Errorf("refused twice: %v", err)
	}
	mu.Lock()
	inputs = `{"type":"object","properties":{"size":{"type":"integer"}}}`
	mu.Unlock()
	b.BackendChanged("demo")
	eventually(t, "the plugin that fits", func() bool { return b.Status().Active.Number == 2 && b.Status().Valid })
}

// Without its store a replica keeps its catalog, says so once, and goes on later.
func TestRevisionWithoutStore(t *testing.T) {
	r := replicas{t, &memory{}}
	a, dirA := r.start("a", "")
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"catalog/a.yaml": service("", "")})
	cfg := r.config("b", dir)
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	b := started(t, cfg)
	r.edit(a, dirA, secondPlan)
	r.m.fail(core.Errorf(core.CodeUnavailable, "the store is away"))
	for range 3 {
		if err := b.Follow(t.Context()); core.CodeOf(err) != core.CodeUnavailable {
			t.Errorf("got %v", err)
		}
	}
	if n := strings.Count(log.String(), "does not tell which catalog is active"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
	r.is(b, 1, "a", false, "small/only")
	if err := catalog.New(r.config("late", dir)).Start(context.Background()); core.CodeOf(err) != core.CodeUnavailable {
		t.Errorf("a start without the store: %v", err)
	}
	r.m.fail(nil)
	r.follow(b)
	r.is(b, 2, "a", true, "small/only", "small/second")
}
