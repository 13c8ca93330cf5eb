package catalog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// Config is what a Catalog is made of. Dir and Templates are required; the rest has defaults.
type Config struct {
	// Dir holds the service files, TemplatesDir the template files that they refer to.
	Dir, TemplatesDir string
	// Templates compiles the templates.
	Templates core.Templates
	// Describe gives what a backend's plugin said of itself, live or remembered. Default: names of
	// inputs and outputs are not checked.
	Describe func(backend string) (core.Description, bool)
	// KnownBackend tells whether a backend is configured or exists by itself. Default: all are.
	KnownBackend func(backend string) bool
	// Offerings gives the services that plugins bring, YAML by "backend/name.yaml". Default: none.
	Offerings func() map[string][]byte
	// InUse lists the plans that instances have or unfinished operations want. Default: none.
	InUse func(ctx context.Context) ([]core.PlanUse, error)
	// LoadLast gives what SaveLast was last given; core.ErrNotFound or nothing if there is none.
	// Default: the last good catalog is kept in memory only.
	LoadLast func(ctx context.Context) ([]byte, error)
	SaveLast func(ctx context.Context, files []byte) error
	// Secret resolves references such as ${env:NAME} in dashboardClient.secret. Default: it is taken as written.
	Secret func(reference string) (string, error)
	// OnChange is told of every new snapshot, one after the other. It must not call
	// Reload, BackendChanged, Start or Close.
	OnChange []func(*core.Snapshot)

	Log *slog.Logger     // default: discard
	Now func() time.Time // default: time.Now
}

// Status is what an operator needs to know of the catalog.
type Status struct {
	// Revision, LoadedAt, Services, Plans and Retired are of the active catalog.
	Revision string    `json:"revision"`
	LoadedAt time.Time `json:"loaded_at"`
	Services int       `json:"services"`
	Plans    int       `json:"plans"`
	Retired  int       `json:"retired"`
	// Held names services that wait for their plugin to be described once.
	Held []string `json:"held,omitempty"`
	// LeftOut names offerings of plugins that cannot be used; warnings among the problems say why.
	LeftOut []string `json:"left_out,omitempty"`
	// Valid is false while the files are something else, because of the problems.
	Valid bool `json:"valid"`
	// CheckedAt is when the files were last looked at; zero before the first time.
	CheckedAt time.Time `json:"checked_at"`
	// Restored is true while the active catalog comes from the store and not from the files.
	Restored bool           `json:"restored,omitempty"`
	Problems []core.Problem `json:"problems"` // of the last look, warnings too; never nil
}

// Catalog keeps the active snapshot and replaces it when the files change. It
// implements core.Catalog; safe for concurrent use.
type Catalog struct {
	cfg    Config
	active atomic.Pointer[state]
	status atomic.Pointer[Status]

	mu       sync.Mutex // one load at a time; guards saved
	saved    string     // digest of the files last given to SaveLast
	compiled sync.Map   // digest → *compiledPlan, for definitions that are not active

	wake   chan struct{} // asks the watcher for a load
	cancel context.CancelFunc
	done   chan struct{} // closed when the watcher has ended; nil before Start
}

var _ core.Catalog = (*Catalog)(nil)

// state is what is active, replaced as a whole.
type state struct {
	snapshot *core.Snapshot
	byDigest map[string]*core.Plan // of the listed plans
	parsed   *Parsed               // what the snapshot is made of; nil before the first load
}

// New makes a catalog with an empty snapshot; Start fills it.
func New(cfg Config) *Catalog {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Catalog{cfg: cfg, wake: make(chan struct{}, 1)}
	c.active.Store(&state{snapshot: core.NewSnapshot("", time.Time{}, nil, nil)})
	c.status.Store(&Status{Problems: []core.Problem{}})
	return c
}

// Snapshot implements core.Catalog.
func (c *Catalog) Snapshot() *core.Snapshot { return c.active.Load().snapshot }

// Status says which catalog is active and what is wrong with the files.
func (c *Catalog) Status() Status { return *c.status.Load() }

