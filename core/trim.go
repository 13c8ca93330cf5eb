package core

const (
	// trimAfter is the sweep after which, and from then on every how many, the store is
	// trimmed: not at the start, which has other work, and then every six hours.
	trimAfter, trimEvery = 1, 36
	// keepHistory is how many operations of an instance, and of a binding, stay however
	// old they are.
	keepHistory = 50
)

// trimOnce shortens the history of what lives, and deletes definitions that
// nothing uses, if the store can do so.
func (b *Broker) trimOnce() {
	trimmer, ok := b.cfg.Store.(Trimmer)
	if !ok {
		return
	}
	done, err := trimmer.Trim(b.ctx, b.clock.Now().Add(-b.cfg.KeepTombstones), keepHistory)
	if err != nil && b.ctx.Err() == nil {
		b.cfg.Log.Warn("the store cannot be trimmed now", "error", err)
	}
	if done != (Trimmed{}) {
		b.cfg.Log.Info("the store was trimmed", "operations", done.Operations, "definitions", done.Definitions)
	}
}
