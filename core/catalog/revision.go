package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// The documents of the store. They change in one transaction.
const (
	ledgerKey = "catalog/revisions" // a ledger, as JSON
	filesKey  = "catalog/files"     // the files of the active revision, as Sources.Encode gives them
)

// remembered is how many superseded revisions are known, so that a replica that
// starts with an older directory is recognised.
const remembered = 200

// Revision is one state of the catalog's files, numbered over all replicas. The files
// are those of a directory with the templates that they use; what plugins bring is
// each replica's own.
type Revision struct {
	Number int64     `json:"number"` // 1, 2, …; 0 is none
	Digest string    `json:"digest"` // SHA-256 of the files, hexadecimal
	By     string    `json:"by"`     // the replica that proposed it
	At     time.Time `json:"at"`
}

// same compares what identifies a revision: a restored store may give a number again.
func (r Revision) same(other Revision) bool {
	return r.Number == other.Number && r.Digest == other.Digest
}

// ledger are the revisions that the store remembers.
type ledger struct {
	Active Revision   `json:"active"`
	Past   []Revision `json:"past"` // newest first
}

// knows tells whether the files were a revision once.
func (l ledger) knows(digest string) bool {
	return l.Active.Digest == digest || slices.ContainsFunc(l.Past, func(r Revision) bool { return r.Digest == digest })
}

// next is the ledger with r, whose number it sets, as the active revision.
func (l ledger) next(r Revision) ledger {
	r.Number = l.Active.Number + 1
	out := ledger{Active: r, Past: l.Past}
	if l.Active.Number > 0 {
		out.Past = slices.Insert(slices.Clone(l.Past), 0, l.Active)
		out.Past = out.Past[:min(len(out.Past), remembered)]
	}
	return out
}

// proposes tells whether this replica's directory is to replace the active revision,
// which is another one.
func (c *Catalog) proposes(l ledger, digest string, why intent) bool {
	switch {
	case why == onOrder || l.Active.Number == 0:
		return true
	case why == atStart || c.seen == "":
		// What was superseded is older than what the others use. Alone, nobody but this
		// directory's owner can have superseded anything.
		return !c.cfg.Shared || !l.knows(digest)
	default:
		return digest != c.seen
	}
}

// propose makes the files of this replica's directory the active revision if they are
// to be that. It gives the revision that is active then, and whether it has these files. Two
// proposers get two numbers, since the store's updates are serialisable.
func (c *Catalog) propose(ctx context.Context, src *Sources, why intent) (active Revision, mine bool, err error) {
	digest, proposed := src.digest(), false
	decide := func(l ledger) (ledger, bool) {
		proposed = l.Active.Digest != digest && c.proposes(l, digest, why)
		if proposed {
			l = l.next(Revision{Digest: digest, By: c.cfg.Replica, At: c.cfg.Now().UTC().Truncate(time.Microsecond)})
		}
		active, mine = l.Active, l.Active.Digest == digest
		return l, proposed
	}
	if err := c.change(ctx, src, decide); err != nil {
		return Revision{}, false, fmt.Errorf("propose the catalog to the store: %w", err)
	}
	if proposed && c.cfg.Store != nil {
		c.cfg.Log.Info("the catalog's files are a new revision", "number", active.Number, "digest", digest)
		c.cfg.Announce(ledgerKey)
	}
	if !mine && why == atStart {
		c.cfg.Log.Warn("the catalog's directory is older than the active revision, which stays; order a reload to activate the directory",
			"number", active.Number, "by", active.By)
	}
	return active, mine, nil
}

// change lets decide replace the ledger, with src as the files of its active revision.
// decide may be asked twice: what changes nothing needs no writing transaction.
func (c *Catalog) change(ctx context.Context, src *Sources, decide func(ledger) (ledger, bool)) error {
	if c.cfg.Store == nil {
		c.memory, _ = decide(c.memory)
		return nil
	}
	l, err := c.revisions(ctx)
	if err != nil {
		return err
	}
	if _, changes := decide(l); !changes {
		return nil
	}
	files, err := src.Encode()
	if err != nil {
		return err
	}
	return c.cfg.Store.Update(ctx, func(tx core.Tx) error {
		l, err := readLedger(tx)
		if err != nil {
			return err
		}
		l, changes := decide(l)
		if !changes {
			return nil
		}
		raw, err := json.Marshal(l)
		if err != nil {
			return fmt.Errorf("encode the catalog's revisions: %w", err)
		}
		if err := tx.Put(filesKey, files); err != nil {
			return err
		}
		return tx.Put(ledgerKey, raw)
	})
}

// revisions reads the ledger of the store.
func (c *Catalog) revisions(ctx context.Context) (l ledger, err error) {
	if c.cfg.Store == nil {
		return c.memory, nil
	}
	err = c.cfg.Store.View(ctx, func(tx core.Tx) error {
		l, err = readLedger(tx)
		return err
	})
	return l, err
}

func readLedger(tx core.Tx) (l ledger, err error) {
	raw, err := tx.Get(ledgerKey)
	if errors.Is(err, core.ErrNotFound) {
		return ledger{}, nil
	}
	if err != nil {
		return ledger{}, err
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		return ledger{}, fmt.Errorf("decode the catalog's revisions: %w", err)
	}
	return l, nil
}
