package storetest

import (
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// revoke is the list of bindings whose time is over.
func (c *suite) revoke(t *testing.T) {
	s := c.open(t)
	at := time.UnixMicro(1700000000000000).UTC()
	bind := func(id string, revokeAt time.Time) func(core.Tx) error {
		return func(tx core.Tx) error {
			return tx.PutBinding(&core.Binding{InstanceID: "i", ID: id, RevokeAt: revokeAt})
		}
	}
	update(t, s, func(tx core.Tx) error {
		return all(tx, putInstance(&core.Instance{ID: "i"}), bind("never", time.Time{}), bind("now", at), bind("long ago", at.Add(-time.Hour)),
			bind("later", at.Add(time.Microsecond)), bind("moved", at), bind("moved", at.Add(time.Hour)), bind("done", at), bind("done", time.Time{}))
	})
	due := func(limit int) (ids []string) {
		list := read(t, s, func(tx core.Tx) ([]*core.Binding, error) { return tx.ToRevoke(at, nil, limit) })
		for _, b := range list {
			ids = append(ids, b.ID)
		}
		return ids
	}
	same(t, "due", []string{"long ago", "now"}, due(10))
	same(t, "limited", []string{"long ago"}, due(1))
	behind := func(after *core.Binding) []*core.Binding {
		return read(t, s, func(tx core.Tx) ([]*core.Binding, error) { return tx.ToRevoke(at, after, 1) })
	}
	first := behind(nil)
	second := behind(first[0])
	same(t, "behind the first", "now", second[0].ID)
	same(t, "behind the last", 0, len(behind(second[0])))
	same(t, "behind one of the same time, by id", "now", behind(&core.Binding{InstanceID: "i", ID: "a", RevokeAt: at})[0].ID)
	waiting := operation("busy", "i", "long ago", core.OperationPending)
	update(t, s, func(tx core.Tx) error { return tx.InsertOperation(waiting) })
	same(t, "one that is being unbound stands before nobody", []string{"now"}, due(1))
	update(t, s, func(tx core.Tx) error {
		waiting.State = core.OperationFailed
		other := operation("other", "i", "never", core.OperationPending)
		return all(tx, func(tx core.Tx) error { return tx.UpdateOperation(waiting) }, func(tx core.Tx) error { return tx.InsertOperation(other) })
	})
	same(t, "again after a failure, whatever goes on with another binding", []string{"long ago"}, due(1))
	whole := operation("whole", "i", "", core.OperationPending)
	update(t, s, func(tx core.Tx) error { return tx.InsertOperation(whole) })
	same(t, "none while the instance is changed", []string(nil), due(10))
	update(t, s, func(tx core.Tx) error { return tx.DeleteOperation(whole.ID) })
	update(t, s, func(tx core.Tx) error { return tx.DeleteBinding("i", "long ago") })
	same(t, "after a deletion", []string{"now"}, due(10))
}
