package template

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"text/template"

	"github.com/chandler-broker/chandler/core"
)

// machine executes the trees of one document for one rendering. Its functions are
// bound to it, so that each rendering has its own secrets and its own budget; that
// costs too much to set up for each rendering, therefore machines are pooled.
type machine struct {
	tmpl *template.Template

	doc     *document
	secrets core.SecretSource
	work    int // units left
	size    int // bytes of results so far

	out      strings.Builder
	captured any
	capture  bool // something was captured
}

var machines = sync.Pool{New: func() any { return newMachine() }}

func newMachine() *machine {
	m := &machine{tmpl: template.New(treeName).Option("missingkey=error")}
	funcs := template.FuncMap{
		captureFunction: func(v any) string {
			m.captured, m.capture = plain(v), true
			return ""
		},
		printFunction: func(expr string, v any) (string, error) {
			s, err := text(v)
			if err != nil {
				return "", &actionError{expr, err}
			}
			return s, nil
		},
		rangeFunction: m.rangeOver,
	}
	for name, f := range functions {
		if f.call != nil {
			funcs[name] = func(args ...any) (any, error) { return m.apply(f, args) }
		}
	}
	m.tmpl.Funcs(funcs)
	return m
}

// actionError is the failure of one of our own functions, which no template wrote.
type actionError struct {
	expr string
	err  error
}

func (e *actionError) Error() string { return e.expr + ": " + e.err.Error() }

// spend takes n units of work off the budget.
func (m *machine) spend(n int) error {
	if m.work -= n; m.work < 0 {
		m.work = 0
		return errTooMuchWork
	}
	return nil
}

// rangeOver lets a range walk over lists and mappings only: a number from a user
// would be a loop as long as the user likes. weight is the work of one pass.
func (m *machine) rangeOver(expr string, weight int, v any) (any, error) {
	n := 0
	switch t := plain(v).(type) {
	case nil:
	case []any:
		n = len(t)
	case map[string]any:
		n = len(t)
	default:
		return nil, &actionError{expr, fmt.Errorf("range takes a list or a mapping and gets %s", typeOf(t))}
	}
	if n > maxWork/weight {
		return nil, errTooMuchWork
	}
	return plain(v), m.spend(n * weight)
}

// Write takes the text of a scalar, within the bound of results.
func (m *machine) Write(p []byte) (int, error) {
	if m.out.Len()+len(p) > maxResult {
		return 0, errTooLarge
	}
	return m.out.Write(p)
}

// run executes one scalar and gives its value, which shares nothing with data.
func (m *machine) run(s *scalar, data map[string]any) (v any, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = nil, fmt.Errorf("the template panicked: %T", r) // the value may hold a secret
		}
	}()
	m.out.Reset()
	m.captured, m.capture = nil, false
	if err := m.spend(s.weight); err != nil {
		return nil, err
	}
	m.tmpl.Tree = s.tree
	if err := m.tmpl.Execute(m, data); err != nil {
		return nil, err
	}
	if !s.typed {
		m.captured = m.out.String()
	} else if !m.capture {
		return nil, errors.New("the template yields no value")
	}
	if err := m.grow(m.captured); err != nil {
		return nil, err
	}
	return result(m.captured)
}

// grow counts v into the result of the document.
func (m *machine) grow(v any) error {
	size, err := sizeOf(v)
	if err != nil {
		return err
	}
	if m.size += size; m.size > maxResult {
		return errTooLarge
	}
	return nil
}

// reset forgets everything of a rendering before the machine goes back to the pool.
func (m *machine) reset() {
	m.tmpl.Tree, m.doc, m.secrets, m.captured = nil, nil, nil, nil
	m.size, m.capture = 0, false
	m.out = strings.Builder{}
}
