package osbapi

import "net/http"

// getBinding is GET …/service_bindings/:binding_id.
func (h *handler) getBinding(c *call) (reply, error) {
	c.strictQuery()
	c.optional("service_id")
	c.optional("plan_id")
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	v, err := h.cfg.Broker.Binding(c.r.Context(), c.instanceID, c.bindingID)
	if err != nil {
		return reply{}, err
	}
	d := bindingBody(c.version, v.Result)
	d.put("parameters", v.Parameters)
	return reply{status: http.StatusOK, body: c.version.speak(objBinding, d)}, nil
}
