package core

// RevokeOnce looks for expired bindings now.
func (b *Broker) RevokeOnce() { b.revokeOnce() }

// RevokeBatch is how many of them it takes at once.
const RevokeBatch = revokeBatch

// Held is how many unfinished operations are counted.
func (b *Broker) Held() int {
	b.sched.census.mu.Lock()
	defer b.sched.census.mu.Unlock()
	return b.sched.census.total
}
