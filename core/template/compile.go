package template

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/chandler-broker/chandler/core"
)

// Compiler implements core.Templates. It has no state; safe for concurrent use.
type Compiler struct{}

// New gives the compiler.
func New() Compiler { return Compiler{} }

var _ core.Templates = Compiler{}

// Compile checks src against scope and compiles it. It reports everything that is
// wrong at once. The problems' File, Line and Column are those of the scalar; Path is
// relative to src ("" is src itself, else for example "tags[0].name"), for the caller
// to complete. The template is nil exactly if a problem is not a warning.
func (Compiler) Compile(src core.Node, scope core.TemplateScope) (core.Template, []core.Problem) {
	c := &compilation{scope: scope, secrets: map[string]int64{}}
	c.doc = &document{source: src, scope: scopeAtRender{name: scope.Name, binding: scope.Binding,
		instanceOutputs: scope.InstanceOutputs != nil, bindingOutputs: scope.BindingOutputs != nil && scope.Binding}}
	c.doc.root = c.compile(src, location{}, maxDepth)
	c.checkSecretKeys(src)
	names := map[string]bool{}
	for key := range c.secrets {
		_, name, _ := strings.Cut(key, " ")
		names[name] = true
	}
	c.doc.secrets = slices.Sorted(maps.Keys(names))
	for _, p := range c.problems {
		if !p.Warning {
			return nil, c.problems
		}
	}
	return c.doc, c.problems
}

// secretKey is what Kubernetes takes as a key of a Secret.
var secretKey = regexp.MustCompile(`^[-._a-zA-Z0-9]+$`)

// checkSecretKeys warns of credentials that some platforms cannot deliver.
func (c *compilation) checkSecretKeys(src core.Node) {
	if c.scope.Name != "credentials" {
		return
	}
	for _, f := range src.Fields {
		if !secretKey.MatchString(f.Key) {
			c.warning(core.Node{File: src.File, Line: f.Line, Column: f.Column}, location{}.field(f.Key), "use letters, digits, -, _ and .",
				"Kubernetes platforms make a Secret of credentials, which cannot have the key %q", clip(f.Key))
		}
	}
}

// compilation is one Compile.
type compilation struct {
	scope    core.TemplateScope
	doc      *document
	problems []core.Problem
	secrets  map[string]int64 // function and name → length
	bytes    int
	nodes    int
	full     bool // a bound was exceeded and reported
}

// location is a place in the source, as people and as JSON pointers write it.
type location struct{ path, pointer string }

func (l location) field(key string) location {
	escaped := strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
	path := key
	if l.path != "" {
		path = l.path + "." + key
	}
	return location{path, l.pointer + "/" + escaped}
}

func (l location) item(i int) location {
	n := strconv.Itoa(i)
	return location{l.path + "[" + n + "]", l.pointer + "/" + n}
}

func (c *compilation) problem(n core.Node, at location, hint, format string, args ...any) {
	c.problems = append(c.problems, core.Problem{File: n.File, Line: n.Line, Column: n.Column, Path: at.path,
		Message: bounded(fmt.Sprintf(format, args...)), Hint: bounded(hint)})
}

// maxMessage bounds a problem in bytes: it quotes names of the source, which may be long.
const maxMessage = 2000

