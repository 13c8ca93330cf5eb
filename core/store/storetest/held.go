package storetest

import (
	"fmt"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// held is what replicas ask the store about operations: whose they are and how they stand.
func (c *suite) held(t *testing.T) {
	s := c.open(t)
	of := func(holder string, op *core.Operation) func(core.Tx) error {
		op.Holder = holder
		return insert(op)
	}
	update(t, s, func(tx core.Tx) error {
		return all(tx, of("h", operation("1", "j", "", pending)), of("h", operation("2", "i", "", cancelling)), of("h", operation("3", "i", "b", pending)),
			of("h", operation("4", "done", "", succeeded)), of("g", operation("5", "k", "", pending)), of("", operation("6", "l", "", pending)))
	})
	for holder, want := range map[string][]string{"h": {"i", "j"}, "g": {"k"}, "": {"l"}, "nobody": {}} {
		got := read(t, s, func(tx core.Tx) ([]string, error) { return tx.Held(holder) })
		same(t, fmt.Sprintf("instances held by %q", holder), want, append([]string{}, got...))
	}
	for holder, want := range map[string]map[string]string{"h": {"1": "j", "2": "i", "3": "i"}, "g": {"5": "k"}, "nobody": {}} {
		got := read(t, s, func(tx core.Tx) (map[string]string, error) { return tx.HeldOperations(holder) })
		same(t, fmt.Sprintf("operations held by %q", holder), want, got)
	}
	states := func(ids ...string) map[string]core.OperationState {
		return read(t, s, func(tx core.Tx) (map[string]core.OperationState, error) { return tx.States(ids) })
	}
	same(t, "of none", 0, len(states()))
	same(t, "of those that exist", map[string]core.OperationState{"1": pending, "2": cancelling, "4": succeeded}, states("4", "no", "2", "1", "1"))
	ids := []string{"1"}
	for i := range 1000 { // more than fit into one statement
		ids = append(ids, fmt.Sprint("no", i))
	}
	same(t, "of many", map[string]core.OperationState{"1": pending, "5": pending}, states(append(ids, "5")...))
}
