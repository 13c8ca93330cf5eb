package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	foldEvery = 30 * time.Second
	// foldFrom is how many changes of a count are worth a fold.
	foldFrom = 500

	// The locks keep replicas from folding at once; a writer waits for nobody.
	foldUses = `WITH c AS (DELETE FROM uses_changes
		WHERE pg_try_advisory_xact_lock(2, 1) AND (SELECT count(*) FROM uses_changes) > $1 RETURNING *)
	INSERT INTO uses_changes SELECT service_id, plan_id, backend, definition, sum(instances)
		FROM c GROUP BY service_id, plan_id, backend, definition HAVING sum(instances) <> 0`
	foldCounts = `WITH c AS (DELETE FROM counts_changes
		WHERE pg_try_advisory_xact_lock(2, 2) AND (SELECT count(*) FROM counts_changes) > $1 RETURNING *)
	INSERT INTO counts_changes SELECT name, sum(n) FROM c GROUP BY name HAVING sum(n) <> 0`
)

// fold adds up what triggers have appended to the counts, until ctx ends.
func (p *Postgres) fold(ctx context.Context) {
	for pause(ctx, foldEvery) {
		p.foldOnce(ctx)
	}
}

func (p *Postgres) foldOnce(ctx context.Context) {
	for table, text := range map[string]string{"uses_changes": foldUses, "counts_changes": foldCounts} {
		if err := p.foldTable(ctx, table, text); err != nil && ctx.Err() == nil {
			p.config.Log.Debug("the counts are not folded now", "error", err)
		}
	}
}

// foldTable also gives the room of folded rows back, since whoever counts reads it all.
func (p *Postgres) foldTable(ctx context.Context, table, text string) error {
	ctx, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	folded, err := p.own.Exec(ctx, text, foldFrom)
	if err == nil && folded.RowsAffected() > 0 {
		_, err = p.own.Exec(ctx, "VACUUM "+table, pgx.QueryExecModeSimpleProtocol)
	}
	return err
}
