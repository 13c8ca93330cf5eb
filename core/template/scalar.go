package template

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/template/parse"
)

// Names of our own functions in instrumented trees. They are not in functions, so
// that a template which writes them is refused.
const (
	captureFunction = "__capture" // keeps the value of a scalar that is one action
	printFunction   = "__print"   // prints a value into a text
	rangeFunction   = "__range"   // checks and counts what a range walks over
)

// treeName is the name of every parsed scalar; it shows in no message.
const treeName = "template"

// parseScalar parses one scalar. It reports all templates that text defines, since
// those are refused.
func parseScalar(text string) (tree *parse.Tree, defines bool, err error) {
	defer func() {
		if r := recover(); r != nil { // the parser raises its own mistakes
			tree, err = nil, errors.New("the template cannot be parsed")
		}
	}()
	tree = parse.New(treeName)
	tree.Mode = parse.SkipFuncCheck // check.go reports all unknown functions, with hints
	set := map[string]*parse.Tree{}
	if _, err := tree.Parse(text, "", "", set); err != nil {
		return nil, false, errors.New(parseMessage(err.Error()))
	}
	return tree, len(set) != 1 || set[treeName] != tree, nil
}

// parseMessage takes the parser's own name and line off its message; for a text of
// several lines the line stays.
func parseMessage(message string) string {
	rest, ok := strings.CutPrefix(message, "template: "+treeName+":")
	if !ok {
		return message
	}
	line, rest, ok := strings.Cut(rest, ": ")
	if !ok {
		return message
	}
	if line != "1" {
		return "line " + line + " of the text: " + rest
	}
	return rest
}

// singleAction is the action that the whole scalar consists of, nil if it consists
// of anything else.
func singleAction(tree *parse.Tree) *parse.ActionNode {
	if len(tree.Root.Nodes) != 1 {
		return nil
	}
	action, _ := tree.Root.Nodes[0].(*parse.ActionNode)
	return action
}

// paddedAction tells whether the scalar is one action and white space: a string,
// though its author may not think so.
func paddedAction(tree *parse.Tree) bool {
	actions := 0
	for _, n := range tree.Root.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			if len(n.Pipe.Decl) > 0 {
				return false
			}
			actions++
		case *parse.TextNode:
			if len(strings.TrimSpace(string(n.Text))) > 0 {
				return false
			}
		default:
			return false
		}
	}
	return actions == 1 && len(tree.Root.Nodes) > 1
}

// instrument adds our own calls to a checked tree, in place.
func instrument(tree *parse.Tree) {
	if action := singleAction(tree); action != nil {
		appendCall(action.Pipe, captureFunction)
		return
	}
	instrumentList(tree.Root)
}

func instrumentList(list *parse.ListNode) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.ActionNode:
			if len(n.Pipe.Decl) == 0 {
				appendCall(n.Pipe, printFunction, textNode(n.Pipe))
			}
		case *parse.IfNode:
			instrumentList(n.List)
			instrumentList(n.ElseList)
		case *parse.WithNode:
			instrumentList(n.List)
			instrumentList(n.ElseList)
		case *parse.RangeNode:
			weight := int64(1 + countNodes(n.List))
			instrumentList(n.List)
			instrumentList(n.ElseList)
			appendCall(n.Pipe, rangeFunction, textNode(n.Pipe), &parse.NumberNode{NodeType: parse.NodeNumber, Pos: n.Pos,
				IsInt: true, Int64: weight, Text: strconv.FormatInt(weight, 10)})
		}
	}
}

// appendCall makes a pipeline end in `| name args`.
func appendCall(pipe *parse.PipeNode, name string, args ...parse.Node) {
	fn := parse.NewIdentifier(name).SetPos(pipe.Pos)
	pipe.Cmds = append(pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pipe.Pos,
		Args: append([]parse.Node{fn}, args...)})
}

// textNode tells our own functions which expression they were added to, for messages.
func textNode(pipe *parse.PipeNode) *parse.StringNode {
	s := expression(pipe)
	return &parse.StringNode{NodeType: parse.NodeString, Pos: pipe.Pos, Quoted: strconv.Quote(s), Text: s}
}

// countNodes is the work of walking a list once.
func countNodes(list *parse.ListNode) int {
	if list == nil {
		return 0
	}
	n := 0
	for _, node := range list.Nodes {
		n++
		switch node := node.(type) {
		case *parse.ActionNode:
			n += countArgs(node.Pipe)
		case *parse.IfNode:
			n += countArgs(node.Pipe) + countNodes(node.List) + countNodes(node.ElseList)
		case *parse.WithNode:
			n += countArgs(node.Pipe) + countNodes(node.List) + countNodes(node.ElseList)
		case *parse.RangeNode:
			n += countArgs(node.Pipe) + countNodes(node.List) + countNodes(node.ElseList)
		}
	}
	return n
}

func countArgs(pipe *parse.PipeNode) int {
	n := 0
	for _, cmd := range pipe.Cmds {
		for _, arg := range cmd.Args {
			n++
			switch arg := arg.(type) {
			case *parse.PipeNode:
				n += countArgs(arg)
			case *parse.FieldNode:
				n += len(arg.Ident)
			case *parse.VariableNode:
				n += len(arg.Ident)
			case *parse.ChainNode:
				n += len(arg.Field)
				if inner, ok := arg.Node.(*parse.PipeNode); ok {
					n += countArgs(inner)
				}
			}
		}
	}
	return n
}

// expression is how a node is shown in messages: as written, but not endless.
func expression(n parse.Node) string {
	s := strings.Join(strings.Fields(n.String()), " ")
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return fmt.Sprintf("{{ %s }}", strings.TrimSuffix(strings.TrimPrefix(s, "{{"), "}}"))
}
