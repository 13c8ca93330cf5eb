package osbapi

import (
	"net/http"

	"github.com/chandler-broker/chandler/core"
)

// pollInstance is GET /v2/service_instances/:instance_id/last_operation.
func (h *handler) pollInstance(c *call) (reply, error) { return h.poll(c) }

// poll serves both polls. It refuses nothing but what the specification says must
// not be empty: a client may take a 400 to a poll as the end of the operation.
func (h *handler) poll(c *call) (reply, error) {
	c.optional("service_id")
	c.optional("plan_id")
	operation := c.optional("operation")
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	v, err := h.cfg.Broker.Poll(c.r.Context(), core.PollRequest{
		Caller: c.caller, InstanceID: c.instanceID, BindingID: c.bindingID, Operation: operation,
	})
	if err != nil {
		return reply{}, err
	}
	d := doc{"state": v.State}
	d.put("description", v.Description)
	if v.Verb == core.VerbUpdate || v.Verb == core.VerbDeprovision {
		d.put("instance_usable", v.InstanceUsable)
	}
	if v.Verb == core.VerbUpdate {
		d.put("update_repeatable", v.UpdateRepeatable)
	}
	answer := reply{status: http.StatusOK, body: c.version.speak(objOperation, d)}
	if v.State == "in progress" {
		answer.retryAfter = v.RetryAfter
	}
	return answer, nil
}
