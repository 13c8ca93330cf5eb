package template

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// mappingFunctions work on mappings. None changes its argument, and where an order
// shows it is that of the sorted keys.
var mappingFunctions = map[string]*function{
	"dict": {rest: tAny, result: tObject, call: func(c *call) (any, error) {
		if len(c.args)%2 != 0 {
			return nil, errors.New("it takes names and values in pairs")
		}
		m := make(map[string]any, len(c.args)/2)
		for i := 0; i < len(c.args); i += 2 {
			key, ok := c.args[i].(string)
			if !ok {
				return nil, errors.New("the names must be strings")
			}
			m[key] = c.args[i+1]
		}
		return m, nil
	}},
	"hasKey": {params: []types{tObject, tString}, result: tBool, call: func(c *call) (any, error) {
		_, ok := c.obj(0)[c.str(1)]
		return ok, nil
	}},
	"keys": {rest: tObject, result: tList, call: func(c *call) (any, error) {
		l := []any{}
		for i := range c.args {
			for _, k := range sortedKeys(c.obj(i)) {
				l = append(l, k)
			}
		}
		return l, nil
	}},
	"values": {params: []types{tObject}, result: tList, call: func(c *call) (any, error) {
		l := []any{}
		for _, k := range sortedKeys(c.obj(0)) {
			l = append(l, c.obj(0)[k])
		}
		return l, nil
	}},
	"pick": {params: []types{tObject}, rest: tString, result: tObject, call: func(c *call) (any, error) {
		m := map[string]any{}
		for i := 1; i < len(c.args); i++ {
			if v, ok := c.obj(0)[c.str(i)]; ok {
				m[c.str(i)] = v
			}
		}
		return m, nil
	}},
	"omit": {params: []types{tObject}, rest: tString, result: tObject, call: func(c *call) (any, error) {
		m := maps.Clone(c.obj(0))
		for i := 1; i < len(c.args); i++ {
			delete(m, c.str(i))
		}
		return m, nil
	}},
	"pluck": {params: []types{tString}, rest: tObject, result: tList, call: func(c *call) (any, error) {
		l := []any{}
		for i := 1; i < len(c.args); i++ {
			if v, ok := c.obj(i)[c.str(0)]; ok {
				l = append(l, v)
			}
		}
		return l, nil
	}},
	"merge": {params: []types{tObject}, rest: tObject, result: tObject, deep: true, call: func(c *call) (any, error) {
		m := c.obj(0)
		for i := 1; i < len(c.args); i++ {
			m = merge(c.obj(i), m)
		}
		return m, nil
	}},
	"mergeOverwrite": {params: []types{tObject}, rest: tObject, result: tObject, deep: true, call: func(c *call) (any, error) {
		m := c.obj(0)
		for i := 1; i < len(c.args); i++ {
			m = merge(m, c.obj(i))
		}
		return m, nil
	}},
	"dig": {params: []types{tString, tAny, tAny}, rest: tAny, result: tAny, call: func(c *call) (any, error) {
		n := len(c.args)
		v, def := c.args[n-1], c.args[n-2]
		for _, key := range c.args[:n-2] {
			name, ok := key.(string)
			if !ok {
				return nil, errors.New("the keys must be strings")
			}
			m, ok := plain(v).(map[string]any)
			if !ok {
				return def, nil
			}
			if v, ok = m[name]; !ok {
				return def, nil
			}
		}
		if v == nil {
			return def, nil
		}
		return v, nil
	}},
	"pointer": {params: []types{tString, tAny}, result: tAny, call: func(c *call) (any, error) {
		return resolve(c.str(0), c.args[1])
	}},
}

// merge lays over on top of base, mapping by mapping, in new mappings. Null in over
// does not hide what base has, since null means absent.
func merge(base, over map[string]any) map[string]any {
	m := maps.Clone(base)
	for k, v := range over {
		b, isMap := plain(m[k]).(map[string]any)
		o, both := plain(v).(map[string]any)
		switch {
		case isMap && both:
			m[k] = merge(b, o)
		case v != nil || m[k] == nil:
			m[k] = v
		}
	}
	return m
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// resolve reads a JSON pointer (RFC 6901).
func resolve(pointer string, v any) (any, error) {
	if pointer == "" {
		return v, nil
	}
	if pointer[0] != '/' {
		return nil, errors.New(`a JSON pointer is empty or begins with "/"`)
	}
	unescape := strings.NewReplacer("~1", "/", "~0", "~")
	for _, token := range strings.Split(pointer[1:], "/") {
		var key any = unescape.Replace(token)
		if _, isList := plain(v).([]any); isList {
			n, err := strconv.ParseInt(token, 10, 64)
			if err != nil || strconv.FormatInt(n, 10) != token {
				return nil, errors.New("the pointer does not name an element of the list")
			}
			key = n
		}
		var err error
		if v, err = element(v, key); err != nil {
			return nil, err
		}
	}
	return plain(v), nil
}