// Start loads the files, or the last good catalog if they are invalid, and then
// watches them until Close. Without a last good catalog an invalid one is an
// *InvalidError. ctx bounds the first load only.
func (c *Catalog) Start(ctx context.Context) error {
	w := newWatcher(c.cfg.Dir, c.cfg.TemplatesDir)
	before := w.fingerprint()
	if err := c.start(ctx); err != nil {
		return err
	}
	watching, cancel := context.WithCancel(context.Background())
	c.cancel, c.done = cancel, make(chan struct{})
	ready := make(chan struct{})
	go func() {
		defer close(c.done)
		c.watch(watching, w, before, ready)
	}()
	select { // what changes from here on is seen
	case <-ready:
	case <-ctx.Done():
		c.Close()
		return ctx.Err()
	}
	return nil
}

func (c *Catalog) start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.load(ctx)
	if err == nil {
		return nil
	}
	last, lastErr := c.lastGood(ctx)
	if lastErr != nil {
		return errors.Join(err, lastErr)
	}
	if last == nil {
		return err
	}
	if err := c.activate(ctx, last); err != nil {
		return err
	}
	c.note(func(s *Status) { s.Restored = true })
	c.cfg.Log.Warn("the catalog's files are invalid; the last good catalog is in use", "revision", c.Snapshot().Revision)
	return nil
}

// Close stops watching and waits until nothing of the catalog runs. The snapshot stays readable.
func (c *Catalog) Close() {
	if c.cancel == nil {
		return
	}
	c.cancel()
	<-c.done
}

// Reload reads the files now and replaces the snapshot if they are valid. An
// *InvalidError says what is wrong with them; the active catalog stays.
func (c *Catalog) Reload(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(ctx)
}

// BackendChanged asks for a reload because a backend appeared, vanished or described
// itself anew. It returns at once.
func (c *Catalog) BackendChanged(string) {
	select {
	case c.wake <- struct{}{}:
	default: // one is waiting already
	}
}

// Approve holds the active catalog against what a new process of a backend says
// of itself and brings; an error tells what would not fit any more: a file of the directory, or a
// new version of an offering that is listed. Until the first load everything fits.
func (c *Catalog) Approve(backend string, d core.Description) error {
	parsed := c.active.Load().parsed
	if parsed == nil {
		return nil
	}
	listed := func(name string) bool {
		for _, l := range parsed.loaded {
			if l.doc.node.File == name {
				return l.doc.backend == backend && !l.hold
			}
		}
		return false
	}
	src := parsed.sources.only(listed)
	offerings := map[string][]byte{}
	for name, data := range d.Offerings {
		offerings[backend+"/"+name] = data
	}
	src.SetOfferings(offerings)
	if len(src.services) == 0 {
		return nil
	}
	options := c.options(true)
	options.Describe = func(string) (core.Description, bool) { return d, true }
	options.strict = listed
	if _, problems := Parse(src, options); Refused(problems) {
		return &InvalidError{problems}
	}
	return nil
}

// load reads, checks and activates the files. The caller holds mu.
func (c *Catalog) load(ctx context.Context) error {
	started := c.cfg.Now()
	src, problems := c.read(ctx)
	var parsed *Parsed
	if !Refused(problems) {
		var more []core.Problem
		parsed, more = Parse(src, c.options(true))
		problems = append(problems, more...)
	}
	return c.finish(ctx, parsed, problems, started)
}

// read gives the files. An empty directory is a problem if there were services before.
func (c *Catalog) read(ctx context.Context) (*Sources, []core.Problem) {
	src, problems := ReadSources(c.cfg.Dir, c.cfg.TemplatesDir)
	if src.empty() && len(problems) == 0 && c.hasServices(ctx) {
		problems = append(problems, core.Problem{File: c.cfg.Dir,
			Message: "the directory holds no service files any more", Hint: "the last good catalog stays, since this is more likely a mistake than meant"})
	}
	c.addOfferings(src)
	return src, problems
}

func (c *Catalog) addOfferings(src *Sources) {
	var offerings map[string][]byte
	if c.cfg.Offerings != nil {
		offerings = c.cfg.Offerings()
	}
	src.SetOfferings(offerings)
}

