package catalog

import "github.com/chandler-broker/chandler/core"

// Limits of what Effective fills in beyond what the user gave: a default can hold
// an object whose properties have defaults, and so on in a circle.
const (
	maxDefaults     = 10_000
	maxDefaultDepth = 16
)

// Effective implements core.Schema.
func (s *schema) Effective(params map[string]any) map[string]any {
	if s.root == nil {
		return core.CopyJSON(orEmpty(params)).(map[string]any)
	}
	f := filler{schema: s, left: maxDefaults}
	return f.fill([]map[string]any{s.root}, orEmpty(params), 0).(map[string]any)
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// filler is one call of Effective.
type filler struct {
	*schema
	left int // defaults that may still be filled in
}

// fill copies value and completes its objects, at every depth that value has.
// depth counts the defaults that value is inside of.
func (f *filler) fill(list []map[string]any, value any, depth int) any {
	switch t := value.(type) {
	case map[string]any:
		all, certain := f.expand(list, true), f.expand(list, false)
		out := make(map[string]any, len(t))
		for name, v := range t {
			out[name] = f.fill(f.ofProperty(all, name), v, depth)
		}
		for _, name := range propertyNames(all) {
			if v, ok := t[name]; !ok || v == nil {
				out[name] = f.absent(all, certain, name, depth)
			}
		}
		return out
	case []any:
		all := f.expand(list, true)
		out := make([]any, len(t))
		for i, v := range t {
			out[i] = f.fill(f.ofItem(all, i), v, depth)
		}
		return out
	}
	return value
}

// absent is what stands for a property that is declared and not there: its default, completed, or nil.
func (f *filler) absent(all, certain []map[string]any, name string, depth int) any {
	value := f.defaultOf(f.ofProperty(certain, name))
	if value == nil || f.left == 0 || depth == maxDefaultDepth {
		return value
	}
	f.left--
	return f.fill(f.ofProperty(all, name), value, depth+1)
}

// defaultOf is the first default of the schemas; nil if none has one.
func (s *schema) defaultOf(list []map[string]any) any {
	for _, sub := range s.expand(list, false) {
		if v, ok := sub["default"]; ok {
			return core.CopyJSON(v)
		}
	}
	return nil
}
