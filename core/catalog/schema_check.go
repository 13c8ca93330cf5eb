package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/chandler-broker/chandler/core"
)

// Validate implements core.Schema. A null stands for an absent property, as in a
// PATCH that takes a parameter away, unless the schema has a word for null itself.
// Messages name what was expected and never repeat a value, since it may be secret.
func (s *schema) Validate(params map[string]any) []core.Violation {
	if s.root == nil {
		var out []core.Violation
		for name := range params {
			out = append(out, core.Violation{Pointer: pointerTo([]string{name}), Message: "is not known: there are no parameters here"})
		}
		return tidy(out)
	}
	return s.check(s.withoutNulls(params))
}

func (s *schema) withoutNulls(params map[string]any) map[string]any {
	all := s.expand([]map[string]any{s.root}, true)
	names := propertyNames(all)
	out := make(map[string]any, len(params))
	for name, v := range params {
		if v == nil && slices.Contains(names, name) && !s.allowsNull(s.ofProperty(all, name)) {
			continue
		}
		out[name] = v
	}
	return out
}

// allowsNull tells whether a type list names null.
func (s *schema) allowsNull(list []map[string]any) bool {
	for _, sub := range s.expand(list, true) {
		types, _ := sub["type"].([]any)
		if sub["type"] == "null" || slices.Contains(types, any("null")) {
			return true
		}
	}
	return false
}

// check holds any value against the schema.
func (s *schema) check(value any) []core.Violation {
	err := s.compiled.Validate(value)
	if err == nil {
		return nil
	}
	var verr *jsonschema.ValidationError
	if !errors.As(err, &verr) {
		return []core.Violation{{Message: "cannot be checked against the schema"}}
	}
	return violations(verr, s)
}

// violations flattens the library's tree. s may be nil; with it, unknown
// properties get a "did you mean".
func violations(err *jsonschema.ValidationError, s *schema) []core.Violation {
	var out []core.Violation
	collect(err, s, &out)
	return tidy(out)
}

func tidy(list []core.Violation) []core.Violation {
	slices.SortStableFunc(list, func(a, b core.Violation) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(list)
}

func collect(e *jsonschema.ValidationError, s *schema, out *[]core.Violation) {
	at := func(format string, args ...any) {
		*out = append(*out, core.Violation{Pointer: pointerTo(e.InstanceLocation), Message: fmt.Sprintf(format, args...)})
	}
	below := func(name, format string, args ...any) {
		*out = append(*out, core.Violation{Pointer: pointerTo(append(slices.Clone(e.InstanceLocation), name)), Message: fmt.Sprintf(format, args...)})
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf:
		at("must have one of these forms: %s", forms(e, s))
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			at("has more than one of the forms of which exactly one is allowed")
		} else {
			at("must have exactly one of these forms: %s", forms(e, s))
		}
	case *kind.Required:
		for _, name := range k.Missing {
			below(name, "is required")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			below(name, "is not known%s", suggestion(e, s, name))
		}
	case *kind.DependentRequired:
		for _, name := range k.Missing {
			below(name, "is required together with %s", k.Prop)
		}
	case *kind.Dependency:
		for _, name := range k.Missing {
			below(name, "is required together with %s", k.Prop)
		}
	default:
		if text := constraint(e.ErrorKind); text != "" {
			at("%s", text)
			return
		}
		for _, cause := range e.Causes {
			collect(cause, s, out)
		}
		if len(e.Causes) == 0 {
			at("is not allowed here")
		}
	}
}

// constraint says in words what a single keyword expected; "" for keywords that only hold others.
func constraint(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + alternatives(k.Want) + ", found " + article(k.Got)
	case *kind.Enum:
		return "must be one of " + values(k.Want)
	case *kind.Const:
		return "must be " + values([]any{k.Want})
	case *kind.Format:
		return "must be " + formatWords(k.Want)
	case *kind.Pattern:
		return "must match the pattern " + k.Want
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %s", count(k.Want, "character"))
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %s", count(k.Want, "character"))
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %s", count(k.Want, "item"))
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %s", count(k.Want, "item"))
	case *kind.AdditionalItems:
		return fmt.Sprintf("has %s too many", count(k.Count, "item"))
	case *kind.MinProperties:
		return fmt.Sprintf("must have at least %d entries", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d entries", k.Want)
	case *kind.UniqueItems:
		return "must not have the same item twice"
	case *kind.Contains, *kind.MinContains, *kind.MaxContains:
		return "does not have the right number of items of the required form"
	case *kind.Minimum:
		return "must be at least " + number(k.Want)
	case *kind.Maximum:
		return "must be at most " + number(k.Want)
	case *kind.ExclusiveMinimum:
		return "must be greater than " + number(k.Want)
	case *kind.ExclusiveMaximum:
		return "must be less than " + number(k.Want)
	case *kind.MultipleOf:
		return "must be a multiple of " + number(k.Want)
	case *kind.Not:
		return "has a form that is not allowed"
	case *kind.FalseSchema:
		return "is not allowed here"
	case *kind.PropertyNames:
		return fmt.Sprintf("has an entry with a name that is not allowed: %q", k.Property)
	}
	return ""
}

// suggestion names the property that was meant, or those that exist.
func suggestion(e *jsonschema.ValidationError, s *schema, name string) string {
	if s == nil {
		return ""
	}
	at, _ := lookup(s.root, fragment(e.SchemaURL)).(map[string]any)
	known := propertyNames(s.expand([]map[string]any{at}, true))
	if hint := didYouMean(name, known); hint != "" {
		return "; " + hint
	}
	if len(known) == 0 {
		return "; there are none here"
	}
	if len(known) > 20 {
		return ""
	}
	return "; known are " + strings.Join(known, ", ")
}

// forms describes the branches of anyOf and oneOf by what each of them missed.
func forms(e *jsonschema.ValidationError, s *schema) string {
	var list []string
	for _, branch := range e.Causes {
		var parts []string
		for _, v := range violations(branch, s) {
			inner := strings.TrimPrefix(v.Pointer, pointerTo(e.InstanceLocation))
			parts = append(parts, strings.TrimSpace(strings.TrimPrefix(inner, "/")+" "+v.Message))
		}
		if text := strings.Join(parts, " and "); text != "" && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return "(" + strings.Join(list, "), or (") + ")"
}

func article(jsonType string) string {
	switch jsonType {
	case "null":
		return "null"
	case "integer", "array", "object":
		return "an " + jsonType
	}
	return "a " + jsonType
}

func alternatives(types []string) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = article(t)
	}
	return strings.Join(words, " or ")
}

func values(list []any) string {
	words := make([]string, len(list))
	for i, v := range list {
		if raw, err := core.CanonicalJSON(v); err == nil {
			words[i] = string(raw)
		}
	}
	return strings.Join(words, ", ")
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func number(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return fmt.Sprintf("%v", f)
}

func formatWords(name string) string {
	switch name {
	case "date-time":
		return "a date and time such as 2030-01-31T12:00:00Z"
	case "date":
		return "a date such as 2030-01-31"
	case "uri":
		return "an absolute URI"
	case "email":
		return "an e-mail address"
	case "hostname":
		return "a host name"
	case "ipv4", "ipv6":
		return "an address of the form " + name
	case "uuid":
		return "a UUID"
	case "regex":
		return "a regular expression"
	}
	return "of the format " + name
}