// finish activates what was parsed and leaves word of it in the status.
func (c *Catalog) finish(ctx context.Context, parsed *Parsed, problems []core.Problem, started time.Time) error {
	if parsed == nil {
		c.note(func(s *Status) { s.Valid, s.CheckedAt, s.Problems = false, started, problems })
		c.logProblems("the catalog is invalid"+c.stays(), problems)
		return &InvalidError{problems}
	}
	if err := c.activate(ctx, parsed); err != nil {
		problems = append(problems, core.Problem{Message: err.Error()})
		c.note(func(s *Status) { s.Valid, s.CheckedAt, s.Problems = false, started, problems })
		c.cfg.Log.Error("the catalog cannot be activated"+c.stays(), "error", err)
		return err
	}
	c.note(func(s *Status) {
		s.Valid, s.Restored, s.CheckedAt, s.Problems = true, false, started, append([]core.Problem{}, problems...)
	})
	c.logProblems("the catalog has warnings", problems)
	c.save(ctx, parsed)
	return nil
}

// stays says what a refused catalog leaves in use, if anything.
func (c *Catalog) stays() string {
	if c.active.Load().parsed == nil {
		return ""
	}
	return "; the active one stays"
}

func (c *Catalog) logProblems(message string, problems []core.Problem) {
	const most = 50
	for i, p := range problems {
		if i == most {
			c.cfg.Log.Warn("more problems are not logged", "count", len(problems)-most)
			return
		}
		level := slog.LevelError
		if p.Warning {
			level = slog.LevelWarn
		}
		c.cfg.Log.Log(context.Background(), level, message, "problem", Text(p))
	}
}

// note changes the status. The caller holds mu.
func (c *Catalog) note(change func(*Status)) {
	s := *c.status.Load()
	change(&s)
	c.status.Store(&s)
}

// options are those of Parse. With plugins false their descriptions do not count.
func (c *Catalog) options(plugins bool) Options {
	o := Options{Templates: c.cfg.Templates, Secret: c.cfg.Secret}
	if plugins {
		backends := sync.OnceValue(c.listed)
		o.Describe, o.KnownBackend = c.cfg.Describe, c.cfg.KnownBackend
		o.Listed = func(serviceID string) (string, bool) {
			backend, ok := backends()[serviceID]
			return backend, ok
		}
	}
	return o
}

// listed gives the backends of the services in the active catalog, or before there
// is one of those in the last good one, by service id.
func (c *Catalog) listed() map[string]string {
	backends := map[string]string{}
	if active := c.active.Load(); active.parsed != nil {
		for _, s := range active.snapshot.Services {
			backends[s.ID] = s.Backend
		}
		return backends
	}
	src, err := c.lastSources(context.Background())
	if err != nil || src == nil {
		return backends
	}
	return src.backends()
}

// hasServices tells whether the active or, before there is one, the last good catalog has
// services of the directory.
func (c *Catalog) hasServices(ctx context.Context) bool {
	if active := c.active.Load(); active.parsed != nil {
		return !active.parsed.sources.empty()
	}
	src, err := c.lastSources(ctx)
	return err == nil && src != nil && !src.empty()
}

// activate replaces the snapshot. Plans that are in use and not among the new
// services are retired. The caller holds mu.
func (c *Catalog) activate(ctx context.Context, parsed *Parsed) error {
	retired, err := c.retired(ctx, parsed.Services)
	if err != nil {
		return err
	}
	before := c.active.Load()
	next := &state{snapshot: parsed.Snapshot(c.cfg.Now(), retired), parsed: parsed, byDigest: map[string]*core.Plan{}}
	same := before.parsed != nil && before.snapshot.Revision == next.snapshot.Revision
	if same {
		next.snapshot.LoadedAt = before.snapshot.LoadedAt
	}
	for _, s := range parsed.Services {
		for _, p := range s.Plans {
			next.byDigest[p.Definition.Digest] = p
		}
	}
	c.active.Store(next)
	c.note(func(s *Status) {
		s.Revision, s.LoadedAt, s.Services, s.Plans = next.snapshot.Revision, next.snapshot.LoadedAt, len(parsed.Services), len(next.byDigest)
		s.Retired, s.Held, s.LeftOut = len(retired), parsed.Held, parsed.LeftOut
	})
	if same {
		return nil
	}
	c.compiled.Clear()
	c.cfg.Log.Info("the catalog is active", "revision", next.snapshot.Revision, "services", len(parsed.Services),
		"plans", len(next.byDigest), "retired", len(retired))
	for _, fn := range c.cfg.OnChange {
		fn(next.snapshot)
	}
	return nil
}
