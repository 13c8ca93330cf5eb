package template

import (
	"slices"
	"text/template/parse"

	"github.com/chandler-broker/chandler/core"
)

// checker walks the parse tree of one scalar and infers types. It is conservative:
// what it does not know (variables, the dot inside of with and range) may be
// anything, so that no right template is refused.
type checker struct {
	c    *compilation
	node core.Node
	at   location
}

func (k *checker) problem(hint, format string, args ...any) {
	k.c.problem(k.node, k.at, hint, format, args...)
}

// list checks nodes; root says that the dot is the whole data.
func (k *checker) list(list *parse.ListNode, root bool) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			k.action(n, root)
		case *parse.IfNode:
			k.pipe(n.Pipe, root)
			k.list(n.List, root)
			k.list(n.ElseList, root)
		case *parse.WithNode:
			k.pipe(n.Pipe, root)
			k.list(n.List, false)
			k.list(n.ElseList, root)
		case *parse.RangeNode:
			if t := k.pipe(n.Pipe, root); t.disjoint(tList | tObject) {
				k.problem("", "range takes a list or a mapping and gets %s: %s", t&^tNull, expression(n.Pipe))
			}
			k.list(n.List, false)
			k.list(n.ElseList, root)
		case *parse.TemplateNode:
			k.problem("", "a template cannot call other templates: %s", expression(n))
		}
	}
}

// action checks an action whose value becomes part of a text.
func (k *checker) action(n *parse.ActionNode, root bool) {
	t := k.pipe(n.Pipe, root)
	if len(n.Pipe.Decl) == 0 && t.disjoint(tScalar) {
		k.problem("use join or toJSON", "%s yields %s, which cannot be part of a text", expression(n), t&^tNull)
	}
}

// pipe checks a pipeline and gives the types of its value.
func (k *checker) pipe(p *parse.PipeNode, root bool) types {
	if p == nil {
		return tAny
	}
	var t types
	for i, cmd := range p.Cmds {
		t = k.command(cmd, t, i > 0, root)
	}
	return t
}

// command checks one command; before is the type of the value that is piped into it, if piped.
func (k *checker) command(cmd *parse.CommandNode, before types, piped, root bool) types {
	if id, ok := cmd.Args[0].(*parse.IdentifierNode); ok {
		return k.call(id.Ident, cmd, cmd.Args[1:], before, piped, root)
	}
	if len(cmd.Args) > 1 || piped {
		for _, a := range cmd.Args {
			k.arg(a, root)
		}
		k.problem("", "%s is not a function and takes no argument", expression(cmd.Args[0]))
		return tAny
	}
	if _, ok := cmd.Args[0].(*parse.NilNode); ok {
		k.problem("leave the key out, or write null without {{ }}", "nil alone is not a value")
		return tNull
	}
	return k.arg(cmd.Args[0], root)
}

// arg checks an operand and gives its types.
func (k *checker) arg(n parse.Node, root bool) types {
	switch n := n.(type) {
	case *parse.StringNode:
		return tString
	case *parse.BoolNode:
		return tBool
	case *parse.NilNode:
		return tNull
	case *parse.NumberNode:
		return k.number(n)
	case *parse.DotNode:
		if root {
			k.problem("name the part that you need, such as .parameters", "the whole data is not a value")
		}
		return tAny
	case *parse.FieldNode:
		if root {
			return k.data(n.Ident, n)
		}
		return tAny
	case *parse.VariableNode:
		switch {
		case n.Ident[0] != "$":
			return tAny
		case len(n.Ident) == 1:
			k.problem("name the part that you need, such as $.parameters", "the whole data is not a value")
			return tAny
		}
		return k.data(n.Ident[1:], n)
	case *parse.PipeNode:
		return k.pipe(n, root)
	case *parse.IdentifierNode:
		return k.call(n.Ident, n, nil, 0, false, root)
	case *parse.ChainNode:
		if t := k.arg(n.Node, root); t.disjoint(tObject) {
			k.problem("", "%s is %s and has no field %q", expression(n.Node), t&^tNull, n.Field[0])
		}
		return tAny
	}
	return tAny
}

func (k *checker) number(n *parse.NumberNode) types {
	switch {
	case n.Text[0] == '\'':
		k.problem("texts are in double quotes", "%s is not a text", n.Text)
		return tString
	case n.IsInt && !slices.ContainsFunc([]rune(n.Text), func(r rune) bool { return r == '.' || r == 'e' || r == 'E' }):
		return tInt
	case n.IsInt:
		return tNumber
	case n.IsFloat && !n.IsUint:
		return tFloat
	}
	k.problem("", "the number %s is not one of JSON's or too large", n.Text)
	return tNumber
}

// data checks a path into the data.
func (k *checker) data(ident []string, n parse.Node) types {
	t, wrong, hint := dataPath(&k.c.scope, ident)
	if wrong != "" {
		k.problem(hint, "%s: %s", expression(n), wrong)
	}
	return t
}

// call checks a call of a function and gives the types of its result.
func (k *checker) call(name string, n parse.Node, args []parse.Node, before types, piped, root bool) types {
	f := functions[name]
	if f == nil {
		for _, a := range args {
			k.arg(a, root)
		}
		k.problem(functionHint(name), "there is no function %q", name)
		return tAny
	}
	if t, ok := k.indexed(name, n, args, piped, root); ok {
		return t
	}
	given := make([]types, 0, len(args)+1)
	for _, a := range args {
		given = append(given, k.arg(a, root))
	}
	if piped {
		given = append(given, before)
	}
	if !f.takes(len(given)) {
		k.problem("", "%s takes %s and gets %d: %s", name, f.arity(), len(given), expression(n))
		return f.result
	}
	for i, t := range given {
		if want := f.param(i); t.disjoint(want) {
			k.problem("", "argument %d of %s must be %s and is %s: %s", i+1, name, want, t&^tNull, expression(n))
		}
	}
	k.literals(name, f, n, args, given)
	if f.resultOf != nil {
		return f.resultOf(given)
	}
	return f.result
}

// indexed checks `index .parameters "a-b"` like .parameters.a would be: it is the way
// to names that are not identifiers.
func (k *checker) indexed(name string, n parse.Node, args []parse.Node, piped, root bool) (types, bool) {
	if name != "index" || piped || len(args) < 2 {
		return 0, false
	}
	var ident []string
	switch a := args[0].(type) {
	case *parse.FieldNode:
		if !root {
			return 0, false
		}
		ident = slices.Clone(a.Ident)
	case *parse.VariableNode:
		if a.Ident[0] != "$" || len(a.Ident) < 2 {
			return 0, false
		}
		ident = slices.Clone(a.Ident[1:])
	default:
		return 0, false
	}
	for _, a := range args[1:] {
		s, ok := a.(*parse.StringNode)
		if !ok {
			return 0, false
		}
		ident = append(ident, s.Text)
	}
	return k.data(ident, n), true
}
