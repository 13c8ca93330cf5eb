package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/chandler-broker/chandler/core"
)

const (
	selectSecret = `SELECT value FROM secrets WHERE instance_id = ? AND binding_id = ? AND name = ?`
	insertSecret = `INSERT INTO secrets (instance_id, binding_id, name, value) VALUES (?, ?, ?, ?)`

	reserve = `INSERT INTO reservations (backend, field, value, instance_id) VALUES (?, ?, ?, ?)
	ON CONFLICT (backend, field, value) DO NOTHING`
	selectReservation = `SELECT instance_id FROM reservations WHERE backend = ? AND field = ? AND value = ?`
	listReservations  = `SELECT value FROM reservations WHERE instance_id = ? AND backend = ? AND field = ?`
	release           = `DELETE FROM reservations WHERE backend = ? AND field = ? AND value = ? AND instance_id = ?`
)

// Secret implements core.Tx. An error of value is returned as it is.
func (t *tx) Secret(instanceID, bindingID, name string, value func() (string, error)) (string, error) {
	if err := t.lock("instance", instanceID); err != nil {
		return "", err
	}
	row := rowID(instanceID, bindingID, name)
	var sealed []byte
	err := t.row("read secret", false, []any{blob{&sealed}}, selectSecret, instanceID, bindingID, name)
	if err == nil {
		o := t.opener("secrets", row)
		return string(o.bytes("value", sealed)), o.err
	}
	if !errors.Is(err, core.ErrNotFound) {
		return "", err
	}
	if err := t.usable(true); err != nil {
		return "", err
	}
	made, err := value()
	if err != nil {
		return "", err
	}
	s := t.sealer("secrets", row)
	arg := s.bytes("value", []byte(made))
	if s.err != nil {
		return "", s.err
	}
	_, err = t.exec("insert secret", insertSecret, instanceID, bindingID, name, arg)
	return made, err
}

// Reserve implements core.Tx.
func (t *tx) Reserve(backend, field, value, instanceID string) error {
	if err := t.lock("instance", instanceID); err != nil {
		return err
	}
	if err := t.lock("reservation", backend, field, value); err != nil {
		return err
	}
	n, err := t.exec("reserve", reserve, backend, field, value, instanceID)
	if err != nil || n == 1 {
		return err
	}
	var holder string
	if err := t.row("reserve", false, []any{&holder}, selectReservation, backend, field, value); err != nil {
		return err
	}
	if holder != instanceID {
		return fmt.Errorf("reserve %s: %w", field, core.ErrBusy)
	}
	return nil
}

// Reserved implements core.Tx.
func (t *tx) Reserved(backend, field, value string) (instanceID string, err error) {
	if err := t.lock("reservation", backend, field, value); err != nil {
		return "", err
	}
	err = t.row("reserved", false, []any{&instanceID}, selectReservation, backend, field, value)
	return instanceID, err
}

// Release implements core.Tx.
func (t *tx) Release(backend, field, instanceID string, keep ...string) error {
	if err := t.usable(true); err != nil {
		return err
	}
	if err := t.lock("instance", instanceID); err != nil {
		return err
	}
	var held []string
	err := t.rows("release", false, func(r rows) error {
		var value string
		err := r.Scan(&value)
		held = append(held, value)
		return err
	}, listReservations, instanceID, backend, field)
	if err != nil {
		return err
	}
	for _, value := range held {
		if slices.Contains(keep, value) {
			continue
		}
		if err := t.lock("reservation", backend, field, value); err != nil {
			return err
		}
		if _, err := t.exec("release", release, backend, field, value, instanceID); err != nil {
			return err
		}
	}
	return nil
}