// bounded cuts what is longer, between two characters.
func bounded(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	end := maxMessage - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

func (c *compilation) warning(n core.Node, at location, hint, format string, args ...any) {
	c.problem(n, at, hint, format, args...)
	c.problems[len(c.problems)-1].Warning = true
}

// compile compiles one node with everything below it; depth is how many levels there may be.
func (c *compilation) compile(n core.Node, at location, depth int) value {
	if !c.within(n, at, depth) {
		return literal{}
	}
	switch n.Kind {
	case core.NodeScalar:
		return c.scalar(n, at)
	case core.NodeMapping:
		c.want(n, at, tObject, "a mapping")
		seen := map[string]bool{}
		out := make(mapping, 0, len(n.Fields))
		for _, f := range n.Fields {
			if seen[f.Key] {
				c.problem(core.Node{File: n.File, Line: f.Line, Column: f.Column}, at.field(f.Key), "", "the key %q is there twice", f.Key)
			}
			seen[f.Key] = true
			c.bytes += len(f.Key)
			out = append(out, entry{f.Key, c.compile(inFile(f.Value, n.File), at.field(f.Key), depth-1)})
		}
		return out
	case core.NodeList:
		c.want(n, at, tList, "a list")
		out := make(list, 0, len(n.Items))
		for i, e := range n.Items {
			out = append(out, c.compile(inFile(e, n.File), at.item(i), depth-1))
		}
		return out
	}
	c.problem(n, at, "", "a node of kind %q is neither a scalar, a mapping nor a list", n.Kind)
	return literal{}
}

// inFile lets sources name their file at the top only.
func inFile(n core.Node, file string) core.Node {
	if n.File == "" {
		n.File = file
	}
	return n
}

// within checks the bounds of the source; what exceeds them is reported once and not looked at.
func (c *compilation) within(n core.Node, at location, depth int) bool {
	if c.full {
		return false
	}
	c.nodes++
	if text, ok := n.Value.(string); ok {
		c.bytes += len(text)
	}
	switch {
	case depth == 0:
		c.problem(n, at, "", "the template is nested deeper than %d levels", maxDepth)
	case c.nodes > maxNodes:
		c.problem(n, at, "", "the template has more than %d values", maxNodes)
	case c.bytes > maxDocument:
		c.problem(n, at, "", "the template is longer than %d bytes", maxDocument)
	default:
		return true
	}
	c.full = true
	return false
}

// want checks that a value of type t, called what, can serve at this place.
func (c *compilation) want(n core.Node, at location, t types, what string) {
	wanted := declaredTypes(c.scope.Want[at.pointer])
	if t.disjoint(wanted) {
		c.problem(n, at, wantHint(t, wanted, n), "%s is wanted here and this yields %s", wanted, what)
	}
}

// wantHint says how to get from what is there to what is wanted.
func wantHint(t, wanted types, n core.Node) string {
	text, isText := n.Value.(string)
	action := isText && strings.Contains(text, "{{")
	switch {
	case action && t == tString && singleActionIn(text):
		return "white space around {{ }} makes it a string; YAML's >- or {{- -}} remove it"
	case action && t == tString && wanted&tString == 0:
		return "only a scalar that is exactly one {{ }} keeps its type"
	case action && wanted == tString:
		return "use toString or toJSON"
	case action && wanted == tInt:
		return "use int"
	case isText && wanted&(tInt|tNumber|tBool) != 0:
		return "leave the quotes out"
	case wanted == tString:
		return "put it in quotes"
	}
	return ""
}

func singleActionIn(text string) bool {
	tree, _, err := parseScalar(text)
	return err == nil && paddedAction(tree)
}

// scalar compiles one scalar.
func (c *compilation) scalar(n core.Node, at location) value {
	var v any = n.Value
	if n.Int != nil {
		v = *n.Int
	}
	switch t := plain(v).(type) {
	case string:
		if !utf8.ValidString(t) {
			c.problem(n, at, "", "the text is not valid UTF-8")
			return literal{}
		}
		if strings.Contains(t, "{{") {
			return c.template(n, t, at)
		}
		c.want(n, at, tString, "a string")
		return literal{t}
	case float64:
		if math.IsNaN(t) || math.IsInf(t, 0) {
			c.problem(n, at, "", "the number is not finite")
			return literal{}
		}
		kind := tFloat
		if t == math.Trunc(t) {
			kind = tNumber
		}
		if wanted := declaredTypes(c.scope.Want[at.pointer]); kind == tFloat && wanted == tInt {
			c.problem(n, at, "", "an integer is wanted here and this is a fraction")
		} else {
			c.want(n, at, kind, "a number")
		}
		whole, _ := result(t)
		return literal{whole}
	case nil, bool, int64:
		c.want(n, at, typeOf(t), typeOf(t).String())
		return literal{t}
	}
	c.problem(n, at, "", "a value of Go type %T is not JSON", v)
	return literal{}
}

// template compiles a scalar with actions.
func (c *compilation) template(n core.Node, text string, at location) value {
	if len(text) > maxSource {
		c.problem(n, at, "", "the template is longer than %d bytes", maxSource)
		return literal{}
	}
	tree, defines, err := parseScalar(text)
	if err != nil {
		hint := ""
		if strings.Contains(err.Error(), "bad character U+002D '-'") {
			hint = `names with - are read with index: {{ index .parameters "bucket-name" }}`
		}
		c.problem(n, at, hint, "the template cannot be parsed: %s", err)
		return literal{}
	}
	if defines {
		c.problem(n, at, "", "a template cannot define other templates")
	}
	k := &checker{c: c, node: n, at: at}
	yields := tString
	action := singleAction(tree)
	switch {
	case action == nil:
		k.list(tree.Root, true)
		if paddedAction(tree) && c.scope.Want[at.pointer] == "" {
			c.warning(n, at, "YAML's >- or {{- -}} remove it", "white space around {{ }} makes this a string")
		}
	case len(action.Pipe.Decl) > 0:
		k.pipe(action.Pipe, true)
		c.problem(n, at, "", "%s sets a variable that nothing reads", expression(action))
	default:
		yields = k.pipe(action.Pipe, true)
	}
	c.want(n, at, yields, yields.String())
	instrument(tree)
	return &scalar{tree: tree, typed: action != nil, weight: 1 + countNodes(tree.Root),
		file: n.File, line: n.Line, column: n.Column, path: at.path}
}
