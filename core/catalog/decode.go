package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/chandler-broker/chandler/core"
)

// Limits of one YAML file. They stop a document that grows by aliases, and one
// that nobody meant to put here, before it costs memory.
const (
	maxFileSize = 1 << 20 // bytes
	maxNodes    = 100_000 // values after aliases are expanded
	maxDepth    = 64      // nested mappings and lists
)

// decodeYAML reads the one document of a YAML file into a Node with positions.
// Every problem of the syntax is reported; the node is only good if there is none.
func decodeYAML(file string, data []byte) (root core.Node, problems []core.Problem) {
	// The parser has paniced on odd bytes before; a file of an operator must not end the broker.
	defer func() {
		if r := recover(); r != nil {
			problems = append(problems, core.Problem{File: file, Message: fmt.Sprintf("the YAML parser gave up: %v", r)})
		}
	}()
	if len(data) > maxFileSize {
		return root, []core.Problem{{File: file, Message: fmt.Sprintf("the file has %d bytes; at most %d are read", len(data), maxFileSize)}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return root, []core.Problem{{File: file, Line: 1, Column: 1, Message: "the file is empty"}}
		}
		return root, []core.Problem{yamlProblem(file, err)}
	}
	var next yaml.Node
	if err := dec.Decode(&next); err == nil {
		return root, []core.Problem{{File: file, Line: next.Line, Column: next.Column,
			Message: "a second YAML document begins here; a file holds exactly one"}}
	} else if !errors.Is(err, io.EOF) {
		return root, []core.Problem{yamlProblem(file, err)}
	}
	c := converter{file: file, open: map[*yaml.Node]bool{}}
	root = c.node(doc.Content[0], 0)
	return root, c.problems
}

// yamlLine finds the line in the parser's message.
var yamlLine = regexp.MustCompile(`^line (\d+): `)

func yamlProblem(file string, err error) core.Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	p := core.Problem{File: file, Message: "not valid YAML: " + text}
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Column = 1
		p.Message = "not valid YAML: " + text[len(m[0]):]
	}
	if strings.Contains(text, "cannot start any token") || strings.Contains(text, "did not find expected") {
		p.Hint = `check the indentation and the line before; a value that holds ": ", "{{" or "#" needs quotes`
	}
	return p
}

// converter makes Nodes of the parser's nodes within the limits.
type converter struct {
	file     string
	count    int
	full     bool                // the limit was reported
	open     map[*yaml.Node]bool // alias targets being expanded
	problems []core.Problem
}

func (c *converter) problem(n *yaml.Node, hint, format string, args ...any) {
	c.problems = append(c.problems, core.Problem{File: c.file, Line: n.Line, Column: n.Column,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (c *converter) node(n *yaml.Node, depth int) core.Node {
	out := core.Node{File: c.file, Line: n.Line, Column: n.Column, Kind: core.NodeScalar}
	if c.count++; c.count > maxNodes || depth > maxDepth {
		if !c.full {
			c.full = true
			c.problem(n, "", "the document is too large: at most %d values, aliases expanded, and %d levels", maxNodes, maxDepth)
		}
		return out
	}
	switch n.Kind {
	case yaml.AliasNode:
		if c.open[n.Alias] {
			c.problem(n, "", "the alias *%s is inside of what it stands for", n.Value)
			return out
		}
		c.open[n.Alias] = true
		defer delete(c.open, n.Alias)
		return c.node(n.Alias, depth)
	case yaml.MappingNode:
		c.tag(n, "!!map")
		out.Kind = core.NodeMapping
		out.Fields = c.fields(n, depth)
	case yaml.SequenceNode:
		c.tag(n, "!!seq")
		out.Kind = core.NodeList
		out.Items = make([]core.Node, 0, len(n.Content))
		for _, e := range n.Content {
			out.Items = append(out.Items, c.node(e, depth+1))
		}
	default:
		c.scalar(n, &out)
	}
	return out
}

func (c *converter) tag(n *yaml.Node, want string) {
	if t := n.ShortTag(); t != want {
		c.problem(n, "", "the YAML tag %s is not used here", t)
	}
}

// fields converts a mapping: keys are strings, once each; merge keys ("<<") fill in what is not there.
func (c *converter) fields(n *yaml.Node, depth int) []core.Field {
	fields := make([]core.Field, 0, len(n.Content)/2)
	lines := make(map[string]int, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
			merges = append(merges, v)
			continue
		}
		if k.Kind != yaml.ScalarNode || k.ShortTag() != "!!str" {
			c.problem(k, "put quotes around the key if it is meant as text", "a key must be a string")
			continue
		}
		if line, twice := lines[k.Value]; twice {
			c.problem(k, "", "the key %q is here twice; the first is in line %d", k.Value, line)
			continue
		}
		lines[k.Value] = k.Line
		fields = append(fields, core.Field{Key: k.Value, Line: k.Line, Column: k.Column, Value: c.node(v, depth+1)})
	}
	for _, m := range merges {
		for _, f := range c.merged(m, depth) {
			if _, there := lines[f.Key]; !there {
				lines[f.Key] = f.Line
				fields = append(fields, f)
			}
		}
	}
	return fields
}

// merged gives the fields that a merge key brings: of one mapping or of a list of them.
func (c *converter) merged(n *yaml.Node, depth int) []core.Field {
	v := c.node(n, depth+1)
	switch v.Kind {
	case core.NodeMapping:
		return v.Fields
	case core.NodeList:
		var all []core.Field
		for _, e := range v.Items {
			if e.Kind != core.NodeMapping {
				c.problem(n, "", `"<<" takes a mapping or a list of mappings`)
				return nil
			}
			all = append(all, e.Fields...)
		}
		return all
	}
	c.problem(n, "", `"<<" takes a mapping or a list of mappings`)
	return nil
}

// scalar reads a value by YAML 1.2's words: yes, no, on and off are text, so is a date.
func (c *converter) scalar(n *yaml.Node, out *core.Node) {
	var err error
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		out.Value = n.Value
	case "!!null":
	case "!!bool":
		var b bool
		err = n.Decode(&b)
		out.Value = b
	case "!!int":
		var i int64
		if err = n.Decode(&i); err == nil {
			out.Int = &i
		}
	case "!!float":
		var f float64
		if err = n.Decode(&f); err == nil && (math.IsInf(f, 0) || math.IsNaN(f)) {
			c.problem(n, "", "%s is not a number that JSON has", n.Value)
			return
		}
		out.Value = f
	default:
		c.problem(n, "", "the YAML tag %s is not used here", tag)
		return
	}
	if err != nil {
		c.problem(n, "put quotes around it if it is meant as text", "the number %.40s is out of range", n.Value)
	}
}
