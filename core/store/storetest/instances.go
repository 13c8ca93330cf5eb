package storetest

import (
	"fmt"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

func (c *suite) instances(t *testing.T) {
	list := func(t *testing.T, s core.Store, f core.InstanceFilter) []string {
		t.Helper()
		return instanceIDs(read(t, s, func(tx core.Tx) ([]*core.Instance, error) { return tx.Instances(f) }))
	}
	t.Run("absent", func(t *testing.T) {
		s := c.open(t)
		wantErr(t, "Instance", readErr(s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance("no") }), core.ErrNotFound)
		same(t, "list", []string{}, list(t, s, core.InstanceFilter{}))
		update(t, s, func(tx core.Tx) error { return tx.DeleteInstance("no") })
	})
	t.Run("filters", func(t *testing.T) {
		s := c.open(t)
		update(t, s, func(tx core.Tx) error {
			for i := range 12 {
				in := &core.Instance{ID: fmt.Sprintf("i%02d", i), ServiceID: fmt.Sprint("s", i%2), PlanID: fmt.Sprint("p", i%4), Backend: fmt.Sprint("b", i%3)}
				if err := tx.PutInstance(in); err != nil {
					return err
				}
			}
			return nil
		})
		for _, tc := range []struct {
			why  string
			f    core.InstanceFilter
			want []string
		}{
			{"by service", core.InstanceFilter{ServiceID: "s1"}, []string{"i01", "i03", "i05", "i07", "i09", "i11"}},
			{"by plan", core.InstanceFilter{PlanID: "p1"}, []string{"i01", "i05", "i09"}},
			{"by backend", core.InstanceFilter{Backend: "b2"}, []string{"i02", "i05", "i08", "i11"}},
			{"all of them hold", core.InstanceFilter{ServiceID: "s1", PlanID: "p1", Backend: "b2"}, []string{"i05"}},
			{"contradiction", core.InstanceFilter{ServiceID: "s0", PlanID: "p1"}, []string{}},
			{"after the cursor, which need not exist", core.InstanceFilter{ServiceID: "s1", After: "i06"}, []string{"i07", "i09", "i11"}},
			{"a page", core.InstanceFilter{PlanID: "p1", After: "i01", Limit: 1}, []string{"i05"}},
			{"after the end", core.InstanceFilter{After: "i11"}, []string{}},
		} {
			same(t, tc.why, tc.want, list(t, s, tc.f))
		}
		in := read(t, s, func(tx core.Tx) (*core.Instance, error) { return tx.Instance("i05") })
		in.ServiceID, in.PlanID, in.Backend = "other", "other", "other"
		update(t, s, putInstance(in))
		same(t, "an instance that moved", []string{"i05"}, list(t, s, core.InstanceFilter{ServiceID: "other", PlanID: "other", Backend: "other"}))
		same(t, "where it was", []string{"i01", "i09"}, list(t, s, core.InstanceFilter{PlanID: "p1"}))
	})
	t.Run("limits", func(t *testing.T) {
		s := c.open(t)
		update(t, s, func(tx core.Tx) error {
			for i := range 1001 {
				if err := tx.PutInstance(&core.Instance{ID: fmt.Sprintf("i%04d", i)}); err != nil {
					return err
				}
			}
			return nil
		})
		for limit, want := range map[int]int{0: 100, -1: 100, 7: 7, 1000: 1000, 5000: 1000} {
			if got := len(list(t, s, core.InstanceFilter{Limit: limit})); got != want {
				t.Errorf("limit %d gave %d rows, want %d", limit, got, want)
			}
		}
		var seen int
		for after := ""; ; {
			page := list(t, s, core.InstanceFilter{After: after, Limit: 300})
			if len(page) == 0 {
				break
			}
			seen, after = seen+len(page), page[len(page)-1]
		}
		same(t, "all pages together", 1001, seen)
	})
}

func (c *suite) bindings(t *testing.T) {
	s := c.open(t)
	list := func(instance string) []string {
		ids := []string{}
		for _, b := range read(t, s, func(tx core.Tx) ([]*core.Binding, error) { return tx.Bindings(instance) }) {
			ids = append(ids, b.ID)
		}
		return ids
	}
	update(t, s, func(tx core.Tx) error {
		return all(tx, putInstance(&core.Instance{ID: "i"}), putInstance(&core.Instance{ID: "j"}),
			putBinding("i", "c"), putBinding("i", "a"), putBinding("i", "b"), putBinding("j", "a"))
	})
	same(t, "ascending, of this instance", []string{"a", "b", "c"}, list("i"))
	update(t, s, func(tx core.Tx) error { return tx.DeleteBinding("i", "a") })
	same(t, "after a delete", []string{"b", "c"}, list("i"))
	same(t, "of the other instance", []string{"a"}, list("j"))
	same(t, "of no instance", []string{}, list("no"))
	update(t, s, func(tx core.Tx) error { return tx.DeleteBinding("i", "a") }) // again
	wantErr(t, "Binding", readErr(s, func(tx core.Tx) (*core.Binding, error) { return tx.Binding("i", "a") }), core.ErrNotFound)
	wantErr(t, "a binding without its instance", s.Update(t.Context(), putBinding("no", "b")), core.ErrNotFound)
}
