package catalog

import (
	"slices"
	"strings"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// field is one key of a mapping of the catalog: the one table that decoding, the
// "did you mean" of unknown keys and the test of docs/catalog-reference.md share.
type field[T any] struct {
	key string
	// kind is the type in the words of the reference: string, boolean, list of strings, mapping, …
	kind string
	set  func(d *decoder, n core.Node, path string, into *T)
}

// decoder reads Nodes into what the catalog means, and collects what is wrong.
type decoder struct{ ps *problems }

// decodeFields reads a mapping by its table. A key whose value is null counts as absent.
func decodeFields[T any](d *decoder, n core.Node, path string, fields []field[T], into *T) bool {
	if n.Kind != core.NodeMapping {
		d.wrong(n, path, "a mapping")
		return false
	}
	for _, f := range n.Fields {
		i := slices.IndexFunc(fields, func(t field[T]) bool { return t.key == f.Key })
		if i < 0 {
			known := keysOf(fields)
			hint := didYouMean(f.Key, known)
			if hint == "" {
				hint = "known keys: " + strings.Join(known, ", ")
			}
			d.ps.at(core.Node{File: f.Value.File, Line: f.Line, Column: f.Column}, join(path, f.Key), hint, "unknown key %q", f.Key)
			continue
		}
		if !isNull(f.Value) {
			fields[i].set(d, f.Value, join(path, f.Key), into)
		}
	}
	return true
}

func keysOf[T any](fields []field[T]) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

// lift makes a table of an inner struct's keys usable for the struct around it.
func lift[Outer, Inner any](fields []field[Inner], inner func(*Outer) *Inner) []field[Outer] {
	out := make([]field[Outer], len(fields))
	for i, f := range fields {
		out[i] = field[Outer]{f.key, f.kind, func(d *decoder, n core.Node, path string, into *Outer) {
			f.set(d, n, path, inner(into))
		}}
	}
	return out
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func isNull(n core.Node) bool { return n.Kind == core.NodeScalar && n.Value == nil && n.Int == nil }

// kindOf names a node's type for messages.
func kindOf(n core.Node) string {
	switch {
	case n.Kind == core.NodeMapping:
		return "a mapping"
	case n.Kind == core.NodeList:
		return "a list"
	case n.Int != nil:
		return "a number"
	}
	switch n.Value.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case nil:
		return "null"
	}
	return "a number"
}

func (d *decoder) wrong(n core.Node, path, want string) {
	hint := ""
	if want == "a string" && n.Kind == core.NodeScalar && !isNull(n) {
		hint = "put quotes around it"
	}
	if s, ok := n.Value.(string); ok && want == "true or false" {
		switch strings.ToLower(s) {
		case "yes", "on", "y":
			hint = "write true"
		case "no", "off", "n":
			hint = "write false"
		}
	}
	d.ps.at(n, path, hint, "expected %s, found %s", want, kindOf(n))
}

func (d *decoder) text(n core.Node, path string) string {
	s, ok := n.Value.(string)
	if !ok || n.Kind != core.NodeScalar {
		d.wrong(n, path, "a string")
	}
	return s
}

func (d *decoder) boolean(n core.Node, path string) *bool {
	b, ok := n.Value.(bool)
	if !ok || n.Kind != core.NodeScalar {
		d.wrong(n, path, "true or false")
		return nil
	}
	return &b
}

func (d *decoder) texts(n core.Node, path string) []string {
	if n.Kind != core.NodeList {
		d.wrong(n, path, "a list of strings")
		return nil
	}
	list := make([]string, 0, len(n.Items))
	for i, e := range n.Items {
		list = append(list, d.text(e, index(path, i)))
	}
	return list
}

func (d *decoder) object(n core.Node, path string) map[string]any {
	if n.Kind != core.NodeMapping {
		d.wrong(n, path, "a mapping")
		return nil
	}
	return nodeValue(n).(map[string]any)
}

// duration reads Go's notation, for example 90s, 30m or 2h30m; it must be above zero.
func (d *decoder) duration(n core.Node, path string) time.Duration {
	s, _ := n.Value.(string)
	v, err := time.ParseDuration(s)
	if n.Kind != core.NodeScalar || err != nil {
		d.ps.at(n, path, "write a number and a unit, such as 90s, 30m or 2h", "expected a duration, found %s", found(n))
		return 0
	}
	if v < time.Second || v > 365*24*time.Hour {
		d.ps.at(n, path, "", "the duration must be between 1s and 8760h")
		return 0
	}
	return v
}

// oneOf reads a string out of a set.
func (d *decoder) oneOf(n core.Node, path string, words ...string) string {
	s, ok := n.Value.(string)
	if ok && slices.Contains(words, s) {
		return s
	}
	d.ps.at(n, path, didYouMean(s, words), "expected one of %s, found %s", strings.Join(words, ", "), found(n))
	return ""
}

func found(n core.Node) string {
	if s, ok := n.Value.(string); ok && len(s) <= 60 {
		return `"` + s + `"`
	}
	return kindOf(n)
}

// nodeValue turns a node into a JSON-like value.
func nodeValue(n core.Node) any {
	switch n.Kind {
	case core.NodeMapping:
		m := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			m[f.Key] = nodeValue(f.Value)
		}
		return m
	case core.NodeList:
		l := make([]any, len(n.Items))
		for i, e := range n.Items {
			l[i] = nodeValue(e)
		}
		return l
	}
	if n.Int != nil {
		return *n.Int
	}
	return n.Value
}

// fieldOf finds a key of a mapping; the mapping itself, with ok false, if it is not there.
func fieldOf(n core.Node, key string) (value core.Node, ok bool) {
	for _, f := range n.Fields {
		if f.Key == key {
			return f.Value, true
		}
	}
	return n, false
}
