package core

// RevokeOnce looks for expired bindings now.
func (b *Broker) RevokeOnce() { b.revokeOnce() }
