package store

import (
	"database/sql"

	"github.com/chandler-broker/chandler/core"
)

const (
	addStep = `INSERT INTO steps (operation, seq, at, kind, text, detail)
	SELECT o.seq, coalesce((SELECT max(s.seq) FROM steps s WHERE s.operation = o.seq), 0) + 1, ?, ?, ?, ?
	FROM operations o WHERE o.id = ? RETURNING seq`
	listSteps = `SELECT seq, at, kind, text, detail FROM steps
	WHERE operation = (SELECT seq FROM operations WHERE id = ?) ORDER BY seq`

	nextFence = `INSERT INTO fences (instance_id, fence) VALUES (?, 1)
	ON CONFLICT (instance_id) DO UPDATE SET fence = fence + 1 RETURNING fence`
)

// AddStep implements core.Tx. core.ErrNotFound if the operation does not exist.
func (t *tx) AddStep(s *core.Step) error {
	return t.row("add step", true, []any{&s.Seq}, addStep, micros(s.At), string(s.Kind), s.Text, s.Detail, s.Operation)
}

// Steps implements core.Tx: in the order of Seq; none for an unknown operation.
func (t *tx) Steps(operation string) ([]*core.Step, error) {
	var list []*core.Step
	err := t.rows("list steps", false, func(r *sql.Rows) error {
		s := &core.Step{Operation: operation}
		list = append(list, s)
		return r.Scan(&s.Seq, instant{&s.At}, &s.Kind, &s.Text, &s.Detail)
	}, listSteps, operation)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// NextFence implements core.Tx.
func (t *tx) NextFence(instanceID string) (int64, error) {
	var fence int64
	err := t.row("raise fence", true, []any{&fence}, nextFence, instanceID)
	return fence, err
}
