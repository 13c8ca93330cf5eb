package store

import (
	"fmt"

	"github.com/chandler-broker/chandler/core"
)

const (
	addStep = `INSERT INTO steps (operation, seq, at, kind, text, detail)
	SELECT o.seq, coalesce((SELECT max(s.seq) FROM steps s WHERE s.operation = o.seq), 0) + 1, CAST(? AS BIGINT), ?, ?, ?
	FROM operations o WHERE o.id = ? RETURNING seq`
	listSteps = `SELECT seq, at, kind, text, detail FROM steps
	WHERE operation = (SELECT seq FROM operations WHERE id = ?) ORDER BY seq`

	nextFence = `INSERT INTO fences (instance_id, fence) VALUES (?, 1)
	ON CONFLICT (instance_id) DO UPDATE SET fence = fences.fence + 1 RETURNING fence`
)

// AddStep implements core.Tx. core.ErrNotFound if the operation does not exist.
func (t *tx) AddStep(s *core.Step) error {
	if err := t.lockOperation(s.Operation); err != nil {
		return err
	}
	c := t.sealer("steps", stepRow(s))
	text, detail := c.text("text", s.Text), c.text("detail", s.Detail)
	if c.err != nil {
		return c.err
	}
	return t.row("add step", true, []any{&s.Seq}, addStep, micros(s.At), string(s.Kind), text, detail, s.Operation)
}

// stepRow names a step for the Cipher: its number is not known before it is inserted.
func stepRow(s *core.Step) string { return rowID(s.Operation, fmt.Sprint(micros(s.At))) }

// Steps implements core.Tx: in the order of Seq; none for an unknown operation.
func (t *tx) Steps(operation string) ([]*core.Step, error) {
	if err := t.lockOperation(operation); err != nil {
		return nil, err
	}
	var list []*core.Step
	err := t.rows("list steps", false, func(r rows) error {
		s := &core.Step{Operation: operation}
		list = append(list, s)
		if err := r.Scan(&s.Seq, instant{&s.At}, &s.Kind, &s.Text, &s.Detail); err != nil {
			return err
		}
		o := t.opener("steps", stepRow(s))
		s.Text, s.Detail = o.text("text", s.Text), o.text("detail", s.Detail)
		return o.err
	}, listSteps, operation)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// NextFence implements core.Tx.
func (t *tx) NextFence(instanceID string) (int64, error) {
	if err := t.lock("instance", instanceID); err != nil {
		return 0, err
	}
	var fence int64
	err := t.row("raise fence", true, []any{&fence}, nextFence, instanceID)
	return fence, err
}
