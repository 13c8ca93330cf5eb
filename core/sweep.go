package core

import "time"

// Tombstones are looked at often enough that none lives much longer than
// configured, and deleted in batches so that no transaction is long.
const (
	sweepEvery = 10 * time.Minute
	sweepBatch = 500
)

// sweep deletes old tombstones, and now and then trims the store, until the broker closes.
func (b *Broker) sweep() {
	defer b.wg.Done()
	for n := 0; ; n++ {
		b.sweepOnce()
		if n%trimEvery == trimAfter {
			b.trimOnce()
		}
		if !b.pause(b.ctx, sweepEvery) {
			return
		}
	}
}

// sweepOnce deletes the tombstones that are older than configured.
func (b *Broker) sweepOnce() {
	before := b.clock.Now().Add(-b.cfg.KeepTombstones)
	for b.ctx.Err() == nil {
		deleted := 0
		err := b.commit(b.ctx, writeSweep, func(tx Tx, _ *effects) (err error) {
			deleted, err = tx.DeleteTombstones(before, sweepBatch)
			return err
		})
		if err != nil {
			b.cfg.Log.Warn("old tombstones cannot be deleted now", "error", err)
			return
		}
		if deleted > 0 {
			b.cfg.Log.Info("old tombstones deleted", "operations", deleted)
		}
		if deleted < sweepBatch {
			return
		}
	}
}
