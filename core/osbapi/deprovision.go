package osbapi

import (
	"net/http"

	"github.com/chandler-broker/chandler/core"
)

// deprovision is DELETE /v2/service_instances/:instance_id.
func (h *handler) deprovision(c *call) (reply, error) {
	c.strictQuery()
	req := core.DeprovisionRequest{
		Caller:     c.caller,
		InstanceID: c.instanceID,
		ServiceID:  c.required("service_id"),
		PlanID:     c.required("plan_id"),
	}
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	answer, err := h.cfg.Broker.Deprovision(c.r.Context(), req)
	if err != nil {
		return reply{}, err
	}
	return h.deletedReply(c, answer.Outcome, answer.Operation)
}

// deletedReply is the answer to a deprovision or an unbind: `{}`, or the
// operation that goes on.
func (h *handler) deletedReply(c *call, outcome core.Outcome, operation string) (reply, error) {
	status, err := statusOf(outcome)
	if err != nil {
		return reply{}, err
	}
	answer := reply{status: status, body: doc{}, operation: operation}
	if status == http.StatusAccepted {
		answer.body.put("operation", operation)
		answer.retryAfter = h.cfg.PollAfter
	}
	o := objInstanceChanged
	if c.verb == core.VerbUnbind {
		o = objBindingChanged
	}
	c.version.speak(o, answer.body)
	return answer, nil
}
