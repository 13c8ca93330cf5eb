package osbapi

import (
	"slices"

	"github.com/chandler-broker/chandler/core"
)

// unbind is DELETE …/service_bindings/:binding_id.
func (h *handler) unbind(c *call) (reply, error) {
	badForm := c.invalid() // of the path and the headers
	c.strictQuery()
	req := core.UnbindRequest{
		Caller:     c.caller,
		InstanceID: c.instanceID,
		BindingID:  c.bindingID,
		ServiceID:  c.required("service_id"),
		PlanID:     c.required("plan_id"),
	}
	if err := c.invalid(); err != nil {
		// A binding that does not exist is gone, however incomplete the query is (decision C-2).
		if badForm == nil && h.unknownBinding(c) {
			return reply{}, core.Errorf(core.CodeGone, "The service binding %q does not exist.", c.bindingID)
		}
		return reply{}, err
	}
	answer, err := h.cfg.Broker.Unbind(c.r.Context(), req)
	if err != nil {
		return reply{}, err
	}
	return h.deletedReply(c, answer.Outcome, answer.Operation)
}

// unknownBinding is true only if the binding certainly has no row, not even one
// that is still being made.
func (h *handler) unknownBinding(c *call) bool {
	_, bindings, err := h.cfg.Broker.InstanceDetail(c.r.Context(), c.instanceID)
	if err != nil {
		return core.CodeOf(err) == core.CodeNotFound
	}
	return !slices.ContainsFunc(bindings, func(b *core.Binding) bool { return b.ID == c.bindingID })
}
