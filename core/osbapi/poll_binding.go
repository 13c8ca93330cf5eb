package osbapi

// pollBinding is GET …/service_bindings/:binding_id/last_operation.
func (h *handler) pollBinding(c *call) (reply, error) { return h.poll(c) }
