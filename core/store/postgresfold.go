package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	foldEvery = 30 * time.Second
	// foldFrom is how many changes of counts are worth a fold, foldBatch how many one
	// transaction folds.
	foldFrom, foldBatch = 500, 20_000
)

// folding is one table of changes that are added up.
type folding struct {
	table, keys, sum string
	lock             int // keeps replicas from folding at once; a writer waits for nobody
}

var foldings = [...]folding{
	{"uses_changes", "service_id, plan_id, backend, definition", "instances", 1},
	{"counts_changes", "name", "n", 2},
}

// fold adds up what triggers have appended to the counts, until ctx ends.
func (p *Postgres) fold(ctx context.Context) {
	for pause(ctx, foldEvery) {
		p.foldOnce(ctx)
	}
}

func (p *Postgres) foldOnce(ctx context.Context) {
	p.folding.Lock()
	defer p.folding.Unlock()
	for i, f := range foldings {
		var err error
		if p.folded[i], err = p.foldTable(ctx, f, p.folded[i]); err != nil && ctx.Err() == nil {
			p.config.Log.Debug("the counts are not folded now", "error", err)
		}
	}
}

// foldTable folds batch by batch, and gives the room of folded rows back, since
// whoever counts reads it all. It gives how many rows are left: where there are many
// different ones, they are not folded in vain each time.
func (p *Postgres) foldTable(ctx context.Context, f folding, left int64) (int64, error) {
	for folded := false; ; folded = true {
		rows, more, err := p.foldSome(ctx, f, left)
		if err != nil {
			return left, err
		}
		if more {
			continue
		}
		if folded {
			bound, cancel := context.WithTimeout(ctx, p.config.Timeout)
			defer cancel()
			_, err = p.own.Exec(bound, "VACUUM "+f.table, pgx.QueryExecModeSimpleProtocol)
		}
		return rows, err
	}
}

// foldSome folds a batch if that is worth it. It gives how many rows there are, and
// whether another batch may be worth it.
func (p *Postgres) foldSome(ctx context.Context, f folding, left int64) (rows int64, more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	err = pgx.BeginFunc(ctx, p.own, func(t pgx.Tx) error {
		var ours bool
		err := t.QueryRow(ctx, fmt.Sprintf("SELECT pg_try_advisory_xact_lock(2, %d), count(*) FROM %s", f.lock, f.table)).Scan(&ours, &rows)
		if err != nil || !ours || rows < 2*left+foldFrom {
			return err
		}
		var deleted, inserted int64
		err = t.QueryRow(ctx, fmt.Sprintf(`WITH d AS (DELETE FROM %[1]s
				WHERE ctid = ANY (ARRAY(SELECT ctid FROM %[1]s LIMIT %[4]d)) RETURNING *),
			i AS (INSERT INTO %[1]s SELECT %[2]s, sum(%[3]s) FROM d GROUP BY %[2]s HAVING sum(%[3]s) <> 0 RETURNING 1)
			SELECT (SELECT count(*) FROM d), (SELECT count(*) FROM i)`,
			f.table, f.keys, f.sum, foldBatch)).Scan(&deleted, &inserted)
		rows += inserted - deleted
		more = err == nil && inserted < deleted/2
		return err
	})
	return rows, more && err == nil, err
}
