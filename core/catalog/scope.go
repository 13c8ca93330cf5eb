package catalog

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/chandler-broker/chandler/core"
)

// pluginWord is what a backend's plugin said of itself, compiled. The zero value,
// known false, is a plugin that was never described.
type pluginWord struct {
	known                           bool
	isolated                        bool
	inputs                          map[bool]*schema // by "is about a binding"; nil where the plugin declares none
	instanceOutputs, bindingOutputs map[string]string
	anyOutputs                      bool // declares that there are others
	outputSchemas                   map[bool]*schema

	mu    sync.Mutex
	parts map[uintptr]*schema // compiled input properties
}

// compilePlugin reads the schemas of a description. A schema that cannot be read
// makes the plugin's word count less, and is reported as a warning.
func compilePlugin(ps *problems, backend string, d core.Description) *pluginWord {
	w := &pluginWord{known: true, isolated: d.Isolated, inputs: map[bool]*schema{}, outputSchemas: map[bool]*schema{},
		parts: map[uintptr]*schema{}}
	read := func(raw json.RawMessage, what string) *schema {
		s, err := compilePluginSchema(raw)
		if err != nil {
			ps.add(core.Problem{Warning: true, Message: fmt.Sprintf("backend %s: the plugin's schema of its %s cannot be read: %v", backend, what, err)})
			w.anyOutputs = true
		}
		return s
	}
	w.inputs[false] = read(d.ProvisionInputs, "provision inputs")
	w.inputs[true] = read(d.BindInputs, "bind inputs")
	w.outputSchemas[false] = read(d.InstanceOutputs, "instance outputs")
	w.outputSchemas[true] = read(d.BindingOutputs, "binding outputs")
	w.instanceOutputs, _ = w.outputSchemas[false].propertyTypes()
	w.bindingOutputs, _ = w.outputSchemas[true].propertyTypes()
	for _, s := range w.outputSchemas {
		if s != nil && s.saysOpen() {
			w.anyOutputs = true
		}
	}
	return w
}

// saysOpen tells whether the schema itself says that there are undeclared properties.
func (s *schema) saysOpen() bool {
	for _, key := range []string{"additionalProperties", "unevaluatedProperties", "patternProperties"} {
		if v, ok := s.root[key]; ok && v != false {
			return true
		}
	}
	return false
}

// compilePluginSchema reads a schema of a plugin; without "$schema" it is of the newest draft. nil for none.
func compilePluginSchema(raw json.RawMessage) (*schema, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	root, err := core.JSONObject(raw)
	if err != nil {
		return nil, err
	}
	if _, has := root["$schema"]; !has {
		root["$schema"] = draftURL(2020)
	}
	doc, err := core.CanonicalJSON(root)
	if err != nil {
		return nil, err
	}
	return compileSchema(doc)
}

// scopes makes the template scopes of one plan's schemas and its backend.
type scopes struct {
	schemas map[string]*schema
	plugin  *pluginWord
}

// of gives what the template at a place may read and what it must yield.
func (sc scopes) of(pl place) core.TemplateScope {
	scope := core.TemplateScope{Name: pl.key, Want: map[string]string{"": map[core.NodeKind]string{
		core.NodeMapping: "object", core.NodeList: "array", core.NodeScalar: "string"}[pl.kind]}}
	instance, open := union(sc.schemas["provision"], sc.schemas["update"])
	scope.InstanceParameters, scope.OpenInstanceParameters = instance, open
	scope.Parameters, scope.OpenParameters = instance, open
	if pl.verb == core.VerbBind || pl.verb == core.VerbUnbind {
		scope.Parameters, scope.OpenParameters = union(sc.schemas["bind"])
		scope.Binding = true
	}
	if pl.outputs != noOutputs {
		scope.AnyOutputs = !sc.plugin.known || sc.plugin.anyOutputs
		scope.InstanceOutputs = orNone(sc.plugin.instanceOutputs)
		if pl.outputs == bothOutputs {
			scope.BindingOutputs = orNone(sc.plugin.bindingOutputs)
		}
	}
	if in := sc.inputSchema(pl); in != nil {
		in.wants([]map[string]any{in.root}, "", scope.Want, 0)
	}
	return scope
}

