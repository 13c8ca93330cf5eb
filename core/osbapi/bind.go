package osbapi

import (
	"encoding/json"
	"net/http"

	"github.com/chandler-broker/chandler/core"
)

// bind is PUT …/service_bindings/:binding_id. A body with predecessor_binding_id is
// a rotation, which is complete without the other fields.
func (h *handler) bind(c *call) (reply, error) {
	c.strictQuery()
	b, err := c.readBody(h.cfg.MaxBody)
	if err != nil {
		return reply{}, err
	}
	req := core.BindRequest{
		Caller:      c.caller,
		InstanceID:  c.instanceID,
		BindingID:   c.bindingID,
		Predecessor: b.text("predecessor_binding_id"),
		Parameters:  b.object("parameters"),
		Context:     b.context(),
	}
	ids := b.requiredText
	if req.Predecessor != "" {
		ids = b.text
	}
	req.ServiceID, req.PlanID = ids("service_id"), ids("plan_id")
	req.AppGUID, req.Resource = b.resource()
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	answer, err := h.cfg.Broker.Bind(c.r.Context(), req)
	if err != nil {
		return reply{}, err
	}
	return h.bindReply(c, answer)
}

// resource reads bind_resource and the deprecated app_guid beside it. Members that
// are null, and an app_guid that is empty, are what some platforms send for
// "none"; they are taken out, so that both ways to say nothing are identical.
func (b *body) resource() (appGUID string, resource json.RawMessage) {
	deprecated := b.text("app_guid")
	inner := b.in("bind_resource")
	appGUID = inner.text("app_guid")
	inner.text("route")
	if appGUID == "" {
		delete(inner.fields, "app_guid")
		appGUID = deprecated
	}
	for name := range inner.fields {
		if inner.absent(name) {
			delete(inner.fields, name)
		}
	}
	if len(inner.fields) == 0 {
		return appGUID, nil
	}
	return appGUID, encode(inner.fields)
}

// bindReply is the answer to a bind: the binding, or nothing but the operation
// while it is being made.
func (h *handler) bindReply(c *call, a core.BindingAnswer) (reply, error) {
	status, err := statusOf(a.Outcome)
	if err != nil {
		return reply{}, err
	}
	answer := reply{status: status, operation: a.Operation}
	if status == http.StatusAccepted {
		answer.body = doc{}
		answer.body.put("operation", a.Operation)
		answer.retryAfter = h.cfg.PollAfter
	} else {
		answer.body = bindingBody(c.version, a.Result)
	}
	c.version.speak(objBindingChanged, answer.body)
	return answer, nil
}

// bindingBody has the fields that the answers to a bind and to a fetch share.
func bindingBody(v version, r *core.BindingResult) doc {
	d := doc{}
	if r == nil {
		return d
	}
	d.put("credentials", r.Credentials)
	d.put("syslog_drain_url", r.SyslogDrainURL)
	d.put("route_service_url", r.RouteServiceURL)
	d.put("volume_mounts", r.VolumeMounts)
	d.put("endpoints", r.Endpoints)
	metadata := doc{}
	metadata.put("expires_at", r.ExpiresAt)
	metadata.put("renew_before", r.RenewBefore)
	d.put("metadata", v.speak(objBindingMetadata, metadata))
	return d
}
