package template

import (
	"cmp"
	"errors"
	"reflect"
	"strings"
)

// logicFunctions decide and choose.
var logicFunctions = map[string]*function{
	// and, or are text/template's: they evaluate only what they need. The entries are for the checks.
	"and": {params: []types{tAny}, rest: tAny, result: tAny, resultOf: union},
	"or":  {params: []types{tAny}, rest: tAny, result: tAny, resultOf: union},
	"not": {params: []types{tAny}, result: tBool, call: func(c *call) (any, error) { return !truth(c.args[0]), nil }},

	"eq": {params: []types{tAny, tAny}, rest: tAny, result: tBool, deep: true, call: func(c *call) (any, error) {
		for _, e := range c.args[1:] {
			if equal(c.args[0], e) {
				return true, nil
			}
		}
		return false, nil
	}},
	"ne": {params: []types{tAny, tAny}, result: tBool, deep: true,
		call: func(c *call) (any, error) { return !equal(c.args[0], c.args[1]), nil }},
	"lt": order(func(n int) bool { return n < 0 }),
	"le": order(func(n int) bool { return n <= 0 }),
	"gt": order(func(n int) bool { return n > 0 }),
	"ge": order(func(n int) bool { return n >= 0 }),

	// Unlike sprig's, default keeps false and 0: a user who writes `versioning: false` means it.
	"default": {params: []types{tAny, tAny}, result: tAny,
		resultOf: func(args []types) types { return args[0] | args[1]&^tNull },
		call: func(c *call) (any, error) {
			if absent(c.args[1]) {
				return c.args[0], nil
			}
			return c.args[1], nil
		}},
	"coalesce": {rest: tAny, result: tAny, resultOf: func(args []types) types { return union(args) | tNull },
		call: func(c *call) (any, error) {
			for _, a := range c.args {
				if !absent(a) {
					return a, nil
				}
			}
			return nil, nil
		}},
	"empty": {params: []types{tAny}, result: tBool,
		call: func(c *call) (any, error) { return !truth(c.args[0]), nil }},
	"all": {rest: tAny, result: tBool, call: func(c *call) (any, error) {
		for _, a := range c.args {
			if !truth(a) {
				return false, nil
			}
		}
		return true, nil
	}},
	"any": {rest: tAny, result: tBool, call: func(c *call) (any, error) {
		for _, a := range c.args {
			if truth(a) {
				return true, nil
			}
		}
		return false, nil
	}},
	"ternary": {params: []types{tAny, tAny, tBool}, result: tAny,
		resultOf: func(args []types) types { return args[0] | args[1] },
		call: func(c *call) (any, error) {
			if c.args[2].(bool) {
				return c.args[0], nil
			}
			return c.args[1], nil
		}},
	"required": {params: []types{tString, tAny}, result: tAny,
		resultOf: func(args []types) types { return args[1] &^ tNull },
		call: func(c *call) (any, error) {
			if c.args[1] == nil || c.args[1] == "" {
				return nil, raise(c.str(0))
			}
			return c.args[1], nil
		}},
	"fail": {params: []types{tString}, result: tAny,
		call: func(c *call) (any, error) { return nil, raise(c.str(0)) }},
	"jsonType": {params: []types{tAny}, result: tString,
		call: func(c *call) (any, error) { return jsonNames[typeOf(c.args[0])], nil }},
}

// jsonNames are the names that JSON Schema gives the types.
var jsonNames = map[types]string{tNull: "null", tBool: "boolean", tInt: "integer", tFloat: "number",
	tString: "string", tList: "array", tObject: "object"}

// raise makes the error of fail and required.
func raise(message string) error {
	const longest = 1000 // runes; a template may have joined a user's text into it
	message = strings.TrimSpace(strings.ToValidUTF8(message, "?"))
	if r := []rune(message); len(r) > longest {
		message = string(r[:longest]) + "…"
	}
	if message == "" {
		message = "A required value is missing."
	}
	return &userError{message}
}

func union(args []types) types {
	var t types
	for _, a := range args {
		t |= a
	}
	return t
}

// absent is what default replaces: null, and texts, lists and mappings without content.
func absent(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case string:
		return t == ""
	case []any:
		return len(t) == 0
	case map[string]any:
		return len(t) == 0
	}
	return false
}

// equal compares as JSON: 1 and 1.0 are the same number.
func equal(a, b any) bool {
	a, b = plain(a), plain(b)
	switch x := a.(type) {
	case int64:
		if y, ok := b.(float64); ok {
			return float64(x) == y
		}
	case float64:
		if y, ok := b.(int64); ok {
			return x == float64(y)
		}
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			e, ok := y[k]
			if !ok || !equal(x[k], e) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}

// order makes a comparison of two numbers or two texts.
func order(holds func(int) bool) *function {
	return &function{params: []types{tNumber | tString, tNumber | tString}, result: tBool,
		call: func(c *call) (any, error) {
			switch a := c.args[0].(type) {
			case string:
				if b, ok := c.args[1].(string); ok {
					return holds(cmp.Compare(a, b)), nil
				}
			case int64:
				switch b := c.args[1].(type) {
				case int64:
					return holds(cmp.Compare(a, b)), nil
				case float64:
					return holds(cmp.Compare(float64(a), b)), nil
				}
			case float64:
				switch b := c.args[1].(type) {
				case int64:
					return holds(cmp.Compare(a, float64(b))), nil
				case float64:
					return holds(cmp.Compare(a, b)), nil
				}
			}
			return nil, errors.New("a number and a text cannot be ordered")
		}}
}
