package store

import (
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

const selectSeq = `SELECT seq FROM operations WHERE id = ?`

// Operations implements core.Tx. core.ErrNotFound if the cursor's operation is gone.
func (t *tx) Operations(f core.OperationFilter) ([]*core.Operation, error) {
	lock := t.lockAll
	if f.InstanceID != "" {
		lock = func() error { return t.lock("instance", f.InstanceID) }
	}
	if err := lock(); err != nil {
		return nil, err
	}
	before := int64(1<<63 - 1)
	if f.Before != "" {
		if err := t.row("read cursor", false, []any{&before}, selectSeq, f.Before); err != nil {
			return nil, err
		}
	}
	query, args := listOperations(f, before)
	return t.operations("list operations", query, args...)
}

// listOperations builds a query whose inner part finds the newest matching seqs
// through one index, so that only the rows of the page are read and sorted.
func listOperations(f core.OperationFilter, before int64) (string, []any) {
	index, where, args := narrowest(f), "", []any{before}
	add := func(condition, value string) {
		if value != "" {
			where += " AND " + condition
			args = append(args, value)
		}
	}
	add("instance_id = ?", f.InstanceID)
	add("binding_id <> '' AND binding_id = ?", f.BindingID)
	add("verb = ?", string(f.Verb))
	if len(f.States) > 0 {
		where += " AND " + inStates(f.States)
	}
	// "? + 0", since SQLite plans a statement anew each time a bare parameter of LIMIT is bound.
	inner := `SELECT seq FROM operations` + index + ` WHERE seq < ?` + where + ` ORDER BY seq DESC LIMIT ? + 0`
	query := `SELECT ` + operationColumns + ` FROM operations WHERE seq IN (` + inner + `) ORDER BY seq DESC`
	return query, append(args, limit(f.Limit))
}

// narrowest names the index for the filter. Without one, rows are read from the newest on.
func narrowest(f core.OperationFilter) string {
	switch {
	case f.InstanceID != "":
		return " INDEXED BY operations_by_target"
	case f.BindingID != "":
		return " INDEXED BY operations_by_binding"
	case len(f.States) > 0 && !slices.ContainsFunc(f.States, func(s core.OperationState) bool { return !s.Unfinished() }):
		return " INDEXED BY operations_unfinished"
	case len(f.States) == 1 && f.States[0] == core.OperationFailed:
		return " INDEXED BY operations_failed"
	case f.Verb != "":
		return " INDEXED BY operations_by_verb"
	}
	return ""
}

// inStates is the condition for some of the four states, as text and not as
// arguments, since only so the partial indexes apply.
func inStates(states []core.OperationState) string {
	onlyUnfinished := true
	var known []string
	for _, s := range []core.OperationState{core.OperationPending, core.OperationCancelling, core.OperationSucceeded, core.OperationFailed} {
		if slices.Contains(states, s) {
			known = append(known, "'"+string(s)+"'")
			onlyUnfinished = onlyUnfinished && s.Unfinished()
		}
	}
	switch {
	case len(known) == 0:
		return "1 = 0"
	case len(known) == 1 && onlyUnfinished:
		return unfinished + " AND state = " + known[0]
	case len(known) == 1:
		return "state = " + known[0]
	}
	return "state IN (" + strings.Join(known, ", ") + ")"
}
