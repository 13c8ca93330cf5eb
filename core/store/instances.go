package store

import (
	"errors"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

const instanceColumns = `id, service_id, plan_id, definition, backend, organization_guid, space_guid,
	parameters, context, ready, usable, inputs, outputs, attempted, dashboard_url, maintenance_version,
	labels, attributes, last_operation, created_at, updated_at, plugin_version`

// upsertInstance is for databases to which each statement is a journey.
var upsertInstance = insertInstance + ` ON CONFLICT (id) DO UPDATE SET ` + excluded(instanceColumns)

// excluded sets columns to the values that were not inserted.
func excluded(columns string) string {
	var b strings.Builder
	for i, c := range strings.Split(columns, ",") {
		if i > 0 {
			b.WriteString(", ")
		}
		c = strings.TrimSpace(c)
		b.WriteString(c + " = excluded." + c)
	}
	return b.String()
}

const (
	selectInstance = `SELECT ` + instanceColumns + ` FROM instances WHERE id = ?`

	insertInstance = `INSERT INTO instances (` + instanceColumns + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	// The columns that lists and counts look instances up by are left out where they
	// stay as they are, which is nearly always: that saves the index and the triggers.
	selectInstanceKeys = `SELECT service_id, plan_id, definition, backend FROM instances WHERE id = ?`
	updateInstanceKeys = `UPDATE instances SET service_id = ?, plan_id = ?, definition = ?, backend = ? WHERE id = ?`
	updateInstance     = `UPDATE instances SET organization_guid = ?, space_guid = ?, parameters = ?, context = ?,
	ready = ?, usable = ?, inputs = ?, outputs = ?, attempted = ?, dashboard_url = ?, maintenance_version = ?,
	labels = ?, attributes = ?, last_operation = ?, created_at = ?, updated_at = ?, plugin_version = ? WHERE id = ?`

	deleteInstance             = `DELETE FROM instances WHERE id = ?`
	deleteInstanceSecrets      = `DELETE FROM secrets WHERE instance_id = ?`
	deleteInstanceReservations = `DELETE FROM reservations WHERE instance_id = ?`
	// Operations that are still unfinished lose their secrets when they finish (UpdateOperation).
	orphanInstance = `UPDATE operations SET gone = 1 WHERE instance_id = ?`
	stripInstance  = `UPDATE operations SET wanted = NULL, handle = NULL, seed = NULL
	WHERE instance_id = ? AND state NOT IN ('pending', 'cancelling')`
)

// Instance implements core.Tx.
func (t *tx) Instance(id string) (*core.Instance, error) {
	if err := t.lock("instance", id); err != nil {
		return nil, err
	}
	list, err := t.instances("read instance", selectInstance, id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, core.ErrNotFound
	}
	return list[0], nil
}

// PutInstance implements core.Tx.
func (t *tx) PutInstance(in *core.Instance) error {
	s := t.sealer("instances", in.ID)
	keys := []any{in.ServiceID, in.PlanID, in.Definition, in.Backend}
	rest := []any{in.OrganizationGUID, in.SpaceGUID,
		s.bytes("parameters", in.Parameters), s.bytes("context", in.Context), in.Ready, in.Usable,
		s.bytes("inputs", in.Applied.Inputs), s.bytes("outputs", in.Applied.Outputs),
		s.json("attempted", in.Attempted, len(in.Attempted) > 0), s.text("dashboard_url", in.DashboardURL), in.MaintenanceVersion,
		s.bytes("labels", in.Labels), s.bytes("attributes", in.Attributes), in.LastOperation, micros(in.CreatedAt), micros(in.UpdatedAt), in.Applied.Version}
	if s.err != nil {
		return s.err
	}
	if err := t.usable(true); err != nil {
		return err
	}
	if err := t.lock("instance", in.ID); err != nil {
		return err
	}
	if !t.s.serial() {
		return t.post(upsertInstance, append(append([]any{in.ID}, keys...), rest...)...)
	}
	var service, plan, definition, backend string
	err := t.row("put instance", false, []any{&service, &plan, &definition, &backend}, selectInstanceKeys, in.ID)
	if errors.Is(err, core.ErrNotFound) {
		_, err := t.exec("put instance", insertInstance, append(append([]any{in.ID}, keys...), rest...)...)
		return err
	}
	if err != nil {
		return err
	}
	if service != in.ServiceID || plan != in.PlanID || definition != in.Definition || backend != in.Backend {
		if _, err := t.exec("put instance", updateInstanceKeys, append(keys, in.ID)...); err != nil {
			return err
		}
	}
	_, err = t.exec("put instance", updateInstance, append(rest, in.ID)...)
	return err
}

// DeleteInstance implements core.Tx. Deleting what does not exist is fine.
func (t *tx) DeleteInstance(id string) error {
	if err := t.lockReservations(id); err != nil {
		return err
	}
	for _, query := range []string{deleteInstance, // and, by its foreign key, the bindings
		deleteInstanceSecrets, deleteInstanceReservations, orphanInstance, stripInstance} {
		if _, err := t.exec("delete instance", query, id); err != nil {
			return err
		}
	}
	return nil
}

// Instances implements core.Tx.
func (t *tx) Instances(f core.InstanceFilter) ([]*core.Instance, error) {
	if err := t.lockAll(); err != nil {
		return nil, err
	}
	query, args := t.s.page(f)
	return t.instances("list instances", query, args...)
}

// listInstances builds a query in the order of the ids. Filtered, it takes the
// first ids of each plan and backend that the filter allows, from their index,
// and merges them, so that it never reads more than a page of each. LIMIT has "? + 0",
// since SQLite plans a statement anew each time a bare parameter there is bound.
func listInstances(f core.InstanceFilter) (string, []any) {
	n := limit(f.Limit)
	where, args := conditions(f)
	if where == "" {
		return `SELECT ` + instanceColumns + ` FROM instances WHERE id > ? ORDER BY id LIMIT ? + 0`, []any{f.After, n}
	}
	own, ownArgs := "", []any{}
	if f.ServiceID != "" { // plan ids are unique among services, but nothing here enforces it
		own, ownArgs = " AND service_id = ?", []any{f.ServiceID}
	}
	query := `SELECT ` + instanceColumns + ` FROM instances WHERE rowid IN (
	SELECT i.rowid FROM (SELECT DISTINCT plan_id, backend FROM uses WHERE ` + where + `) u CROSS JOIN instances i
	WHERE i.rowid IN (SELECT rowid FROM instances INDEXED BY instances_by_plan
	WHERE plan_id = u.plan_id AND backend = u.backend AND id > ?` + own + ` ORDER BY id LIMIT ? + 0)
	ORDER BY i.id LIMIT ? + 0) ORDER BY id`
	return query, append(append(append(args, f.After), ownArgs...), n, n)
}

// conditions are the filter's, on the columns of the table uses.
func conditions(f core.InstanceFilter) (where string, args []any) {
	for _, c := range []struct{ column, value string }{
		{"service_id", f.ServiceID}, {"plan_id", f.PlanID}, {"backend", f.Backend},
	} {
		if c.value == "" {
			continue
		}
		if where != "" {
			where += " AND "
		}
		where += c.column + " = ?"
		args = append(args, c.value)
	}
	return where, args
}

func (t *tx) instances(what, query string, args ...any) ([]*core.Instance, error) {
	var list []*core.Instance
	err := t.rows(what, false, func(r rows) error {
		in, err := t.scanInstance(r)
		list = append(list, in)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (t *tx) scanInstance(r rows) (*core.Instance, error) {
	var in core.Instance
	var parameters, context, inputs, outputs, attempted, labels, attributes []byte
	err := r.Scan(&in.ID, &in.ServiceID, &in.PlanID, &in.Definition, &in.Backend, &in.OrganizationGUID, &in.SpaceGUID,
		blob{&parameters}, blob{&context}, &in.Ready, &in.Usable, blob{&inputs}, blob{&outputs}, blob{&attempted},
		&in.DashboardURL, &in.MaintenanceVersion, blob{&labels}, blob{&attributes}, &in.LastOperation,
		instant{&in.CreatedAt}, instant{&in.UpdatedAt}, &in.Applied.Version)
	if err != nil {
		return nil, err
	}
	o := t.opener("instances", in.ID)
	in.Parameters = o.bytes("parameters", parameters)
	in.Context = o.bytes("context", context)
	in.Applied.Inputs, in.Applied.Outputs = o.bytes("inputs", inputs), o.bytes("outputs", outputs)
	o.json("attempted", attempted, &in.Attempted)
	in.DashboardURL = o.text("dashboard_url", in.DashboardURL)
	in.Labels, in.Attributes = o.bytes("labels", labels), o.bytes("attributes", attributes)
	return &in, o.err
}
