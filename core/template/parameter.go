package template

import (
	"strconv"
	"strings"
	"text/template/parse"

	"github.com/chandler-broker/chandler/core"
)

var _ core.ParameterTemplate = (*document)(nil)

// Parameter gives the JSON pointer, into the request's parameters, of what the value
// at pointer in the result is made of. ok is false where that is not exactly one
// parameter, or where it cannot be told.
func (d *document) Parameter(pointer string) (parameter string, ok bool) {
	at, rest := d.root, pointer
	for {
		s, scalar := at.(*scalar)
		if scalar {
			return s.parameter(rest)
		}
		if rest == "" || rest[0] != '/' {
			return "", false
		}
		var name string
		name, rest, _ = strings.Cut(rest[1:], "/")
		if rest != "" {
			rest = "/" + rest
		}
		if at = below(at, name); at == nil {
			return "", false
		}
	}
}

// below is the entry or element that one part of a pointer names; nil if there is none.
func below(v value, name string) value {
	switch t := v.(type) {
	case mapping:
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		for _, e := range t {
			if e.key == name {
				return e.value
			}
		}
	case list:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(t) {
			return t[i]
		}
	}
	return nil
}

// parameter is Parameter for one scalar; rest points into its value.
func (s *scalar) parameter(rest string) (parameter string, ok bool) {
	found := map[string]bool{}
	if !parametersIn(s.tree.Root, found) || len(found) != 1 {
		return "", false
	}
	for made := range found {
		parameter = made
	}
	if s.typed {
		parameter += rest
	}
	return parameter, true
}

// parametersIn notes the pointers of the parameters that a node reads; false if it reads
// them in a way that does not say which.
func parametersIn(n parse.Node, found map[string]bool) bool {
	switch n := n.(type) {
	case *parse.ListNode:
		return n == nil || parametersOf(n.Nodes, found)
	case *parse.ActionNode:
		return parametersIn(n.Pipe, found)
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			if !parametersOf(c.Args, found) {
				return false
			}
		}
		return true
	case *parse.FieldNode:
		return parameterPath(n.Ident, found)
	case *parse.VariableNode:
		return n.Ident[0] != "$" || parameterPath(n.Ident[1:], found)
	case *parse.ChainNode:
		return parametersIn(n.Node, found)
	case *parse.TextNode, *parse.CommentNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode, *parse.IdentifierNode:
		return true
	}
	return false // loops and conditions, in which the dot is something else
}

func parametersOf(nodes []parse.Node, found map[string]bool) bool {
	for _, n := range nodes {
		if !parametersIn(n, found) {
			return false
		}
	}
	return true
}

func parameterPath(path []string, found map[string]bool) bool {
	switch {
	case len(path) == 0 || path[0] != "parameters":
		return len(path) > 0
	case len(path) == 1:
		return false
	}
	found[pointerTo(path[1:])] = true
	return true
}

func pointerTo(path []string) string {
	at := location{}
	for _, name := range path {
		at = at.field(name)
	}
	return at.pointer
}
