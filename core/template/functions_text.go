package template

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/Masterminds/sprig/v3"
)

// hermetic is sprig's own set, of which the language takes the functions that are
// total and cheap as they are. What reads the environment, the clock or chance, what
// changes a value in place and what turns a mistake into a value is not taken.
var hermetic = sprig.HermeticTxtFuncMap()

// textFunctions work on strings.
var textFunctions = map[string]*function{
	"trim":      onText(strings.TrimSpace),
	"upper":     onText(strings.ToUpper),
	"lower":     onText(strings.ToLower),
	"title":     onText(hermetic["title"].(func(string) string)),
	"untitle":   onText(hermetic["untitle"].(func(string) string)),
	"nospace":   onText(hermetic["nospace"].(func(string) string)),
	"initials":  onText(hermetic["initials"].(func(string) string)),
	"swapcase":  onText(hermetic["swapcase"].(func(string) string)),
	"snakecase": onText(hermetic["snakecase"].(func(string) string)),
	"camelcase": onText(hermetic["camelcase"].(func(string) string)),
	"kebabcase": onText(hermetic["kebabcase"].(func(string) string)),

	"trimPrefix": withText(func(a, s string) any { return strings.TrimPrefix(s, a) }, tString),
	"trimSuffix": withText(func(a, s string) any { return strings.TrimSuffix(s, a) }, tString),
	"contains":   withText(func(a, s string) any { return strings.Contains(s, a) }, tBool),
	"hasPrefix":  withText(func(a, s string) any { return strings.HasPrefix(s, a) }, tBool),
	"hasSuffix":  withText(func(a, s string) any { return strings.HasSuffix(s, a) }, tBool),
	"trimAll": {params: []types{tString, tString}, result: tString, call: func(c *call) (any, error) {
		if len(c.str(0)) > 256 { // strings.Trim compares every rune with every rune
			return nil, errors.New("the set of characters is longer than 256 bytes")
		}
		return strings.Trim(c.str(1), c.str(0)), nil
	}},

	"repeat": {params: []types{tInt, tString}, result: tString, call: func(c *call) (any, error) {
		if c.int(0) < 0 {
			return nil, errors.New("the count is negative")
		}
		if err := fits(c.int(0), int64(len(c.str(1)))); err != nil {
			return nil, err
		}
		return strings.Repeat(c.str(1), int(c.int(0))), nil
	}},
	"replace": {params: []types{tString, tString, tString}, result: tString, call: func(c *call) (any, error) {
		if n := strings.Count(c.str(2), c.str(0)); n > 0 {
			if err := fits(int64(n), int64(len(c.str(1)))); err != nil {
				return nil, err
			}
		}
		return strings.ReplaceAll(c.str(2), c.str(0), c.str(1)), nil
	}},
	"indent": {params: []types{tInt, tString}, result: tString, call: func(c *call) (any, error) { return indent(c) }},
	"nindent": {params: []types{tInt, tString}, result: tString, call: func(c *call) (any, error) {
		s, err := indent(c)
		return "\n" + s, err
	}},

	"substr": {params: []types{tInt, tInt, tString}, result: tString, call: func(c *call) (any, error) {
		r := []rune(c.str(2))
		start, end := max(c.int(0), 0), c.int(1)
		if end < 0 || end > int64(len(r)) {
			end = int64(len(r))
		}
		if start >= end {
			return "", nil
		}
		return string(r[start:end]), nil
	}},
	"trunc": {params: []types{tInt, tString}, result: tString, call: func(c *call) (any, error) {
		r, n := []rune(c.str(1)), c.int(0)
		switch {
		case n >= 0 && n < int64(len(r)):
			r = r[:n]
		case n < 0 && -n < int64(len(r)) && -n > 0:
			r = r[int64(len(r))+n:]
		}
		return string(r), nil
	}},
	"abbrev": {params: []types{tInt, tString}, result: tString, call: func(c *call) (any, error) {
		r, n := []rune(c.str(1)), c.int(0)
		if n < 4 {
			return nil, errors.New("the width must be at least 4")
		}
		if int64(len(r)) <= n {
			return c.str(1), nil
		}
		return string(r[:n-3]) + "...", nil
	}},

	"quote": {params: []types{tScalar}, result: tString, call: func(c *call) (any, error) {
		s, err := text(c.args[0])
		return strconv.Quote(s), err
	}},
	"squote": {params: []types{tScalar}, result: tString, call: func(c *call) (any, error) {
		s, err := text(c.args[0])
		return "'" + s + "'", err
	}},
	"toString": {params: []types{tScalar}, result: tString,
		call: func(c *call) (any, error) { return text(c.args[0]) }},
	"print": {rest: tScalar, result: tString, call: func(c *call) (any, error) { return texts(c.args, "") }},
	"cat":   {rest: tScalar, result: tString, call: func(c *call) (any, error) { return texts(c.args, " ") }},
	"printf": {params: []types{tString}, rest: tScalar, result: tString, literal: true,
		call: func(c *call) (any, error) { return format(c.str(0), c.args[1:]) }},
	"plural": {params: []types{tString, tString, tInt}, result: tString, call: func(c *call) (any, error) {
		if c.int(2) == 1 {
			return c.args[0], nil
		}
		return c.args[1], nil
	}},

	"join": {params: []types{tString, tList}, result: tString, call: func(c *call) (any, error) {
		l := c.list(1)
		if err := fits(int64(len(l)), int64(len(c.str(0)))); err != nil {
			return nil, err
		}
		return texts(l, c.str(0))
	}},
	"splitList": {params: []types{tString, tString}, result: tList, call: func(c *call) (any, error) {
		return strings.Split(c.str(1), c.str(0)), nil
	}},
	"split": {params: []types{tString, tString}, result: tObject, call: func(c *call) (any, error) {
		return numbered(strings.Split(c.str(1), c.str(0))), nil
	}},
	"splitn": {params: []types{tString, tInt, tString}, result: tObject, call: func(c *call) (any, error) {
		if c.int(1) < 1 {
			return nil, errors.New("the number of parts must be at least 1")
		}
		return numbered(strings.SplitN(c.str(2), c.str(0), int(min(c.int(1), maxResult)))), nil
	}},
}

