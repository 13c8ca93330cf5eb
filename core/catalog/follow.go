package catalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/chandler-broker/chandler/core"
)

// Follow adopts the store's active revision if the snapshot is made of another one. An
// *InvalidError says why it does not fit this replica, whose catalog stays then.
func (c *Catalog) Follow(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	adopted, err := c.follow(ctx)
	var invalid *InvalidError
	if adopted || errors.As(err, &invalid) {
		c.publish()
	}
	switch away := err != nil && invalid == nil; {
	case away && !c.lost: // once, and not every few seconds
		c.cfg.Log.Warn("the store does not tell which catalog is active; the one in use stays", "error", err)
		c.lost = true
	case !away:
		c.lost = false
	}
	return err
}

// follow is Follow, without word of it. The caller holds mu.
func (c *Catalog) follow(ctx context.Context) (adopted bool, err error) {
	l, err := c.revisions(ctx)
	if err != nil {
		return false, err
	}
	if l.Active.Number == 0 || l.Active.same(c.shown) || l.Active.same(c.refused) {
		return false, nil
	}
	return true, c.adopt(ctx)
}

// adopt activates the store's active revision with what this replica's plugins say.
// When the broker starts, and it does not fit them, it is taken without their word:
// one plugin must not keep the broker from starting. The caller holds mu.
func (c *Catalog) adopt(ctx context.Context) error {
	active, src, err := c.stored(ctx)
	if err != nil || src == nil {
		return err
	}
	c.addOfferings(src)
	parsed, problems := Parse(src, c.options(true))
	if parsed == nil && c.active.Load().parsed == nil {
		c.logProblems("the active revision does not fit the plugins", problems)
		parsed, problems = Parse(src, c.options(false))
	}
	if parsed == nil {
		c.refuse(active, problems)
		return &InvalidError{problems}
	}
	if err := c.activate(ctx, parsed); err != nil {
		return err
	}
	c.show(active)
	c.cfg.Log.Info("the catalog is that of the store's active revision", "number", active.Number, "by", active.By, "digest", active.Digest)
	return nil
}

// refuse leaves word of a revision that this replica cannot use. It is tried again
// when a backend changes.
func (c *Catalog) refuse(active Revision, problems []core.Problem) {
	about := fmt.Sprintf("revision %d, proposed by %s", active.Number, active.By)
	c.refused, c.problems = active, nil
	for _, p := range problems {
		p.File = about + ": " + p.File
		c.problems = append(c.problems, p)
	}
	c.logProblems("the active revision cannot be used here"+c.stays(), c.problems)
}

// stored gives the files of the store's active revision; nil if there is none.
func (c *Catalog) stored(ctx context.Context) (active Revision, src *Sources, err error) {
	if c.cfg.Store == nil {
		return Revision{}, nil, nil
	}
	var files []byte
	err = c.cfg.Store.View(ctx, func(tx core.Tx) error {
		l, err := readLedger(tx)
		if err != nil || l.Active.Number == 0 {
			return err
		}
		active = l.Active
		files, err = tx.Get(filesKey)
		return err
	})
	if err != nil {
		return Revision{}, nil, fmt.Errorf("read the active catalog: %w", err)
	}
	if files == nil {
		return Revision{}, nil, nil
	}
	src, err = DecodeSources(files)
	return active, src, err
}
