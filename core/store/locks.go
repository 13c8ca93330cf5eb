package store

import (
	"errors"

	"github.com/chandler-broker/chandler/core"
)

// Where Updates run side by side, they are serialisable by two-phase locking: every
// method of tx first locks what its answer depends on or what it changes, and the
// locks stay until the transaction ends. The keys are coarse and follow the lifecycle,
// in which nearly every transaction is about one instance:
//
//	instance ID                    the instance, its bindings, operations and their
//	                               timelines, secrets, fence and held reservations
//	operation ID                   whether there is an operation of this id
//	reservation BACKEND FIELD VALUE
//	definition DIGEST
//	document KEY
//	lease HOLDER
//
// What looks at more than that, such as a list of all instances, locks everything. In
// a View there are no locks, since it sees one state anyway.

// lockMode says how a lock is taken.
type lockMode int

const (
	lockKey   lockMode = iota // alone
	lockShare                 // together with others that share
	lockTry                   // alone, or not at all
	lockAll                   // everything, alone; the key does not matter
)

// lock keeps other Updates from what the parts name.
func (t *tx) lock(parts ...string) error {
	_, err := t.locked(lockKey, parts)
	return err
}

// share is lock for what is only read, by many at once.
func (t *tx) share(parts ...string) error {
	_, err := t.locked(lockShare, parts)
	return err
}

// tryLock is lock unless it had to wait; false then.
func (t *tx) tryLock(parts ...string) (bool, error) { return t.locked(lockTry, parts) }

// lockAll keeps every other Update away.
func (t *tx) lockAll() error {
	_, err := t.locked(lockAll, nil)
	return err
}

func (t *tx) locked(mode lockMode, parts []string) (bool, error) {
	if t.readOnly || t.s.serial() {
		return true, nil
	}
	if err := t.usable(false); err != nil {
		return false, err
	}
	ok, err := t.s.lock(mode, rowID(parts...))
	if err != nil {
		return false, t.failed("lock", err)
	}
	return ok, nil
}

const selectOperationInstance = `SELECT instance_id FROM operations WHERE id = ?`

// lockOperation locks the instance of an operation, which never changes, or the
// absence of the operation.
func (t *tx) lockOperation(id string) error {
	if t.readOnly || t.s.serial() || t.known[id] {
		return nil
	}
	for _, absent := range []bool{false, true} {
		if absent {
			if err := t.lock("operation", id); err != nil {
				return err
			}
		}
		var instance string
		err := t.row("read operation", false, []any{&instance}, selectOperationInstance, id)
		if err == nil {
			t.know(id)
			return t.lock("instance", instance)
		}
		if !errors.Is(err, core.ErrNotFound) {
			return err
		}
	}
	return nil
}

// lockKnown is lockOperation for a row that says itself whose it is.
func (t *tx) lockKnown(op *core.Operation) error {
	if t.readOnly || t.s.serial() {
		return nil
	}
	t.know(op.ID)
	return t.lock("instance", op.InstanceID)
}

// know remembers that the operation's instance is locked.
func (t *tx) know(operation string) {
	if t.known == nil {
		t.known = map[string]bool{}
	}
	t.known[operation] = true
}

const selectReservations = `SELECT backend, field, value FROM reservations WHERE instance_id = ?`

// lockReservations locks the instance and the values that it holds.
func (t *tx) lockReservations(instance string) error {
	if t.readOnly || t.s.serial() {
		return nil
	}
	if err := t.lock("instance", instance); err != nil {
		return err
	}
	var held [][]string
	err := t.rows("list reservations", false, func(r rows) error {
		var backend, field, value string
		err := r.Scan(&backend, &field, &value)
		held = append(held, []string{"reservation", backend, field, value})
		return err
	}, selectReservations, instance)
	if err != nil {
		return err
	}
	for _, parts := range held {
		if err := t.lock(parts...); err != nil {
			return err
		}
	}
	return nil
}
