package store

import (
	"strings"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// changing are the columns that UpdateOperation writes; an operation's id, verb,
// instance and binding never change.
const (
	fixedColumns    = `id, verb, instance_id, binding_id`
	changingColumns = `state, phase, request, definition, backend, service_id, plan_id, wanted, handle, seed,
	fence, calls, next_at, failures, deadline, progress_text, progress_percent, detached, reported, cancelled_by,
	error, left_behind, "user", identity, request_id, trace, holder, epoch, created_at, started_at, finished_at`
	operationColumns = fixedColumns + `, ` + changingColumns

	unfinished = `state IN ('pending', 'cancelling')` // exactly as in the partial index
)

var (
	insertOperation = `INSERT INTO operations (` + operationColumns + `, gone) VALUES (` +
		strings.Repeat("?, ", strings.Count(operationColumns, ",")+1) + `?)`
	updateOperation = `UPDATE operations SET ` + strings.ReplaceAll(changingColumns, ",", " = ?,") + ` = ?, gone = ? WHERE id = ?`
)

const (
	selectOperation = `SELECT ` + operationColumns + ` FROM operations WHERE id = ?`
	latestOperation = `SELECT ` + operationColumns + ` FROM operations INDEXED BY operations_by_target
	WHERE instance_id = ? AND binding_id = ? ORDER BY seq DESC LIMIT 1`
	unfinishedOfInstance = `SELECT ` + operationColumns + ` FROM operations INDEXED BY operations_unfinished
	WHERE instance_id = ? AND ` + unfinished + ` ORDER BY seq`
	unfinishedOfAll = `SELECT ` + operationColumns + ` FROM operations INDEXED BY operations_unfinished
	WHERE ` + unfinished + ` ORDER BY seq`

	deleteOperation = `DELETE FROM operations WHERE id = ?` // and, by its foreign key, the steps

	// isGone is 1 if the row was orphaned or its instance or binding does not exist.
	isGone = `SELECT coalesce((SELECT gone FROM operations WHERE id = ?), 0) = 1 OR NOT EXISTS (
	SELECT 1 FROM instances WHERE id = ?) OR (? <> '' AND NOT EXISTS (
	SELECT 1 FROM bindings WHERE instance_id = ? AND id = ?))`

	selectTombstones = `SELECT seq, instance_id FROM operations INDEXED BY operations_tombstones
	WHERE gone = 1 AND finished_at IS NOT NULL AND finished_at < ? ORDER BY finished_at LIMIT ? + 0`
	deleteTombstone  = `DELETE FROM operations WHERE seq = ? AND gone = 1`
	deleteTombstones = `DELETE FROM operations WHERE seq IN (
	SELECT seq FROM operations INDEXED BY operations_tombstones
	WHERE gone = 1 AND finished_at IS NOT NULL AND finished_at < ? ORDER BY finished_at LIMIT ?)`
)

// Operation implements core.Tx.
func (t *tx) Operation(id string) (*core.Operation, error) {
	if err := t.lockOperation(id); err != nil {
		return nil, err
	}
	return t.operation("read operation", selectOperation, id)
}

// LatestOperation implements core.Tx. The order is that of InsertOperation,
// whatever CreatedAt says.
func (t *tx) LatestOperation(instanceID, bindingID string) (*core.Operation, error) {
	if err := t.lock("instance", instanceID); err != nil {
		return nil, err
	}
	return t.operation("read latest operation", latestOperation, instanceID, bindingID)
}

// Unfinished implements core.Tx.
func (t *tx) Unfinished(instanceID string) ([]*core.Operation, error) {
	if instanceID == "" {
		if err := t.lockAll(); err != nil {
			return nil, err
		}
		return t.operations("list unfinished operations", unfinishedOfAll)
	}
	if err := t.lock("instance", instanceID); err != nil {
		return nil, err
	}
	return t.operations("list unfinished operations", unfinishedOfInstance, instanceID)
}

// InsertOperation implements core.Tx.
func (t *tx) InsertOperation(op *core.Operation) error {
	if err := t.lock("operation", op.ID); err != nil {
		return err
	}
	if err := t.lockKnown(op); err != nil {
		return err
	}
	values, err := t.changing(op)
	if err != nil {
		return err
	}
	args := append([]any{op.ID, string(op.Verb), op.InstanceID, op.BindingID}, values...)
	_, err = t.exec("insert operation", insertOperation, args...)
	return err
}

// UpdateOperation implements core.Tx. The verb, the instance and the binding stay as inserted.
func (t *tx) UpdateOperation(op *core.Operation) error {
	if err := t.lockKnown(op); err != nil {
		return err
	}
	values, err := t.changing(op)
	if err != nil {
		return err
	}
	n, err := t.exec("update operation", updateOperation, append(values, op.ID)...)
	if err == nil && n == 0 {
		return core.ErrNotFound
	}
	return err
}

// DeleteOperation implements core.Tx. Deleting what does not exist is fine.
func (t *tx) DeleteOperation(id string) error {
	if err := t.lockOperation(id); err != nil {
		return err
	}
	_, err := t.exec("delete operation", deleteOperation, id)
	return err
}

// DeleteTombstones implements core.Tx.
func (t *tx) DeleteTombstones(before time.Time, limit int) (int, error) {
	if !t.s.serial() {
		return t.deleteTombstonesOneByOne(before, limit)
	}
	n, err := t.exec("delete tombstones", deleteTombstones, before.UnixMicro(), max(limit, 0))
	return int(n), err
}

// deleteTombstonesOneByOne locks instance by instance, so that nobody else waits.
func (t *tx) deleteTombstonesOneByOne(before time.Time, limit int) (deleted int, err error) {
	if err := t.usable(true); err != nil {
		return 0, err
	}
	var old []past
	err = t.rows("list tombstones", false, func(r rows) error {
		var p past
		err := r.Scan(&p.seq, &p.instance)
		old = append(old, p)
		return err
	}, selectTombstones, before.UnixMicro(), max(limit, 0))
	if err != nil {
		return 0, err
	}
	for _, p := range old {
		if err := t.lock("instance", p.instance); err != nil {
			return 0, err
		}
		n, err := t.exec("delete tombstone", deleteTombstone, p.seq)
		if err != nil {
			return 0, err
		}
		deleted += int(n)
	}
	return deleted, nil
}

// gone tells whether a finished operation is a tombstone. It is asked when the
// operation finishes, since the row of its instance or binding may have gone
// before or after; tombstones carry no secrets in either order.
func (t *tx) gone(op *core.Operation) (bool, error) {
	if op.State.Unfinished() {
		return false, t.usable(true)
	}
	var gone bool
	err := t.row("read operation", false, []any{&gone}, isGone,
		op.ID, op.InstanceID, op.BindingID, op.InstanceID, op.BindingID)
	return gone, err
}

// changing gives the values of changingColumns and of gone.
func (t *tx) changing(op *core.Operation) ([]any, error) {
	gone, err := t.gone(op)
	if err != nil {
		return nil, err
	}
	s := t.sealer("operations", op.ID)
	wanted, handle, seed := any(nil), any(nil), any(nil)
	if !gone {
		wanted, handle, seed = s.json("wanted", op.Wanted, true), s.bytes("handle", op.Handle), s.bytes("seed", op.Seed)
	}
	return []any{string(op.State), string(op.Phase), s.text("request", op.Request), op.Definition, op.Backend,
		op.Wanted.ServiceID, op.Wanted.PlanID, wanted, handle, seed,
		op.Fence, op.Calls, micros(op.NextAt), op.Failures, micros(op.Deadline), s.text("progress_text", op.ProgressText), op.ProgressPercent,
		op.Detached, op.Reported, op.CancelledBy,
		s.json("error", op.Error, op.Error != nil), s.json("left_behind", op.Left, len(op.Left) > 0), op.User, s.bytes("identity", op.Identity), op.RequestID, op.Trace,
		op.Holder, op.Epoch, micros(op.CreatedAt), micros(op.StartedAt), micros(op.FinishedAt), flag(gone)}, s.err
}

// flag is how the column gone is stored; its indexes compare it with 1.
func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (t *tx) operation(what, query string, args ...any) (*core.Operation, error) {
	list, err := t.operations(what, query, args...)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, core.ErrNotFound
	}
	return list[0], nil
}

