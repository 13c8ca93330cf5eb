package osbapi

import (
	"encoding/json"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// instanceRow is an instance as operators see it.
type instanceRow struct {
	ID                 string          `json:"id"`
	ServiceID          string          `json:"service_id"`
	Service            string          `json:"service,omitempty"` // name, if the catalog knows it
	PlanID             string          `json:"plan_id"`
	Plan               string          `json:"plan,omitempty"`
	Retired            bool            `json:"retired,omitempty"` // the plan left the catalog
	Backend            string          `json:"backend"`
	Definition         string          `json:"definition"`
	OrganizationGUID   string          `json:"organization_guid,omitempty"`
	SpaceGUID          string          `json:"space_guid,omitempty"`
	Parameters         json.RawMessage `json:"parameters,omitempty"`
	Context            json.RawMessage `json:"context,omitempty"`
	Ready              bool            `json:"ready"`
	Usable             bool            `json:"usable"`
	DashboardURL       string          `json:"dashboard_url,omitempty"`
	MaintenanceVersion string          `json:"maintenance_version,omitempty"`
	Labels             json.RawMessage `json:"labels,omitempty"`
	Attributes         json.RawMessage `json:"attributes,omitempty"`
	LastOperation      string          `json:"last_operation,omitempty"`
	CreatedAt          time.Time       `json:"created_at"`
	UpdatedAt          time.Time       `json:"updated_at"`
}

// bindingRow is a binding as operators see it: never its credentials.
type bindingRow struct {
	ID            string          `json:"id"`
	InstanceID    string          `json:"instance_id"`
	ServiceID     string          `json:"service_id"`
	PlanID        string          `json:"plan_id"`
	Backend       string          `json:"backend"`
	Definition    string          `json:"definition"`
	Parameters    json.RawMessage `json:"parameters,omitempty"`
	Resource      json.RawMessage `json:"bind_resource,omitempty"`
	Predecessor   string          `json:"predecessor_binding_id,omitempty"`
	Ready         bool            `json:"ready"`
	ExpiresAt     string          `json:"expires_at,omitempty"`
	RenewBefore   string          `json:"renew_before,omitempty"`
	LastOperation string          `json:"last_operation,omitempty"`
	CreatedAt     time.Time       `json:"created_at"`
	UpdatedAt     time.Time       `json:"updated_at"`
}

func newInstanceRow(s *core.Snapshot, i *core.Instance) instanceRow {
	row := instanceRow{
		ID: i.ID, ServiceID: i.ServiceID, PlanID: i.PlanID, Backend: i.Backend, Definition: i.Definition,
		OrganizationGUID: i.OrganizationGUID, SpaceGUID: i.SpaceGUID,
		Parameters: i.Parameters, Context: i.Context, Ready: i.Ready, Usable: i.Usable,
		DashboardURL: i.DashboardURL, MaintenanceVersion: i.MaintenanceVersion,
		Labels: i.Labels, Attributes: i.Attributes, LastOperation: i.LastOperation,
		CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt,
	}
	if p := s.Plan(i.ServiceID, i.PlanID); p != nil {
		row.Service, row.Plan, row.Retired = p.Service.Name, p.Name, p.Retired
	}
	return row
}

func newBindingRow(b *core.Binding) bindingRow {
	row := bindingRow{
		ID: b.ID, InstanceID: b.InstanceID, ServiceID: b.ServiceID, PlanID: b.PlanID,
		Backend: b.Backend, Definition: b.Definition, Parameters: b.Parameters, Resource: b.Resource,
		Predecessor: b.Predecessor, Ready: b.Ready, LastOperation: b.LastOperation,
		CreatedAt: b.CreatedAt, UpdatedAt: b.UpdatedAt,
	}
	if b.Result != nil {
		row.ExpiresAt, row.RenewBefore = b.Result.ExpiresAt, b.Result.RenewBefore
	}
	return row
}

// adminInstances is GET /admin/v1/instances.
func (h *handler) adminInstances(c *call) (reply, error) {
	c.filters("service_id", "plan_id", "backend", "after", "limit")
	q := c.query.values
	filter := core.InstanceFilter{
		ServiceID: q.Get("service_id"), PlanID: q.Get("plan_id"), Backend: q.Get("backend"),
		After: q.Get("after"), Limit: c.limit(),
	}
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	list, err := h.cfg.Broker.Instances(c.r.Context(), filter)
	if err != nil {
		return reply{}, err
	}
	rows := make([]instanceRow, 0, len(list))
	for _, i := range list {
		rows = append(rows, newInstanceRow(h.cfg.Broker.Catalog(), i))
	}
	body := doc{"instances": rows}
	if len(rows) == filter.Limit {
		body["next"] = rows[len(rows)-1].ID
	}
	return ok(body), nil
}

// adminInstance is GET /admin/v1/instances/:instance_id.
func (h *handler) adminInstance(c *call) (reply, error) {
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	i, bindings, err := h.cfg.Broker.InstanceDetail(c.r.Context(), c.instanceID)
	if err != nil {
		return reply{}, err
	}
	rows := make([]bindingRow, 0, len(bindings))
	for _, b := range bindings {
		rows = append(rows, newBindingRow(b))
	}
	return ok(doc{"instance": newInstanceRow(h.cfg.Broker.Catalog(), i), "bindings": rows}), nil
}

// adminPurge is POST /admin/v1/instances/:instance_id/purge.
func (h *handler) adminPurge(c *call) (reply, error) {
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	report, err := h.cfg.Broker.Purge(c.r.Context(), c.caller, c.instanceID)
	if err != nil {
		return reply{}, err
	}
	return ok(doc{
		"instance_id": report.InstanceID, "backend": report.Backend,
		"bindings": orEmpty(report.Bindings), "may_be_left": orEmpty(report.MayBeLeft),
	}), nil
}

// orEmpty makes [] of what JSON would show as null.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
