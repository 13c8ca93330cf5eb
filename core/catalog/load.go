package catalog

import (
	"context"
	"errors"
	"sync"

	"github.com/chandler-broker/chandler/core"
)

// intent says why the directory is looked at, and with it what it means if it holds
// something else than the active revision.
type intent int

const (
	// atStart: it may be older than what the other replicas use by now.
	atStart intent = iota
	// onChange: a file or a backend changed.
	onChange
	// onOrder: an operator wants what the directory holds.
	onOrder
)

// load reads and checks the directory, proposes it if it is to be the active revision,
// and activates that one. The caller holds mu.
func (c *Catalog) load(ctx context.Context, why intent) error {
	defer c.publish()
	at := c.cfg.Now()
	src, problems := c.read(ctx)
	var parsed *Parsed
	if !Refused(problems) {
		var more []core.Problem
		parsed, more = Parse(src, c.options(true))
		problems = append(problems, more...)
	}
	c.look, c.refused, c.problems = looked{at: at, problems: problems}, Revision{}, nil
	if parsed == nil {
		c.logProblems("the catalog is invalid"+c.stays(), problems)
		_, err := c.follow(ctx) // a running broker asks again soon
		if err != nil && why == atStart {
			return errors.Join(&InvalidError{problems}, err)
		}
		return &InvalidError{problems}
	}
	err := c.put(ctx, parsed, why)
	if err == nil {
		c.logProblems("the catalog has warnings", problems)
	}
	return err
}

// put makes a valid directory the active revision, or adopts another one.
func (c *Catalog) put(ctx context.Context, parsed *Parsed, why intent) error {
	digest := parsed.sources.digest()
	active, mine, err := c.propose(ctx, parsed.sources, why)
	if err == nil {
		c.look.digest, c.seen = digest, digest
		if !mine {
			return c.adopt(ctx)
		}
		err = c.activate(ctx, parsed)
	}
	if err != nil {
		c.look.problems = append(c.look.problems, core.Problem{Message: err.Error()})
		c.cfg.Log.Error("the catalog cannot be activated"+c.stays(), "error", err)
		return err
	}
	c.show(active)
	return nil
}

// show notes which revision the snapshot is made of.
func (c *Catalog) show(active Revision) {
	c.shown, c.refused, c.problems = active, Revision{}, nil
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
// is one of those in the store's active revision, by service id.
func (c *Catalog) listed() map[string]string {
	backends := map[string]string{}
	if active := c.active.Load(); active.parsed != nil {
		for _, s := range active.snapshot.Services {
			backends[s.ID] = s.Backend
		}
		return backends
	}
	_, src, err := c.stored(context.Background())
	if err != nil || src == nil {
		return backends
	}
	return src.backends()
}

// hasServices tells whether the active catalog or, before there is one, the store's
// active revision has services of a directory.
func (c *Catalog) hasServices(ctx context.Context) bool {
	if active := c.active.Load(); active.parsed != nil {
		return !active.parsed.sources.empty()
	}
	_, src, err := c.stored(ctx)
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
