package osbapi

import (
	"net/http"

	"github.com/chandler-broker/chandler/core"
)

// provision is PUT /v2/service_instances/:instance_id.
func (h *handler) provision(c *call) (reply, error) {
	c.strictQuery()
	b, err := c.readBody(h.cfg.MaxBody)
	if err != nil {
		return reply{}, err
	}
	req := core.ProvisionRequest{
		Caller:           c.caller,
		InstanceID:       c.instanceID,
		ServiceID:        b.requiredText("service_id"),
		PlanID:           b.requiredText("plan_id"),
		OrganizationGUID: b.requiredText("organization_guid"),
		SpaceGUID:        b.requiredText("space_guid"),
		Parameters:       b.object("parameters"),
		Context:          b.context(),
		Maintenance:      b.maintenance(),
	}
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	answer, err := h.cfg.Broker.Provision(c.r.Context(), req)
	if err != nil {
		return reply{}, err
	}
	return h.instanceReply(c, objInstanceChanged, answer)
}

// instanceReply is the answer to a provision or an update.
func (h *handler) instanceReply(c *call, o object, a core.InstanceAnswer) (reply, error) {
	status, err := statusOf(a.Outcome)
	if err != nil {
		return reply{}, err
	}
	d := doc{}
	d.put("dashboard_url", a.DashboardURL)
	d.put("metadata", instanceMetadata(c.version, a.Metadata))
	answer := reply{status: status, body: d, operation: a.Operation}
	if status == http.StatusAccepted {
		d.put("operation", a.Operation)
		answer.retryAfter = h.cfg.PollAfter
	}
	c.version.speak(o, d)
	return answer, nil
}

// statusOf gives the status of a success.
func statusOf(o core.Outcome) (int, error) {
	switch o {
	case core.Created:
		return http.StatusCreated, nil
	case core.Unchanged, core.Done:
		return http.StatusOK, nil
	case core.Accepted:
		return http.StatusAccepted, nil
	}
	return 0, core.Errorf(core.CodeFailed, "The broker could not complete the request.").
		WithDetail("the broker gave the unknown outcome %d", o)
}

func instanceMetadata(v version, m core.InstanceMetadata) doc {
	d := doc{}
	d.put("labels", m.Labels)
	d.put("attributes", m.Attributes)
	return v.speak(objInstanceMetadata, d)
}
