package catalog

import (
	"slices"

	"github.com/chandler-broker/chandler/core"
)

// breaksPlan tells whether what worked with the plan before can be refused now.
func breaksPlan(before, after *core.Plan) bool {
	if before.Name != after.Name || before.Bindable && !after.Bindable || before.PlanUpdateable && !after.PlanUpdateable ||
		before.BindingRotatable && !after.BindingRotatable || !before.RequiresApp && after.RequiresApp || before.Free && !after.Free {
		return true
	}
	for _, verb := range core.Verbs {
		if before.Async[verb] != core.AsyncRequired && after.Async[verb] == core.AsyncRequired {
			return true
		}
	}
	return narrows(before.SchemaProvision, after.SchemaProvision) || narrows(before.SchemaUpdate, after.SchemaUpdate) ||
		narrows(before.SchemaBind, after.SchemaBind)
}

// narrows tells whether the new schema plainly refuses what the old one took: a
// property that is gone, has another type or fewer words, or is required now.
func narrows(before, after core.Schema) bool {
	old, isOld := before.(*schema)
	now, isNew := after.(*schema)
	if !isOld || !isNew || old.root == nil {
		return false
	}
	if now.root == nil {
		return true
	}
	oldAll, newAll := old.expand([]map[string]any{old.root}, true), now.expand([]map[string]any{now.root}, true)
	required, _ := old.root["required"].([]any)
	requiredNow, _ := now.root["required"].([]any)
	if len(requiredNow) > 0 && fewer(requiredNow, append([]any{}, required...)) {
		return true
	}
	for _, name := range propertyNames(oldAll) {
		was, is := old.ofProperty(oldAll, name), now.ofProperty(newAll, name)
		if len(is) == 0 && !now.open() {
			return true
		}
		if t := now.typeOf(is); len(is) > 0 && t != "" && old.typeOf(was) != t && !(t == "number" && old.typeOf(was) == "integer") {
			return true
		}
		if fewer(words(old, was), words(now, is)) {
			return true
		}
	}
	return false
}

// words is the enum of a property; nil if it has none.
func words(s *schema, list []map[string]any) []any {
	for _, sub := range s.expand(list, false) {
		if enum, ok := sub["enum"].([]any); ok {
			return enum
		}
	}
	return nil
}

func fewer(was, is []any) bool {
	if is == nil {
		return false
	}
	left := map[string]bool{}
	for _, w := range is {
		left[values([]any{w})] = true
	}
	return was == nil || slices.ContainsFunc(was, func(w any) bool { return !left[values([]any{w})] })
}
