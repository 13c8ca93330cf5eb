package template

import (
	"maps"
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// names are declared names with their types; open ones may have others beside.
type names struct {
	what  string // what one of them is called
	types map[string]string
	open  bool
}

// dataPath checks a path into the data, such as [parameters bucket], and gives its type.
// wrong and hint say what is wrong with it; wrong is "" if nothing is.
func dataPath(scope *core.TemplateScope, ident []string) (t types, wrong, hint string) {
	roots := map[string]func([]string) (types, string, string){
		"parameters": func(rest []string) (types, string, string) {
			return names{"parameter", scope.Parameters, scope.OpenParameters}.read(rest)
		},
		"instance": func(rest []string) (types, string, string) { return instancePath(scope, rest) },
		"service":  named,
		"plan":     named,
		"context":  open,
		"user":     open,
	}
	if scope.Binding {
		roots["binding"] = func(rest []string) (types, string, string) { return bindingPath(scope, rest) }
	} else if ident[0] == "binding" {
		return tAny, ".binding is not available " + where(scope), ""
	}
	return choose("the data has no", "."+ident[0], roots, ident)
}

// choose goes on at the first element of ident.
func choose(what, shown string, at map[string]func([]string) (types, string, string), ident []string) (types, string, string) {
	next, ok := at[ident[0]]
	if !ok {
		return tAny, what + " " + shown, suggest(ident[0], slices.Collect(maps.Keys(at)))
	}
	return next(ident[1:])
}

func instancePath(scope *core.TemplateScope, ident []string) (types, string, string) {
	if len(ident) == 0 {
		return tObject, "", ""
	}
	return choose("an instance has no", "."+ident[0], map[string]func([]string) (types, string, string){
		"id": leaf, "shortID": leaf, "context": open,
		"parameters": func(rest []string) (types, string, string) {
			return names{"parameter", scope.InstanceParameters, scope.OpenInstanceParameters}.read(rest)
		},
		"outputs": func(rest []string) (types, string, string) {
			return outputs(scope, "instance", scope.InstanceOutputs, rest)
		},
	}, ident)
}

func bindingPath(scope *core.TemplateScope, ident []string) (types, string, string) {
	if len(ident) == 0 {
		return tObject, "", ""
	}
	return choose("a binding has no", "."+ident[0], map[string]func([]string) (types, string, string){
		"id": leaf,
		"parameters": func(rest []string) (types, string, string) {
			return names{"parameter", scope.Parameters, scope.OpenParameters}.read(rest)
		},
		"outputs": func(rest []string) (types, string, string) {
			return outputs(scope, "binding", scope.BindingOutputs, rest)
		},
	}, ident)
}

func outputs(scope *core.TemplateScope, of string, declared map[string]string, ident []string) (types, string, string) {
	if declared == nil {
		return tAny, "the outputs of the " + of + " are not available " + where(scope), ""
	}
	return names{"output of the " + of, declared, scope.AnyOutputs}.read(ident)
}

// where names the template in messages.
func where(scope *core.TemplateScope) string {
	if scope.Name == "" {
		return "here"
	}
	return "in " + scope.Name
}

func leaf(ident []string) (types, string, string) { return inside(tString, "it", ident) }

func open(ident []string) (types, string, string) {
	if len(ident) == 0 {
		return tObject, "", ""
	}
	return tAny, "", ""
}

// named is .service and .plan.
func named(ident []string) (types, string, string) {
	if len(ident) == 0 {
		return tObject, "", ""
	}
	return choose("there is no", "."+ident[0], map[string]func([]string) (types, string, string){"id": leaf, "name": leaf}, ident)
}

// read checks a declared name and what follows it. Every value may be null: a
// parameter until somebody sets it, an output because the plugin says so.
func (n names) read(ident []string) (types, string, string) {
	if len(ident) == 0 {
		return tObject, "", ""
	}
	declared, ok := n.types[ident[0]]
	if !ok && n.open {
		return tAny, "", ""
	}
	if !ok {
		return tAny, "no " + n.what + " is called " + quoted(ident[0]), suggest(ident[0], slices.Collect(maps.Keys(n.types)))
	}
	return inside(declaredTypes(declared)|tNull, "the "+n.what+" "+quoted(ident[0]), ident[1:])
}

// inside checks that a value of type t can have the fields that follow.
func inside(t types, what string, ident []string) (types, string, string) {
	if len(ident) == 0 {
		return t, "", ""
	}
	if t.disjoint(tObject) {
		return tAny, what + " is " + (t &^ tNull).String() + " and has no field " + quoted(ident[0]), ""
	}
	return tAny, "", ""
}

func quoted(s string) string { return `"` + strings.ReplaceAll(clip(s), `"`, `'`) + `"` }