func onText(f func(string) string) *function {
	return &function{params: []types{tString}, result: tString,
		call: func(c *call) (any, error) { return f(c.str(0)), nil }}
}

func withText(f func(a, s string) any, result types) *function {
	return &function{params: []types{tString, tString}, result: result,
		call: func(c *call) (any, error) { return f(c.str(0), c.str(1)), nil }}
}

// fits refuses before it is made a text of count times size bytes that would be too large.
func fits(count, size int64) error {
	if count > 0 && size > 0 && count > maxResult/size {
		return errTooLarge
	}
	return nil
}

func indent(c *call) (string, error) {
	n, s := c.int(0), c.str(1)
	if n < 0 || n > 1000 {
		return "", errors.New("the indentation must be 0 to 1000")
	}
	if err := fits(int64(strings.Count(s, "\n")+1), n); err != nil {
		return "", err
	}
	pad := strings.Repeat(" ", int(n))
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad), nil
}

// texts joins scalars.
func texts(values []any, sep string) (string, error) {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(sep)
		}
		s, err := text(v)
		if err != nil {
			return "", fmt.Errorf("element %d: %w", i, err)
		}
		if b.WriteString(s); b.Len() > maxResult {
			return "", errTooLarge
		}
	}
	return b.String(), nil
}

// numbered is sprig's form of a split text: {_0: …, _1: …}, readable as ._0.
func numbered(parts []string) map[string]any {
	m := make(map[string]any, len(parts))
	for i, p := range parts {
		m["_"+strconv.Itoa(i)] = p
	}
	return m
}
