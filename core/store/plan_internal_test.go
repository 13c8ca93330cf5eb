package store

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// explain gives SQLite's plan for a query, one step per line.
func explain(t *testing.T, s *session, query string, args []any) string {
	t.Helper()
	rows, err := s.conn.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, query)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, detail)
	}
	return b.String()
}

func TestListsWalkAnIndex(t *testing.T) {
	s := opened(t)
	plan := func(query string, args []any) string {
		var p string
		err := s.Update(t.Context(), func(core.Tx) error { p = explain(t, s.writer.session, query, args); return nil })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	query, args := listInstances(core.InstanceFilter{})
	if got, want := plan(query, args), "SEARCH instances USING INDEX sqlite_autoindex_instances_1 (id>?)\n"; got != want { // and nothing is sorted
		t.Errorf("all instances:\n%swant %s", got, want)
	}
	for _, f := range []core.InstanceFilter{
		{PlanID: "p"}, {ServiceID: "s"}, {Backend: "b"}, {PlanID: "p", ServiceID: "s", Backend: "b"},
	} {
		query, args := listInstances(f)
		got := plan(query, args)
		if !strings.Contains(got, "SEARCH instances USING COVERING INDEX instances_by_plan (plan_id=? AND backend=? AND id>?)") &&
			!strings.Contains(got, "SEARCH instances USING INDEX instances_by_plan (plan_id=? AND backend=? AND id>?)") ||
			strings.Contains(got, "SCAN i") {
			t.Errorf("%+v:\n%s", f, got)
		}
	}
	states := func(s ...core.OperationState) []core.OperationState { return s }
	for _, tc := range []struct {
		f    core.OperationFilter
		want string
	}{
		{core.OperationFilter{}, "SEARCH operations USING INTEGER PRIMARY KEY (rowid<?)"},
		{core.OperationFilter{InstanceID: "i", BindingID: "b"}, "INDEX operations_by_target (instance_id=? AND binding_id=? AND rowid<?)"},
		{core.OperationFilter{InstanceID: "i"}, "INDEX operations_by_target (instance_id=?)"},
		{core.OperationFilter{BindingID: "b"}, "INDEX operations_by_binding (binding_id=? AND rowid<?)"},
		{core.OperationFilter{Verb: core.VerbBind}, "INDEX operations_by_verb (verb=? AND rowid<?)"},
		{core.OperationFilter{States: states(core.OperationFailed)}, "INDEX operations_failed"},
		{core.OperationFilter{States: states(core.OperationPending)}, "INDEX operations_unfinished"},
		{core.OperationFilter{States: states(core.OperationCancelling, core.OperationPending), Verb: core.VerbBind}, "INDEX operations_unfinished"},
	} {
		query, args := listOperations(tc.f, math.MaxInt64)
		got := plan(query, args)
		if !strings.Contains(got, tc.want) || strings.Contains(got, "SCAN operations\n") {
			t.Errorf("%+v:\n%swant %s", tc.f, got, tc.want)
		}
	}
}

func TestStatementsScanNoTable(t *testing.T) {
	s := opened(t)
	for _, query := range []string{
		selectInstance, selectInstanceKeys, updateInstanceKeys, updateInstance, deleteInstance, deleteInstanceSecrets,
		deleteInstanceReservations, orphanInstance, stripInstance, selectBinding, listBindings, deleteBinding,
		deleteBindingSecrets, orphanBinding, stripBinding, updateOperation, selectOperation, latestOperation,
		unfinishedOfInstance, unfinishedOfAll, deleteOperation, isGone, deleteTombstones, selectSeq, addStep, listSteps,
		selectSecret, selectReservation, listReservations, release, hasDefinition, selectDefinition,
		plansOfOperations, selectDocument,
	} {
		var args []any
		for range strings.Count(query, "?") {
			args = append(args, 1)
		}
		var got string
		err := s.Update(t.Context(), func(core.Tx) error { got = explain(t, s.writer.session, query, args); return nil })
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(got) {
			if strings.Contains(line, "SCAN") && !strings.Contains(line, "INDEX") && !strings.Contains(line, "CONSTANT ROW") {
				t.Errorf("%s\n%s", query, got)
			}
		}
		if strings.Contains(got, "TEMP B-TREE") && query != unfinishedOfInstance && query != unfinishedOfAll && query != plansOfOperations {
			t.Errorf("sorts: %s\n%s", query, got) // the excepted ones sort the unfinished, which are few
		}
	}
}
