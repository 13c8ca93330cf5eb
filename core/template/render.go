package template

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/chandler-broker/chandler/core"
)

// document is a compiled source.
type document struct {
	source core.Node
	scope  scopeAtRender
	root   value
	// patterns are the regular expressions of the source, by their text.
	patterns map[string]*regexp.Regexp
	secrets  []string
}

// scopeAtRender is what of a scope matters to Render: the data that is not
// available is not there, whatever way a template takes to it.
type scopeAtRender struct {
	name                                     string
	binding, instanceOutputs, bindingOutputs bool
}

// value is one node of a document.
type value interface {
	render(m *machine, data map[string]any) (any, error)
}

// literal is text and other scalars without an action.
type literal struct{ value any }

func (l literal) render(m *machine, _ map[string]any) (any, error) {
	return l.value, m.grow(l.value)
}

// scalar is text with at least one action.
type scalar struct {
	tree  *parse.Tree
	typed bool // exactly one action, whose value is the result
	// weight is the work of executing it once, without its loops and calls.
	weight int
	file   string
	line   int
	column int
	path   string
}

func (s *scalar) render(m *machine, data map[string]any) (any, error) {
	v, err := m.run(s, data)
	if err != nil {
		return nil, &placedError{s, err}
	}
	return v, nil
}

type entry struct {
	key   string
	value value
}

type mapping []entry

func (t mapping) render(m *machine, data map[string]any) (any, error) {
	out := make(map[string]any, len(t))
	for _, e := range t {
		v, err := e.value.render(m, data)
		if err != nil {
			return nil, err
		}
		if v != nil {
			out[e.key] = v
			m.size += len(e.key)
		}
	}
	return out, nil
}

type list []value

func (t list) render(m *machine, data map[string]any) (any, error) {
	out := make([]any, 0, len(t))
	for _, e := range t {
		v, err := e.render(m, data)
		if err != nil {
			return nil, err
		}
		if v != nil {
			out = append(out, v)
		}
	}
	return out, nil
}

// Source is what the document was compiled from; the caller must not change it.
func (d *document) Source() core.Node { return d.source }

// SecretNames lists the secrets that the document may ask for, of the instance and of
// the binding, sorted and without repetitions.
func (d *document) SecretNames() []string { return append([]string(nil), d.secrets...) }

// Render evaluates the document. The result is new: it shares nothing with data.
// Mappings have no null entries, at any level, and lists have no null elements where
// the element itself is written in the source; a document that is null is nil.
func (d *document) Render(data core.TemplateData) (any, error) {
	m := machines.Get().(*machine)
	defer func() {
		m.reset()
		machines.Put(m)
	}()
	m.doc, m.secrets, m.work = d, data.Secrets, maxWork
	v, err := d.root.render(m, d.data(data))
	if err != nil {
		return nil, d.explain(err)
	}
	return v, nil
}

// data is the mapping that templates read.
func (d *document) data(in core.TemplateData) map[string]any {
	instance := map[string]any{"id": in.Instance.ID, "shortID": in.Instance.ShortID,
		"parameters": present(in.Instance.Parameters), "context": present(in.Instance.Context)}
	if d.scope.instanceOutputs {
		instance["outputs"] = present(in.Instance.Outputs)
	}
	root := map[string]any{
		"parameters": present(in.Parameters),
		"instance":   instance,
		"service":    map[string]any{"id": in.Service.ID, "name": in.Service.Name},
		"plan":       map[string]any{"id": in.Plan.ID, "name": in.Plan.Name},
		"context":    present(in.Context),
		"user":       present(in.User),
	}
	if d.scope.binding && in.Binding != nil {
		binding := map[string]any{"id": in.Binding.ID, "parameters": present(in.Binding.Parameters)}
		if d.scope.bindingOutputs {
			binding["outputs"] = present(in.Binding.Outputs)
		}
		root["binding"] = binding
	}
	return root
}

// present replaces the nil map, since templates tell null from a mapping.
func present(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// placedError is the failure of one scalar.
type placedError struct {
	scalar *scalar
	err    error
}

func (e *placedError) Error() string {
	return place(e.scalar.file, e.scalar.line, e.scalar.column, e.scalar.path) + reason(e.err)
}

func (e *placedError) Unwrap() error { return e.err }

func place(file string, line, column int, path string) string {
	var b strings.Builder
	if file != "" {
		b.WriteString(file + ":")
	}
	if line > 0 {
		fmt.Fprintf(&b, "%d:%d:", line, column)
	}
	if b.Len() > 0 {
		b.WriteString(" ")
	}
	if path != "" {
		b.WriteString(path + ": ")
	}
	return b.String()
}

// reason words an error of text/template as this language's: which expression failed and why.
func reason(err error) string {
	var action *actionError
	if errors.As(err, &action) {
		return action.Error()
	}
	var exec template.ExecError
	if !errors.As(err, &exec) {
		return err.Error()
	}
	s := exec.Error()
	if _, rest, ok := strings.Cut(s, " at <"); ok {
		if expr, why, ok := strings.Cut(rest, ">: "); ok {
			s = "{{ " + expr + " }}: " + strings.TrimPrefix(why, "error calling ")
		}
	}
	return goWords.ReplaceAllString(s, "there is no entry $1$2$3")
}

// goWords is what text/template says of a field of null, of a scalar and of a list,
// in words for Go programmers.
var goWords = regexp.MustCompile(`nil pointer evaluating interface \{\}\.(\w+)|can't evaluate field (\w+) in type .*|(?:nil data; no|map has no) entry for key "(\w+)"`)

// explain turns the failure of a rendering into the error for the caller.
func (d *document) explain(err error) error {
	var user *userError
	if errors.As(err, &user) {
		return core.Errorf(core.CodeInvalid, "%s", user.message).WithDetail("%s", err)
	}
	var source *secretError
	if errors.As(err, &source) {
		e := core.AsError(source.err)
		return e.WithDetail("%s: %s", err, e.Detail)
	}
	name := d.scope.name
	if name != "" {
		name += " "
	}
	return core.Errorf(core.CodeFailed, "The %stemplate of the plan could not be rendered.", name).
		WithHint("The operator finds the place and the cause in the log.").WithDetail("%s", err)
}
