package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chandler-broker/chandler/core"
)

const (
	trimPage  = 2000 // operations that one View looks at
	trimBatch = 200  // operations that one Update deletes

	// A page of finished operations of what lives, whose finish is long ago, and how
	// many newer ones their instance or binding has, up to a number.
	selectHistory = `SELECT p.seq, p.instance_id, (SELECT count(*) FROM (SELECT 1 FROM operations n
		INDEXED BY operations_by_target WHERE n.instance_id = p.instance_id AND n.binding_id = p.binding_id
		AND n.seq > p.seq LIMIT ? + 0) AS newer), p.old
	FROM (SELECT seq, instance_id, binding_id, CASE WHEN gone = 0 AND finished_at IS NOT NULL
		AND finished_at < ? THEN 1 ELSE 0 END AS old
		FROM operations WHERE seq > ? ORDER BY seq LIMIT ? + 0) AS p ORDER BY p.seq`
	deleteHistory = `DELETE FROM operations WHERE seq = ? AND gone = 0 AND finished_at IS NOT NULL`

	newestOperation        = `SELECT coalesce(max(seq), 0) FROM operations`
	definitionsOfUses      = `SELECT DISTINCT definition FROM uses`
	definitionsOfBindings  = `SELECT DISTINCT definition FROM bindings`
	definitionsOfOlder     = `SELECT DISTINCT definition FROM operations WHERE seq <= ?`
	definitionsOfNewer     = `SELECT DISTINCT definition FROM operations WHERE seq > ?`
	selectDefinitionsKnown = `SELECT digest FROM definitions`
	deleteDefinition       = `DELETE FROM definitions WHERE digest = ?`
)

// transactions are the store's View and Update with its own transaction.
type transactions struct {
	update func(context.Context, func(*tx) error) error
	// apart is update for what touches leases only.
	apart func(context.Context, func(*tx) error) error
	view  func(context.Context, func(*tx) error) error
}

// Trim implements core.Trimmer. It looks at everything, in short transactions.
func (x *transactions) Trim(ctx context.Context, before time.Time, keep int) (done core.Trimmed, err error) {
	if keep < 1 {
		return done, fmt.Errorf("store: at least the last operation is kept, not %d", keep)
	}
	for after := int64(0); ; {
		old, last, err := x.history(ctx, after, before, keep)
		if err != nil {
			return done, err
		}
		for batch := range slices.Chunk(old, trimBatch) {
			n, err := x.deleteHistory(ctx, batch)
			done.Operations += n
			if err != nil {
				return done, err
			}
		}
		if last == after {
			break
		}
		after = last
	}
	done.Definitions, err = x.trimDefinitions(ctx)
	return done, err
}

// past is an operation that may go.
type past struct {
	seq      int64
	instance string
}

// history finds what may go on the page after a seq, and where the page ends.
func (x *transactions) history(ctx context.Context, after int64, before time.Time, keep int) (old []past, last int64, err error) {
	err = x.view(ctx, func(t *tx) error {
		old, last = nil, after
		return t.rows("read history", false, func(r rows) error {
			var p past
			var newer, isOld int
			err := r.Scan(&p.seq, &p.instance, &newer, &isOld)
			if isOld == 1 && newer >= keep {
				old = append(old, p)
			}
			last = p.seq
			return err
		}, selectHistory, keep, before.UnixMicro(), after, trimPage)
	})
	return old, last, err
}

func (x *transactions) deleteHistory(ctx context.Context, batch []past) (deleted int, err error) {
	err = x.update(ctx, func(t *tx) error {
		deleted = 0
		for _, p := range batch {
			if err := t.lock("instance", p.instance); err != nil {
				return err
			}
			n, err := t.exec("delete history", deleteHistory, p.seq)
			if err != nil {
				return err
			}
			deleted += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// trimDefinitions deletes definitions that nothing refers to. A reference comes to be
// with an operation only: an instance or a binding has the definition of one. So what
// was unused when all were looked at is so still if no newer operation uses it.
func (x *transactions) trimDefinitions(ctx context.Context) (deleted int, err error) {
	var unused []string
	var newest int64
	err = x.view(ctx, func(t *tx) (err error) {
		unused, newest, err = t.unusedDefinitions()
		return err
	})
	if err != nil || len(unused) == 0 {
		return 0, err
	}
	err = x.update(ctx, func(t *tx) error {
		deleted = 0
		if err := t.lockAll(); err != nil {
			return err
		}
		used, err := t.strings("list definitions in use", definitionsOfNewer, newest)
		if err != nil {
			return err
		}
		for _, digest := range unused {
			if slices.Contains(used, digest) {
				continue
			}
			n, err := t.exec("delete definition", deleteDefinition, digest)
			if err != nil {
				return err
			}
			deleted += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}

// unusedDefinitions gives the digests that no row refers to, and the seq of the newest operation.
func (t *tx) unusedDefinitions() (unused []string, newest int64, err error) {
	if err := t.row("read newest operation", false, []any{&newest}, newestOperation); err != nil {
		return nil, 0, err
	}
	used := map[string]bool{}
	for _, q := range []struct {
		text string
		args []any
	}{{definitionsOfUses, nil}, {definitionsOfBindings, nil}, {definitionsOfOlder, []any{newest}}} {
		list, err := t.strings("list definitions in use", q.text, q.args...)
		if err != nil {
			return nil, 0, err
		}
		for _, digest := range list {
			used[digest] = true
		}
	}
	known, err := t.strings("list definitions", selectDefinitionsKnown)
	for _, digest := range known {
		if !used[digest] {
			unused = append(unused, digest)
		}
	}
	return unused, newest, err
}
