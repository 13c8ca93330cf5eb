package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// InvalidError is a catalog that was refused. Problems holds at least one that is not a warning.
type InvalidError struct{ Problems []core.Problem }

// Error lists every problem, one per line.
func (e *InvalidError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the catalog is invalid: %d problem", len(e.Problems))
	if len(e.Problems) != 1 {
		b.WriteString("s")
	}
	for _, p := range e.Problems {
		b.WriteString("\n  " + Text(p))
	}
	return b.String()
}

// Text is a problem in one line: file:line:column: path: message (hint).
func Text(p core.Problem) string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	if p.File != "" {
		b.WriteString(": ")
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Refused tells whether problems hold one that is not a warning.
func Refused(problems []core.Problem) bool {
	return slices.ContainsFunc(problems, func(p core.Problem) bool { return !p.Warning })
}

// problems collects what is wrong. A thing that is found again, because a default
// of the service reaches many plans, is kept once.
type problems struct {
	list []core.Problem
	seen map[problemKey]bool
}

type problemKey struct {
	file         string
	line, column int
	message      string
}

func (ps *problems) add(p core.Problem) {
	key := problemKey{p.File, p.Line, p.Column, p.Message}
	if p.Line == 0 {
		key.message = p.Path + key.message
	}
	if ps.seen[key] {
		return
	}
	if ps.seen == nil {
		ps.seen = map[problemKey]bool{}
	}
	ps.seen[key] = true
	ps.list = append(ps.list, p)
}

func (ps *problems) addAll(list []core.Problem) {
	for _, p := range list {
		ps.add(p)
	}
}

// at reports a problem at a node.
func (ps *problems) at(n core.Node, path, hint, format string, args ...any) {
	ps.add(core.Problem{File: n.File, Line: n.Line, Column: n.Column, Path: path,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// warn is at for what does not refuse the catalog.
func (ps *problems) warn(n core.Node, path, hint, format string, args ...any) {
	ps.add(core.Problem{File: n.File, Line: n.Line, Column: n.Column, Path: path,
		Message: fmt.Sprintf(format, args...), Hint: hint, Warning: true})
}

func (ps *problems) refused() bool { return Refused(ps.list) }

// sortProblems orders by place, as a reader goes through the files.
func sortProblems(list []core.Problem) {
	slices.SortStableFunc(list, func(a, b core.Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path))
	})
}
