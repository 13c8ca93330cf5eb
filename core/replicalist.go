package core

import "context"

// ReplicaView is a live replica as operators see it.
type ReplicaView struct {
	Replica
	// Self is true for the broker that was asked.
	Self bool
}

// Replicas lists the brokers that work over the store now, that is those with a live
// lease, by holder. A broker without Leases is alone: it lists itself, without a holder.
// CodeOverloaded if the store does not answer.
func (b *Broker) Replicas(ctx context.Context) ([]ReplicaView, error) {
	if b.replica == nil {
		return []ReplicaView{{Replica: Replica{Name: b.cfg.ReplicaName, Version: b.cfg.Version}, Self: true}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	replicas, err := b.cfg.Leases.Replicas(ctx)
	if err != nil {
		return nil, Errorf(CodeOverloaded, "The broker's store does not say which replicas there are.").
			WithHint("Ask again in a moment.").WithCause(err)
	}
	self := ""
	if t := b.tenure(); t != nil {
		self = t.holder
	}
	list := make([]ReplicaView, len(replicas))
	for i, r := range replicas {
		list[i] = ReplicaView{Replica: r, Self: r.Holder == self}
	}
	return list, nil
}
