package catalog

import (
	"reflect"
	"regexp"
	"slices"
)

// expand gives the schemas that say something about the same value as those
// given: references, allOf and, with conditional, what holds only sometimes
// (anyOf, oneOf, if, then, else, dependentSchemas).
func (s *schema) expand(list []map[string]any, conditional bool) []map[string]any {
	var out []map[string]any
	seen := map[uintptr]bool{}
	for len(list) > 0 {
		sub := list[0]
		list = list[1:]
		id := reflect.ValueOf(sub).Pointer()
		if sub == nil || seen[id] {
			continue
		}
		seen[id] = true
		if ref, ok := sub["$ref"].(string); ok {
			list = append(list, s.resolve(ref))
			if s.draft < 2019 {
				continue // what stands beside a $ref is ignored in these drafts
			}
		}
		out = append(out, sub)
		list = append(list, schemasIn(sub["allOf"])...)
		if !conditional {
			continue
		}
		for _, key := range []string{"anyOf", "oneOf", "if", "then", "else"} {
			list = append(list, schemasIn(sub[key])...)
		}
		for _, key := range []string{"dependentSchemas", "dependencies"} {
			named, _ := sub[key].(map[string]any)
			for _, v := range named {
				list = append(list, schemasIn(v)...)
			}
		}
	}
	return out
}

// schemasIn reads a subschema or a list of them; true, false and anything else are left out.
func schemasIn(v any) []map[string]any {
	switch t := v.(type) {
	case map[string]any:
		return []map[string]any{t}
	case []any:
		var out []map[string]any
		for _, e := range t {
			out = append(out, schemasIn(e)...)
		}
		return out
	}
	return nil
}

// ofProperty gives the schemas that speak about one property of an object that list speaks about.
func (s *schema) ofProperty(list []map[string]any, name string) []map[string]any {
	var out []map[string]any
	for _, sub := range list {
		declared := false
		if props, ok := sub["properties"].(map[string]any); ok {
			if p, ok := props[name]; ok {
				declared = true
				out = append(out, schemasIn(p)...)
			}
		}
		patterns, _ := sub["patternProperties"].(map[string]any)
		for p, v := range patterns {
			if s.matches(p, name) {
				declared = true
				out = append(out, schemasIn(v)...)
			}
		}
		if !declared {
			out = append(out, schemasIn(sub["additionalProperties"])...)
			out = append(out, schemasIn(sub["unevaluatedProperties"])...)
		}
	}
	return out
}

func (s *schema) matches(pattern, name string) bool {
	re := s.patterns[pattern]
	if re == nil { // a schema that is not compiled yet
		var err error
		if re, err = regexp.Compile(pattern); err != nil {
			return false
		}
	}
	return re.MatchString(name)
}

// ofItem gives the schemas that speak about item i of a list that the given ones speak about.
func (s *schema) ofItem(list []map[string]any, i int) []map[string]any {
	var out []map[string]any
	for _, sub := range list {
		tuple, isTuple := sub["prefixItems"].([]any)
		rest := "items"
		if old, ok := sub["items"].([]any); ok && !isTuple {
			tuple, rest = old, "additionalItems"
		}
		if i < len(tuple) {
			out = append(out, schemasIn(tuple[i])...)
			continue
		}
		if m, ok := sub[rest].(map[string]any); ok {
			out = append(out, m)
		}
		out = append(out, schemasIn(sub["contains"])...)
		out = append(out, schemasIn(sub["unevaluatedItems"])...)
	}
	return out
}

// propertyNames lists what the schemas declare, sorted, each once.
func propertyNames(list []map[string]any) []string {
	var names []string
	for _, sub := range list {
		props, _ := sub["properties"].(map[string]any)
		for name := range props {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// propertyTypes gives the JSON type of each declared property, "" where it is
// not one type, and whether others are allowed.
func (s *schema) propertyTypes() (types map[string]string, open bool) {
	types = map[string]string{}
	if s == nil || s.root == nil {
		return types, false
	}
	all := s.expand([]map[string]any{s.root}, true)
	for _, name := range propertyNames(all) {
		types[name] = s.typeOf(s.ofProperty(all, name))
	}
	return types, s.open()
}

// open tells whether the schema takes properties that it does not declare.
func (s *schema) open() bool {
	if extra, ok := s.root["additionalProperties"]; ok {
		return extra != false || s.root["patternProperties"] != nil
	}
	if extra, ok := s.root["unevaluatedProperties"]; ok {
		return extra != false
	}
	return true
}

// typeOf gives the one type that the schemas allow; null beside it does not count.
func (s *schema) typeOf(list []map[string]any) string {
	for _, sub := range s.expand(list, false) {
		switch t := sub["type"].(type) {
		case string:
			return t
		case []any:
			var one []string
			for _, e := range t {
				if name, ok := e.(string); ok && name != "null" {
					one = append(one, name)
				}
			}
			if len(one) == 1 {
				return one[0]
			}
		}
	}
	return ""
}