func (t *tx) operations(what, query string, args ...any) ([]*core.Operation, error) {
	var list []*core.Operation
	err := t.rows(what, false, func(r rows) error {
		op, err := t.scanOperation(r)
		list = append(list, op)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (t *tx) scanOperation(r rows) (*core.Operation, error) {
	var op core.Operation
	var service, plan string // inside Wanted, too, unless this is a tombstone
	var wanted, handle, seed, failure, left, identity []byte
	err := r.Scan(&op.ID, &op.Verb, &op.InstanceID, &op.BindingID, &op.State, &op.Phase, &op.Request, &op.Definition,
		&op.Backend, &service, &plan, blob{&wanted}, blob{&handle}, blob{&seed}, &op.Fence, &op.Calls,
		instant{&op.NextAt}, &op.Failures, instant{&op.Deadline}, &op.ProgressText, &op.ProgressPercent,
		&op.Detached, &op.Reported, &op.CancelledBy, blob{&failure}, blob{&left}, &op.User, blob{&identity},
		&op.RequestID, &op.Trace, &op.Holder, &op.Epoch, instant{&op.CreatedAt},
		instant{&op.StartedAt}, instant{&op.FinishedAt})
	if err != nil {
		return nil, err
	}
	o := t.opener("operations", op.ID)
	o.json("wanted", wanted, &op.Wanted)
	op.Wanted.ServiceID, op.Wanted.PlanID = service, plan
	op.Handle, op.Seed = o.bytes("handle", handle), o.bytes("seed", seed)
	op.Identity, op.Request, op.ProgressText = o.bytes("identity", identity), o.text("request", op.Request), o.text("progress_text", op.ProgressText)
	o.json("error", failure, &op.Error)
	o.json("left_behind", left, &op.Left)
	return &op, o.err
}
