package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

func (c *suite) roundTrip(t *testing.T) {
	t.Run("every field", func(t *testing.T) {
		s := c.open(t)
		in := filled(&core.Instance{}, "i")
		b := filled(&core.Binding{}, "b")
		b.InstanceID = in.ID
		op := filled(&core.Operation{}, "o")
		op.InstanceID, op.BindingID, op.State = in.ID, b.ID, core.OperationPending
		step := filled(&core.Step{}, "s")
		step.Operation = op.ID
		update(t, s, func(tx core.Tx) error {
			return all(tx, putInstance(in), func(tx core.Tx) error { return tx.PutBinding(b) }, insert(op),
				func(tx core.Tx) error { return tx.AddStep(step) })
		})
		same(t, "instance", in, read(t, s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance(in.ID) }))
		same(t, "binding", b, read(t, s, func(tx core.Tx) (*core.Binding, error) { return tx.Binding(in.ID, b.ID) }))
		same(t, "operation", op, read(t, s, func(tx core.Tx) (*core.Operation, error) { return tx.Operation(op.ID) }))
		same(t, "steps", []*core.Step{step}, read(t, s, func(tx core.Tx) ([]*core.Step, error) { return tx.Steps(op.ID) }))

		in2 := filled(&core.Instance{}, "second")
		in2.ID = in.ID
		b2 := filled(&core.Binding{}, "second")
		b2.InstanceID, b2.ID = b.InstanceID, b.ID
		op2 := filled(&core.Operation{}, "second")
		op2.ID, op2.Verb, op2.InstanceID, op2.BindingID, op2.State = op.ID, op.Verb, op.InstanceID, op.BindingID, core.OperationFailed
		update(t, s, func(tx core.Tx) error {
			return all(tx, putInstance(in2), func(tx core.Tx) error { return tx.PutBinding(b2) },
				func(tx core.Tx) error { return tx.UpdateOperation(op2) })
		})
		same(t, "replaced instance", in2, read(t, s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance(in.ID) }))
		same(t, "replaced binding", b2, read(t, s, func(tx core.Tx) (*core.Binding, error) { return tx.Binding(in.ID, b.ID) }))
		same(t, "replaced operation", op2, read(t, s, func(tx core.Tx) (*core.Operation, error) { return tx.Operation(op.ID) }))
	})
	t.Run("zero values", func(t *testing.T) {
		s := c.open(t)
		in, b := &core.Instance{ID: "i"}, &core.Binding{InstanceID: "i", ID: "b"}
		op := &core.Operation{ID: "o", InstanceID: "i", State: core.OperationFailed}
		update(t, s, func(tx core.Tx) error {
			return all(tx, putInstance(filled(&core.Instance{}, "i")), putInstance(in), putBinding("i", "b"), insert(op))
		})
		same(t, "instance", in, read(t, s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance("i") }))
		same(t, "binding", b, read(t, s, func(tx core.Tx) (*core.Binding, error) { return tx.Binding("i", "b") }))
		same(t, "operation", op, read(t, s, func(tx core.Tx) (*core.Operation, error) { return tx.Operation("o") }))
	})
	t.Run("bytes", c.roundTripBytes)
	t.Run("times", c.roundTripTimes)
	t.Run("ids", c.roundTripIDs)
}

func (c *suite) roundTripBytes(t *testing.T) {
	s := c.open(t)
	for _, tc := range []struct {
		why   string
		bytes []byte
	}{
		{"nil means absent (NULL)", nil},
		{"empty is not absent", []byte{}},
		{"not canonical JSON keeps its bytes outside of Wanted and Attempted", []byte(" { \"a\" : 1.0 } \n")},
		{"not UTF-8, with zeros", []byte{0, 0xff, 0xfe, 0}},
		{"the largest that the plugin contract allows", bytes.Repeat([]byte("x"), 1<<20)},
	} {
		in := &core.Instance{ID: "i", Parameters: tc.bytes, Context: tc.bytes, Labels: tc.bytes, Attributes: tc.bytes,
			Applied: core.Applied{Inputs: tc.bytes, Outputs: tc.bytes}}
		b := &core.Binding{InstanceID: "i", ID: "b", Parameters: tc.bytes, Context: tc.bytes, Resource: tc.bytes,
			Applied: core.Applied{Inputs: tc.bytes, Outputs: tc.bytes}}
		op := &core.Operation{ID: "o", InstanceID: "i", State: core.OperationPending, Handle: tc.bytes, Seed: tc.bytes, Identity: tc.bytes}
		update(t, s, func(tx core.Tx) error {
			return all(tx, putInstance(in), func(tx core.Tx) error { return tx.PutBinding(b) },
				func(tx core.Tx) error { return tx.DeleteOperation("o") }, insert(op),
				func(tx core.Tx) error { return tx.Put("k", tc.bytes) })
		})
		same(t, "instance: "+tc.why, in, read(t, s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance("i") }))
		same(t, "binding: "+tc.why, b, read(t, s, func(tx core.Tx) (*core.Binding, error) { return tx.Binding("i", "b") }))
		same(t, "operation: "+tc.why, op, read(t, s, func(tx core.Tx) (*core.Operation, error) { return tx.Operation("o") }))
		same(t, "document: "+tc.why, tc.bytes, read(t, s, func(tx core.Tx) ([]byte, error) { return tx.Get("k") }))
	}
}

func (c *suite) roundTripTimes(t *testing.T) {
	s := c.open(t)
	for _, tc := range []struct {
		why       string
		put, want time.Time
	}{
		{"zero means not set", time.Time{}, time.Time{}},
		{"the epoch is set", time.Unix(0, 0), time.Unix(0, 0).UTC()},
		{"before the epoch", time.UnixMicro(-1), time.UnixMicro(-1).UTC()},
		{"to the microsecond, rounded down", time.Unix(1, 999_999_999), time.Unix(1, 999_999_000).UTC()},
		{"another zone comes back in UTC", time.Date(2026, 7, 1, 2, 0, 0, 5000, time.FixedZone("x", 7200)), time.Date(2026, 7, 1, 0, 0, 0, 5000, time.UTC)},
		{"the last time that JSON can say", time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)},
	} {
		update(t, s, putInstance(&core.Instance{ID: "i", CreatedAt: tc.put}))
		got := read(t, s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance("i") }).CreatedAt
		if got != tc.want { // also the same location
			t.Errorf("%s: put %v, got %#v", tc.why, tc.put, got)
		}
	}
}

func (c *suite) roundTripIDs(t *testing.T) {
	s := c.open(t)
	ids := []string{ // in the order of their bytes
		" ", "%41", "' OR 1=1 --", "1", "10", "2", "A", "B", "_", "a", "a/b", "a:b", "b", "ä", "日本",
	}
	for i := len(ids) - 1; i >= 0; i-- {
		update(t, s, func(tx core.Tx) error {
			return all(tx, putInstance(&core.Instance{ID: ids[i]}), putBinding(ids[i], ids[i]))
		})
	}
	same(t, "order of instances", ids, instanceIDs(read(t, s, func(tx core.Tx) ([]*core.Instance, error) {
		return tx.Instances(core.InstanceFilter{})
	})))
	for _, id := range ids {
		b := read(t, s, func(tx core.Tx) (*core.Binding, error) { return tx.Binding(id, id) })
		same(t, "binding", &core.Binding{InstanceID: id, ID: id}, b)
	}
}
