package template

import "strings"

// types is a set of JSON types: what an expression may yield or a parameter may take.
type types uint8

const (
	tNull types = 1 << iota
	tBool
	tInt
	tFloat // a number that is not whole, or not known to be
	tString
	tList
	tObject

	tNumber = tInt | tFloat
	tScalar = tBool | tNumber | tString
	tAny    = tNull | tScalar | tList | tObject
)

// declaredTypes reads a JSON Schema type as in core.TemplateScope; "" and what is
// not a type name mean any.
func declaredTypes(jsonType string) types {
	switch jsonType {
	case "string":
		return tString
	case "integer":
		return tInt
	case "number":
		return tNumber
	case "boolean":
		return tBool
	case "array":
		return tList
	case "object":
		return tObject
	case "null":
		return tNull
	}
	return tAny
}

// typeOf gives the type of a JSON-like value, 0 for anything else.
func typeOf(v any) types {
	switch v.(type) {
	case nil:
		return tNull
	case bool:
		return tBool
	case int64:
		return tInt
	case float64:
		return tFloat
	case string:
		return tString
	case []any:
		return tList
	case map[string]any:
		return tObject
	}
	return 0
}

// disjoint says that no value of t can serve where want is wanted. Null never
// conflicts on its own: a null result removes the key, and what a declared value is
// before somebody sets it says nothing about its use. Nor do whole numbers and
// fractions conflict: 2.0 is 2 in JSON.
func (t types) disjoint(want types) bool {
	rest := t &^ tNull
	if want&tNumber != 0 {
		want |= tNumber
	}
	return rest != 0 && rest&want == 0
}

// String names the set for messages: "a string", "an integer or a boolean".
func (t types) String() string {
	if t == tAny || t == tAny&^tNull {
		return "any value"
	}
	var names []string
	if t&tNumber == tNumber {
		names = append(names, "a number")
	} else if t&tInt != 0 {
		names = append(names, "an integer")
	} else if t&tFloat != 0 {
		names = append(names, "a fraction")
	}
	for _, e := range []struct {
		bit  types
		name string
	}{{tString, "a string"}, {tBool, "a boolean"}, {tList, "a list"}, {tObject, "a mapping"}, {tNull, "null"}} {
		if t&e.bit != 0 {
			names = append(names, e.name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
