package store

import (
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// statesAtOnce is how many operations one statement asks for. There is one
// statement, whatever the number, so that it is prepared once.
const statesAtOnce = 200

const instancesOfHolder = `SELECT DISTINCT instance_id FROM operations INDEXED BY operations_by_holder
	WHERE holder = ? AND ` + unfinished + ` ORDER BY instance_id`

const operationsOfHolder = `SELECT id, instance_id FROM operations INDEXED BY operations_by_holder
	WHERE holder = ? AND ` + unfinished

var statesOfOperations = `SELECT id, state FROM operations WHERE id IN (` + strings.Repeat("?, ", statesAtOnce-1) + `?)`

// Held implements core.Tx.
func (t *tx) Held(holder string) ([]string, error) {
	if err := t.lockAll(); err != nil {
		return nil, err
	}
	var list []string
	err := t.rows("list held instances", false, func(r rows) error {
		var id string
		err := r.Scan(&id)
		list = append(list, id)
		return err
	}, instancesOfHolder, holder)
	return list, err
}

// HeldOperations implements core.Tx.
func (t *tx) HeldOperations(holder string) (map[string]string, error) {
	if err := t.lockAll(); err != nil {
		return nil, err
	}
	instances := map[string]string{}
	err := t.rows("list held operations", false, func(r rows) error {
		var id, instance string
		err := r.Scan(&id, &instance)
		instances[id] = instance
		return err
	}, operationsOfHolder, holder)
	return instances, err
}

// States implements core.Tx.
func (t *tx) States(operations []string) (map[string]core.OperationState, error) {
	for _, id := range operations {
		if err := t.lockOperation(id); err != nil {
			return nil, err
		}
	}
	states := make(map[string]core.OperationState, len(operations))
	for ids := range slices.Chunk(operations, statesAtOnce) {
		args := make([]any, statesAtOnce)
		for i := range args {
			args[i] = ids[min(i, len(ids)-1)] // the last one again fills the statement
		}
		err := t.rows("read states", false, func(r rows) error {
			var id string
			var state core.OperationState
			err := r.Scan(&id, &state)
			states[id] = state
			return err
		}, statesOfOperations, args...)
		if err != nil {
			return nil, err
		}
	}
	return states, nil
}
