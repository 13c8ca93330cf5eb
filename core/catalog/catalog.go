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
	// Store keeps the revisions of the catalog and knows which plans are in use. Default:
	// revisions are kept in memory, and no plan is in use.
	Store core.Store
	// Shared is true where other brokers (replicas) use the same store: then the active
	// revision may be another one's.
	Shared bool
	// Replica names this broker in the revisions that it proposes.
	Replica string
	// Announce tells the other replicas that a document of the store has changed; it must
	// return at once. They call DocumentChanged. Default: they find out by themselves.
	Announce func(document string)
	// FollowEvery is how often a shared store is asked for a new revision. Default 3 s.
	FollowEvery time.Duration
	// Secret resolves references such as ${env:NAME} in dashboardClient.secret. Default: it is taken as written.
	Secret func(reference string) (string, error)
	// OnChange is told of every new snapshot, one after the other. It must not call
	// Reload, Follow, BackendChanged, Start or Close.
	OnChange []func(*core.Snapshot)

	Log *slog.Logger     // default: discard
	Now func() time.Time // default: time.Now
}

// Catalog keeps the active snapshot and replaces it when the files or, with a shared
// store, the active revision change. It implements core.Catalog; safe for concurrent use.
type Catalog struct {
	cfg      Config
	active   atomic.Pointer[state]
	status   atomic.Pointer[Status]
	compiled sync.Map // digest → *compiledPlan, for definitions that are not active

	mu     sync.Mutex // one load at a time; guards what follows
	shown  Revision   // the revision that the snapshot is made of
	seen   string     // digest of the directory when it was last valid
	memory ledger     // the revisions, where there is no store
	look   looked     // what the last look at the directory said
	// refused is the revision that this replica cannot adopt, and why.
	refused  Revision
	problems []core.Problem
	lost     bool // the store did not answer the last Follow

	wake   chan struct{} // asks the watcher for a load
	heard  chan struct{} // asks the watcher to follow
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
	if cfg.FollowEvery <= 0 {
		cfg.FollowEvery = 3 * time.Second
	}
	if cfg.Announce == nil {
		cfg.Announce = func(string) {}
	}
	c := &Catalog{cfg: cfg, wake: make(chan struct{}, 1), heard: make(chan struct{}, 1)}
	c.active.Store(&state{snapshot: core.NewSnapshot("", time.Time{}, nil, nil)})
	c.status.Store(&Status{Problems: []core.Problem{}})
	return c
}

// Snapshot implements core.Catalog.
func (c *Catalog) Snapshot() *core.Snapshot { return c.active.Load().snapshot }

// Start loads the files, or the active revision of the store if they are invalid or
// older, and then watches both until Close. Without a revision to fall back to an invalid
// directory is an *InvalidError. An error of the store is returned; Start may then be
// called again. ctx bounds the first load only.
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
	err := c.load(ctx, atStart)
	var invalid *InvalidError
	if errors.As(err, &invalid) && c.active.Load().parsed != nil {
		c.cfg.Log.Warn("the catalog's files are invalid; the active revision of the store is in use",
			"number", c.shown.Number, "revision", c.Snapshot().Revision)
		return nil
	}
	return err
}

// Close stops watching and waits until nothing of the catalog runs. The snapshot stays readable.
func (c *Catalog) Close() {
	if c.cancel == nil {
		return
	}
	c.cancel()
	<-c.done
}

// Reload reads the files now and, if they are valid, makes them the active revision, also
// where a later revision superseded them. An *InvalidError says what is wrong with
// them; the active catalog stays.
func (c *Catalog) Reload(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(ctx, onOrder)
}

// changed is Reload where no operator asked for it.
func (c *Catalog) changed(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.load(ctx, onChange)
}

// BackendChanged asks for a reload because a backend appeared, vanished or described
// itself anew. It returns at once.
func (c *Catalog) BackendChanged(string) { ask(c.wake) }

// DocumentChanged tells that another replica changed a document of the store; ""
// stands for any. It returns at once.
func (c *Catalog) DocumentChanged(key string) {
	if key == "" || key == ledgerKey {
		ask(c.heard)
	}
}

func ask(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default: // one is waiting already
	}
}
