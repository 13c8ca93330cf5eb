package catalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/chandler-broker/chandler/core"
)

// lastSources gives the files of the last good catalog; nil, nil if there is none.
func (c *Catalog) lastSources(ctx context.Context) (*Sources, error) {
	if c.cfg.LoadLast == nil {
		return nil, nil
	}
	data, err := c.cfg.LoadLast(ctx)
	if errors.Is(err, core.ErrNotFound) || err == nil && len(data) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the last good catalog: %w", err)
	}
	return DecodeSources(data)
}

// lastGood compiles the last good catalog; nil, nil if there is none. If it does not
// fit what the plugins say of themselves by now, it is taken without their word:
// one plugin must not keep the broker from starting.
func (c *Catalog) lastGood(ctx context.Context) (*Parsed, error) {
	src, err := c.lastSources(ctx)
	if src == nil || err != nil {
		return nil, err
	}
	parsed, problems := Parse(src, c.options(true))
	if parsed == nil {
		c.logProblems("the last good catalog does not fit the plugins any more", problems)
		parsed, problems = Parse(src, c.options(false))
	}
	if parsed == nil {
		return nil, fmt.Errorf("the last good catalog cannot be used: %w", &InvalidError{problems})
	}
	return parsed, nil
}

// save keeps the files of a good catalog for the next start. A failure is only
// logged: the catalog itself is active. The caller holds mu.
func (c *Catalog) save(ctx context.Context, parsed *Parsed) {
	digest := parsed.sources.digest()
	if c.cfg.SaveLast == nil || digest == c.saved {
		return
	}
	data, err := parsed.sources.Encode()
	if err == nil {
		err = c.cfg.SaveLast(ctx, data)
	}
	if err != nil {
		c.cfg.Log.Error("the catalog is active, but it could not be kept for the next start", "error", err)
		return
	}
	c.saved = digest
}