func orNone(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// inputSchema is what the plugin wants of the inputs that a place makes; nil if unknown.
func (sc scopes) inputSchema(pl place) *schema {
	if !pl.inputs || !sc.plugin.known {
		return nil
	}
	return sc.plugin.inputs[pl.verb == core.VerbBind || pl.verb == core.VerbUnbind]
}

// union joins the declared properties of schemas; a type that they disagree on is unknown.
func union(list ...*schema) (types map[string]string, open bool) {
	types = map[string]string{}
	for _, s := range list {
		own, isOpen := s.propertyTypes()
		open = open || isOpen
		for name, t := range own {
			if before, there := types[name]; there && before != t {
				t = ""
			}
			types[name] = t
		}
	}
	return types, open
}

// wants fills in the types that the properties must have, by JSON pointer.
func (s *schema) wants(list []map[string]any, pointer string, into map[string]string, depth int) {
	all := s.expand(list, false)
	if depth > 4 {
		return
	}
	for _, name := range propertyNames(all) {
		prop := s.ofProperty(all, name)
		at := pointer + "/" + escapePointer(name)
		if t := s.typeOf(prop); t != "" {
			into[at] = t
			if t == "object" {
				s.wants(prop, at, into, depth+1)
			}
		}
	}
}

// checkInputs holds the keys and the literal values of an input template against
// the plugin's schema. at is where a missing required input is reported.
func (sc scopes) checkInputs(ps *problems, pl place, n core.Node, has bool, at core.Node, path string) {
	in := sc.inputSchema(pl)
	if in == nil {
		return
	}
	if has {
		at = n
	}
	required, _ := in.root["required"].([]any)
	for _, r := range required {
		name, _ := r.(string)
		if _, there := fieldOf(n, name); !has || !there {
			ps.at(at, path, "", "the plugin requires the input %q", name)
		}
	}
	if has {
		sc.plugin.checkMapping(ps, in, []map[string]any{in.root}, n, path)
	}
}

func (w *pluginWord) checkMapping(ps *problems, in *schema, list []map[string]any, n core.Node, path string) {
	all := in.expand(list, true)
	known := propertyNames(all)
	for _, f := range n.Fields {
		prop := in.ofProperty(all, f.Key)
		where := join(path, f.Key)
		if !slices.Contains(known, f.Key) && len(prop) == 0 && closed(all, known) {
			hint := didYouMean(f.Key, known)
			if hint == "" && len(known) > 0 {
				hint = "inputs: " + strings.Join(known, ", ")
			}
			ps.at(core.Node{File: f.Value.File, Line: f.Line, Column: f.Column}, where, hint, "the plugin has no input %q", f.Key)
			continue
		}
		if literal(f.Value) {
			w.checkLiteral(ps, in, prop, f.Value, where)
		} else if f.Value.Kind == core.NodeMapping && len(prop) > 0 {
			w.checkMapping(ps, in, prop, f.Value, where)
		}
	}
}

// closed tells whether properties beyond the known ones are refused, by word or by silence.
func closed(all []map[string]any, known []string) bool {
	for _, sub := range all {
		for _, key := range []string{"additionalProperties", "unevaluatedProperties"} {
			if v, ok := sub[key]; ok {
				return v == false
			}
		}
	}
	return len(known) > 0
}

// literal tells whether a value is the same whatever is rendered.
func literal(n core.Node) bool {
	for _, f := range n.Fields {
		if !literal(f.Value) {
			return false
		}
	}
	for _, e := range n.Items {
		if !literal(e) {
			return false
		}
	}
	s, _ := n.Value.(string)
	return !strings.Contains(s, "{{") && !isNull(n)
}

func (w *pluginWord) checkLiteral(ps *problems, in *schema, list []map[string]any, n core.Node, path string) {
	for _, sub := range list {
		part := w.part(in, sub)
		if part == nil {
			continue
		}
		for _, v := range part.check(nodeValue(n)) {
			ps.at(nodeAt(n, v.Pointer), path+v.Pointer, "", "the plugin's input %s", v.Message)
		}
	}
}

// part compiles a property of an input schema once.
func (w *pluginWord) part(in *schema, sub map[string]any) *schema {
	id := reflect.ValueOf(sub).Pointer()
	w.mu.Lock()
	defer w.mu.Unlock()
	if s, ok := w.parts[id]; ok {
		return s
	}
	s, err := in.part(sub)
	if err != nil {
		s = nil
	}
	w.parts[id] = s
	return s
}
