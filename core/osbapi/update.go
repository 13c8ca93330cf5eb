package osbapi

import "github.com/chandler-broker/chandler/core"

// update is PATCH /v2/service_instances/:instance_id. previous_values must have
// its form but is not believed: the journal knows better.
func (h *handler) update(c *call) (reply, error) {
	c.strictQuery()
	b, err := c.readBody(h.cfg.MaxBody)
	if err != nil {
		return reply{}, err
	}
	b.object("previous_values")
	req := core.UpdateRequest{
		Caller:      c.caller,
		InstanceID:  c.instanceID,
		ServiceID:   b.requiredText("service_id"),
		PlanID:      b.text("plan_id"),
		Parameters:  b.object("parameters"),
		Context:     b.context(),
		Maintenance: b.maintenance(),
	}
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	answer, err := h.cfg.Broker.Update(c.r.Context(), req)
	if err != nil {
		return reply{}, err
	}
	return h.instanceReply(c, objUpdated, answer)
}
