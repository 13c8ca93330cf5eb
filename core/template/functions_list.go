package template

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// listFunctions work on lists. None changes its argument: each gives a new list.
var listFunctions = map[string]*function{
	"list":    {rest: tAny, result: tList, call: func(c *call) (any, error) { return c.args, nil }},
	"first":   onList(func(l []any) any { return at(l, 0) }),
	"last":    onList(func(l []any) any { return at(l, len(l)-1) }),
	"rest":    partOfList(func(l []any) []any { return l[min(1, len(l)):] }),
	"initial": partOfList(func(l []any) []any { return l[:max(0, len(l)-1)] }),
	"reverse": partOfList(func(l []any) []any {
		l = slices.Clone(l)
		slices.Reverse(l)
		return l
	}),
	"compact": partOfList(func(l []any) []any {
		return slices.DeleteFunc(slices.Clone(l), func(e any) bool { return !truth(e) })
	}),
	"append": {params: []types{tList, tAny}, result: tList,
		call: func(c *call) (any, error) { return append(slices.Clip(c.list(0)), c.args[1]), nil }},
	"prepend": {params: []types{tList, tAny}, result: tList,
		call: func(c *call) (any, error) { return append([]any{c.args[1]}, c.list(0)...), nil }},
	"concat": {rest: tList, result: tList, call: func(c *call) (any, error) {
		l := []any{}
		for i := range c.args {
			l = append(l, c.list(i)...)
		}
		return l, nil
	}},
	"uniq": {params: []types{tList}, result: tList, deep: true, call: func(c *call) (any, error) {
		seen, l := map[string]bool{}, []any{}
		for _, e := range c.list(0) {
			key, err := identity(e)
			if err != nil {
				return nil, err
			}
			if !seen[key] {
				seen[key] = true
				l = append(l, e)
			}
		}
		return l, nil
	}},
	"has": {params: []types{tAny, tList}, result: tBool, deep: true, call: func(c *call) (any, error) {
		return slices.ContainsFunc(c.list(1), func(e any) bool { return equal(e, c.args[0]) }), nil
	}},
	"without": {params: []types{tList}, rest: tAny, result: tList, deep: true, call: func(c *call) (any, error) {
		drop := map[string]bool{}
		for _, a := range c.args[1:] {
			key, err := identity(a)
			if err != nil {
				return nil, err
			}
			drop[key] = true
		}
		l := []any{}
		for _, e := range c.list(0) {
			key, err := identity(e)
			if err != nil {
				return nil, err
			}
			if !drop[key] {
				l = append(l, e)
			}
		}
		return l, nil
	}},
	"slice": {params: []types{tList, tInt, tInt}, optional: 2, result: tList, call: func(c *call) (any, error) {
		l := c.list(0)
		start, end := int64(0), int64(len(l))
		if len(c.args) > 1 {
			start = c.int(1)
		}
		if len(c.args) > 2 {
			end = c.int(2)
		}
		if start < 0 || end < start || end > int64(len(l)) {
			return nil, fmt.Errorf("the list has no part %d to %d, it has %d %s", start, end, len(l), plural(len(l), "element"))
		}
		return l[start:end], nil
	}},
	"chunk": {params: []types{tInt, tList}, result: tList, call: func(c *call) (any, error) {
		if c.int(0) < 1 {
			return nil, errors.New("the size must be at least 1")
		}
		chunks := []any{}
		for part := range slices.Chunk(c.list(1), int(min(c.int(0), maxResult))) {
			chunks = append(chunks, slices.Clone(part))
		}
		return chunks, nil
	}},
	"sortAlpha": {params: []types{tList}, result: tList, call: func(c *call) (any, error) {
		l := make([]string, len(c.list(0)))
		for i, e := range c.list(0) {
			var err error
			if l[i], err = text(e); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
		}
		slices.Sort(l)
		return l, nil
	}},
	"toStrings": {params: []types{tList}, result: tList, call: func(c *call) (any, error) {
		l := make([]string, len(c.list(0)))
		for i, e := range c.list(0) {
			var err error
			if l[i], err = text(e); err != nil {
				return nil, fmt.Errorf("element %d: %w", i, err)
			}
		}
		return l, nil
	}},
	"len": {params: []types{tString | tList | tObject}, result: tInt, call: func(c *call) (any, error) {
		switch t := c.args[0].(type) {
		case string:
			return int64(len([]rune(t))), nil
		case []any:
			return int64(len(t)), nil
		default:
			return int64(len(c.obj(0))), nil
		}
	}},
	"index": {params: []types{tList | tObject, tInt | tString}, rest: tInt | tString, result: tAny,
		call: func(c *call) (any, error) {
			v := c.args[0]
			for _, key := range c.args[1:] {
				var err error
				if v, err = element(v, key); err != nil {
					return nil, err
				}
			}
			return v, nil
		}},
}

func onList(f func([]any) any) *function {
	return &function{params: []types{tList}, result: tAny,
		call: func(c *call) (any, error) { return f(c.list(0)), nil }}
}

func partOfList(f func([]any) []any) *function {
	return &function{params: []types{tList}, result: tList,
		call: func(c *call) (any, error) { return f(c.list(0)), nil }}
}

// at is an element, null where there is none.
func at(l []any, i int) any {
	if i < 0 || i >= len(l) {
		return nil
	}
	return l[i]
}

// element reads one key of a mapping or one position of a list; what is not there is an error.
func element(v, key any) (any, error) {
	switch t := plain(v).(type) {
	case map[string]any:
		name, ok := key.(string)
		if !ok {
			return nil, errors.New("a mapping is indexed by names")
		}
		e, ok := t[name]
		if !ok {
			return nil, errors.New("the mapping has no such entry (dig takes a default)")
		}
		return plain(e), nil
	case []any:
		i, ok := key.(int64)
		if !ok {
			return nil, errors.New("a list is indexed by numbers")
		}
		if i < 0 || i >= int64(len(t)) {
			return nil, fmt.Errorf("the list has no element %d, it has %d", i, len(t))
		}
		return plain(t[i]), nil
	default:
		return nil, fmt.Errorf("%s has no entries", typeOf(t))
	}
}

// identity is a text that equal values share: 1 and 1.0 too.
func identity(v any) (string, error) {
	var b strings.Builder
	err := writeJSON(&b, v, "")
	return b.String(), err
}

// clip keeps names that came from data short in messages.
func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
