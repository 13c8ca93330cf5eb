package osbapi

import (
	"encoding/json"

	"github.com/chandler-broker/chandler/core"
)

// inventoryRow is one thing at a backend as operators see it.
type inventoryRow struct {
	Name       string              `json:"name"`
	State      core.InventoryState `json:"state"`
	InstanceID string              `json:"instance_id,omitempty"`
	Inputs     json.RawMessage     `json:"inputs,omitempty"`
	Attributes json.RawMessage     `json:"attributes,omitempty"`
}

// adminInspect is GET /admin/v1/instances/:instance_id/inspect.
func (h *handler) adminInspect(c *call) (reply, error) {
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	report, err := h.cfg.Broker.Inspect(c.r.Context(), c.instanceID)
	if err != nil {
		return reply{}, err
	}
	drift := report.Drift
	if drift == nil {
		drift = []core.Drift{}
	}
	return ok(doc{"instance_id": report.InstanceID, "backend": report.Backend, "exists": report.Exists, "drift": drift}), nil
}

// adminInventory is GET /admin/v1/backends/:backend/inventory.
func (h *handler) adminInventory(c *call) (reply, error) {
	c.filters("after")
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	page, err := h.cfg.Broker.Inventory(c.r.Context(), c.backend, c.query.values.Get("after"))
	if err != nil {
		return reply{}, err
	}
	rows := make([]inventoryRow, 0, len(page.Items))
	for _, i := range page.Items {
		rows = append(rows, inventoryRow(i))
	}
	body := doc{"inventory": rows}
	if page.Next != "" {
		body["next"] = page.Next
	}
	return ok(body), nil
}

// outcomeWords are the outcomes of an adopt.
var outcomeWords = map[core.Outcome]string{core.Created: "created", core.Unchanged: "unchanged", core.Accepted: "accepted"}

// adminAdopt is POST /admin/v1/instances/:instance_id/adopt.
func (h *handler) adminAdopt(c *call) (reply, error) {
	b, err := c.readBody(h.cfg.MaxBody)
	if err != nil {
		return reply{}, err
	}
	req := core.AdoptRequest{InstanceID: c.instanceID, ServiceID: b.requiredText("service_id"), PlanID: b.requiredText("plan_id"),
		OrganizationGUID: b.text("organization_guid"), SpaceGUID: b.text("space_guid"), Parameters: b.object("parameters")}
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	c.caller.AcceptsIncomplete = true
	answer, err := h.cfg.Broker.Adopt(c.r.Context(), c.caller, req)
	if err != nil {
		return reply{}, err
	}
	body := doc{"instance_id": req.InstanceID, "outcome": outcomeWords[answer.Outcome]}
	if answer.Operation != "" {
		body["operation"] = answer.Operation
	}
	return ok(body), nil
}
