package osbapi

// replicaView is one line of GET /admin/v1/replicas.
type replicaView struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	Holder  string `json:"holder,omitempty"` // names its lease, as operations do; none where the store is for one broker
	Keys    int64  `json:"keys,omitempty"`   // revision of the keyset that it has confirmed; none without encryption
	Self    bool   `json:"self"`             // it gave this answer
}

// adminReplicas is GET /admin/v1/replicas.
func (h *handler) adminReplicas(c *call) (reply, error) {
	replicas, err := h.cfg.Broker.Replicas(c.r.Context())
	if err != nil {
		return reply{}, err
	}
	list := make([]replicaView, len(replicas))
	for i, r := range replicas {
		list[i] = replicaView{Name: r.Name, Version: r.Version, Holder: r.Holder, Keys: r.Keys, Self: r.Self}
	}
	return ok(doc{"replicas": list}), nil
}
