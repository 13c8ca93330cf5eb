package osbapi

import "net/http"

// getInstance is GET /v2/service_instances/:instance_id.
func (h *handler) getInstance(c *call) (reply, error) {
	c.strictQuery()
	c.optional("service_id") // hints: they must have their form, and change nothing
	c.optional("plan_id")
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	v, err := h.cfg.Broker.Instance(c.r.Context(), c.instanceID)
	if err != nil {
		return reply{}, err
	}
	d := doc{}
	d.put("service_id", v.ServiceID)
	d.put("plan_id", v.PlanID)
	d.put("dashboard_url", v.DashboardURL)
	d.put("parameters", v.Parameters)
	if v.MaintenanceVersion != "" {
		d.put("maintenance_info", doc{"version": v.MaintenanceVersion})
	}
	d.put("metadata", instanceMetadata(c.version, v.Metadata))
	return reply{status: http.StatusOK, body: c.version.speak(objInstance, d)}, nil
}
