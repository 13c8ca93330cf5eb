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

var foldings = []folding{
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
	for _, f := range foldings {
		if err := p.foldTable(ctx, f); err != nil && ctx.Err() == nil {
			p.config.Log.Debug("the counts are not folded now", "error", err)
		}
	}
}

// foldTable folds batch by batch, and gives the room of folded rows back, since
// whoever counts reads it all.
func (p *Postgres) foldTable(ctx context.Context, f folding) error {
	for folded := false; ; folded = true {
		bound, cancel := context.WithTimeout(ctx, p.config.Timeout)
		more, err := p.foldSome(bound, f)
		if err == nil && !more && folded {
			_, err = p.own.Exec(bound, "VACUUM "+f.table, pgx.QueryExecModeSimpleProtocol)
		}
		cancel()
		if err != nil || !more {
			return err
		}
	}
}

// foldSome folds a batch if that is worth it, and tells whether it did.
func (p *Postgres) foldSome(ctx context.Context, f folding) (folded bool, err error) {
	err = pgx.BeginFunc(ctx, p.own, func(t pgx.Tx) error {
		var ours bool
		var surplus int64 // what a fold makes of it stays
		err := t.QueryRow(ctx, fmt.Sprintf(`SELECT pg_try_advisory_xact_lock(2, %d), (SELECT count(*) FROM %[2]s)
			- 2 * (SELECT count(*) FROM (SELECT DISTINCT %[3]s FROM %[2]s) d)`, f.lock, f.table, f.keys)).Scan(&ours, &surplus)
		if err != nil || !ours || surplus < foldFrom {
			return err
		}
		folded = true
		_, err = t.Exec(ctx, fmt.Sprintf(`WITH c AS (DELETE FROM %[1]s
			WHERE ctid = ANY (ARRAY(SELECT ctid FROM %[1]s LIMIT %[4]d)) RETURNING *)
			INSERT INTO %[1]s SELECT %[2]s, sum(%[3]s) FROM c GROUP BY %[2]s HAVING sum(%[3]s) <> 0`,
			f.table, f.keys, f.sum, foldBatch))
		return err
	})
	return folded && err == nil, err
}
