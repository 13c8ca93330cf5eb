package store

import (
	"time"

	"github.com/chandler-broker/chandler/core"
)

const bindingColumns = `instance_id, id, service_id, plan_id, definition, backend, request, parameters, context,
	resource, predecessor, ready, inputs, outputs, attempted, result, last_operation, created_at, updated_at, plugin_version, revoke_at`

const (
	selectBinding = `SELECT ` + bindingColumns + ` FROM bindings WHERE instance_id = ? AND id = ?`
	listBindings  = `SELECT ` + bindingColumns + ` FROM bindings WHERE instance_id = ? ORDER BY id`
	listToRevoke  = `SELECT ` + bindingColumns + ` FROM bindings INDEXED BY bindings_to_revoke
	WHERE revoke_at BETWEEN ? AND ? AND (revoke_at, instance_id, id) > (?, ?, ?) AND NOT EXISTS (SELECT 1 FROM operations INDEXED BY operations_unfinished
	WHERE operations.instance_id = bindings.instance_id AND operations.binding_id IN ('', bindings.id) AND ` + unfinished + `)
	ORDER BY revoke_at, instance_id, id LIMIT ?`

	putBinding = `INSERT INTO bindings (` + bindingColumns + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (instance_id, id) DO UPDATE SET service_id = excluded.service_id, plan_id = excluded.plan_id,
	definition = excluded.definition, backend = excluded.backend, request = excluded.request,
	parameters = excluded.parameters, context = excluded.context, resource = excluded.resource,
	predecessor = excluded.predecessor, ready = excluded.ready, inputs = excluded.inputs,
	outputs = excluded.outputs, attempted = excluded.attempted, result = excluded.result,
	last_operation = excluded.last_operation, created_at = excluded.created_at, updated_at = excluded.updated_at,
	plugin_version = excluded.plugin_version, revoke_at = excluded.revoke_at`

	deleteBinding        = `DELETE FROM bindings WHERE instance_id = ? AND id = ?`
	deleteBindingSecrets = `DELETE FROM secrets WHERE instance_id = ? AND binding_id = ?`
	// Operations that are still unfinished lose their secrets when they finish (UpdateOperation).
	orphanBinding = `UPDATE operations SET gone = 1 WHERE instance_id = ? AND binding_id = ?`
	stripBinding  = `UPDATE operations SET wanted = NULL, handle = NULL, seed = NULL
	WHERE instance_id = ? AND binding_id = ? AND state NOT IN ('pending', 'cancelling')`
)

// Binding implements core.Tx.
func (t *tx) Binding(instanceID, id string) (*core.Binding, error) {
	if err := t.lock("instance", instanceID); err != nil {
		return nil, err
	}
	list, err := t.bindings("read binding", selectBinding, instanceID, id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, core.ErrNotFound
	}
	return list[0], nil
}

// PutBinding implements core.Tx. core.ErrNotFound if the instance does not exist.
func (t *tx) PutBinding(b *core.Binding) error {
	s := t.sealer("bindings", rowID(b.InstanceID, b.ID))
	args := []any{b.InstanceID, b.ID, b.ServiceID, b.PlanID, b.Definition, b.Backend, s.text("request", b.Request),
		s.bytes("parameters", b.Parameters), s.bytes("context", b.Context), s.bytes("resource", b.Resource),
		b.Predecessor, b.Ready, s.bytes("inputs", b.Applied.Inputs), s.bytes("outputs", b.Applied.Outputs),
		s.json("attempted", b.Attempted, len(b.Attempted) > 0), s.json("result", b.Result, b.Result != nil),
		b.LastOperation, micros(b.CreatedAt), micros(b.UpdatedAt), b.Applied.Version, micros(b.RevokeAt)}
	if s.err != nil {
		return s.err
	}
	if err := t.lock("instance", b.InstanceID); err != nil {
		return err
	}
	_, err := t.exec("put binding", putBinding, args...)
	return err
}

// DeleteBinding implements core.Tx. Deleting what does not exist is fine.
func (t *tx) DeleteBinding(instanceID, id string) error {
	if id == "" {
		return core.ErrNotFound // "" stands for the instance in the tables below
	}
	if err := t.lock("instance", instanceID); err != nil {
		return err
	}
	for _, query := range []string{deleteBinding, deleteBindingSecrets, orphanBinding, stripBinding} {
		if _, err := t.exec("delete binding", query, instanceID, id); err != nil {
			return err
		}
	}
	return nil
}

// Bindings implements core.Tx.
func (t *tx) Bindings(instanceID string) ([]*core.Binding, error) {
	if err := t.lock("instance", instanceID); err != nil {
		return nil, err
	}
	return t.bindings("list bindings", listBindings, instanceID)
}

// ToRevoke implements core.Tx.
func (t *tx) ToRevoke(at time.Time, after *core.Binding, limit int) ([]*core.Binding, error) {
	if err := t.lockAll(); err != nil {
		return nil, err
	}
	var from int64 // before all
	var instance, id string
	if after != nil {
		from, instance, id = after.RevokeAt.UnixMicro(), after.InstanceID, after.ID
	}
	return t.bindings("list bindings to revoke", listToRevoke, from, at.UnixMicro(), from, instance, id, limit)
}

func (t *tx) bindings(what, query string, args ...any) ([]*core.Binding, error) {
	var list []*core.Binding
	err := t.rows(what, false, func(r rows) error {
		b, err := t.scanBinding(r)
		list = append(list, b)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (t *tx) scanBinding(r rows) (*core.Binding, error) {
	var b core.Binding
	var parameters, context, resource, inputs, outputs, attempted, result []byte
	err := r.Scan(&b.InstanceID, &b.ID, &b.ServiceID, &b.PlanID, &b.Definition, &b.Backend, &b.Request,
		blob{&parameters}, blob{&context}, blob{&resource}, &b.Predecessor, &b.Ready, blob{&inputs}, blob{&outputs},
		blob{&attempted}, blob{&result}, &b.LastOperation, instant{&b.CreatedAt}, instant{&b.UpdatedAt}, &b.Applied.Version, instant{&b.RevokeAt})
	if err != nil {
		return nil, err
	}
	o := t.opener("bindings", rowID(b.InstanceID, b.ID))
	b.Request = o.text("request", b.Request)
	b.Parameters = o.bytes("parameters", parameters)
	b.Context = o.bytes("context", context)
	b.Resource = o.bytes("resource", resource)
	b.Applied.Inputs, b.Applied.Outputs = o.bytes("inputs", inputs), o.bytes("outputs", outputs)
	o.json("attempted", attempted, &b.Attempted)
	o.json("result", result, &b.Result)
	return &b, o.err
}
