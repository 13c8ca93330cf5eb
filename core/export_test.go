package core

// Watchers tells how many requests wait for an operation.
func Watchers(b *Broker, operation string) int {
	b.sched.mu.Lock()
	defer b.sched.mu.Unlock()
	if w := b.sched.done[operation]; w != nil {
		return w.watched
	}
	return 0
}

// Sweep deletes old tombstones now.
func (b *Broker) Sweep() { b.sweepOnce() }

// Trim shortens the store's history now.
func (b *Broker) Trim() { b.trimOnce() }

// Closing is closed once Close has begun.
func Closing(b *Broker) <-chan struct{} { return b.ctx.Done() }
