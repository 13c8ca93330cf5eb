package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Bounds of one compilation and one rendering. They are far above what a catalog
// needs and low enough that no template or value can occupy the broker.
const (
	maxSource   = 64 << 10 // bytes of one scalar
	maxDocument = 1 << 20  // bytes of all scalars and keys of one source
	maxNodes    = 10_000   // values in one source
	maxDepth    = 100      // nesting of sources and of values
	maxResult   = 1 << 20  // bytes of a result, and of any value on the way to it
	maxWork     = 8 << 20  // units of work of one rendering: values and bytes touched
)

var (
	errTooDeep  = fmt.Errorf("the value is nested deeper than %d levels", maxDepth)
	errTooLarge = fmt.Errorf("the value is larger than %d bytes", maxResult)
	errNotText  = errors.New("the text is not valid UTF-8")
)

// plain turns what a function or the data may hold into a JSON-like value, one
// level deep: the values inside are converted when they are looked at.
func plain(v any) any {
	switch t := v.(type) {
	case int:
		return int64(t)
	case []string:
		l := make([]any, len(t))
		for i, e := range t {
			l[i] = e
		}
		return l
	case json.Number:
		if i, err := t.Int64(); err == nil {
			return i
		}
		if f, err := t.Float64(); err == nil {
			return f
		}
		return t.String()
	}
	return v
}

// sizeOf is about the size of v as JSON, in bytes. It fails beyond the bounds of
// size and depth and for what is not JSON.
func sizeOf(v any) (int, error) {
	size := 0
	err := addSize(v, maxDepth, &size)
	return size, err
}

func addSize(v any, depth int, size *int) error {
	if depth == 0 {
		return errTooDeep
	}
	*size += 4
	switch t := v.(type) {
	case nil, bool, int64:
	case float64:
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return errors.New("the number is not finite")
		}
	case string:
		*size += len(t)
	case []any:
		for _, e := range t {
			if err := addSize(plain(e), depth-1, size); err != nil {
				return err
			}
			if *size > maxResult {
				return errTooLarge
			}
		}
	case map[string]any:
		for k, e := range t {
			*size += len(k)
			if err := addSize(plain(e), depth-1, size); err != nil {
				return err
			}
			if *size > maxResult {
				return errTooLarge
			}
		}
	default:
		return fmt.Errorf("a value of Go type %T is not JSON", v)
	}
	if *size > maxResult {
		return errTooLarge
	}
	return nil
}

// result copies a value for the caller, so that it shares nothing with the data:
// without the null entries of mappings, since null means absent, at every level.
// v is within the bounds already.
func result(v any) (any, error) {
	switch t := plain(v).(type) {
	case string:
		if !utf8.ValidString(t) {
			return nil, errNotText
		}
		return t, nil
	case []any:
		l := make([]any, len(t))
		for i, e := range t {
			c, err := result(e)
			if err != nil {
				return nil, err
			}
			l[i] = c
		}
		return l, nil
	case map[string]any:
		m := make(map[string]any, len(t))
		for k, e := range t {
			c, err := result(e)
			if err != nil {
				return nil, err
			}
			if c != nil {
				m[k] = c
			}
		}
		return m, nil
	case float64:
		if n, err := wholeNumber(t); err == nil {
			return n, nil // as core.JSONValue reads it
		}
		return t, nil
	default:
		return t, nil
	}
}

// text is how a scalar appears inside of a string. Null, lists and mappings have no
// such form: what Go would print for them is never what a template means.
func text(v any) (string, error) {
	switch t := plain(v).(type) {
	case string:
		return t, nil
	case bool:
		return strconv.FormatBool(t), nil
	case int64:
		return strconv.FormatInt(t, 10), nil
	case float64:
		return floatText(t), nil
	case nil:
		return "", errors.New("null cannot be part of a text (use default)")
	case []any:
		return "", errors.New("a list cannot be part of a text (use join or toJSON)")
	case map[string]any:
		return "", errors.New("a mapping cannot be part of a text (use toJSON)")
	}
	return "", fmt.Errorf("a value of Go type %T is not JSON", v)
}

// floatText writes a number as JSON does for all magnitudes that people use.
func floatText(f float64) string {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// truth is text/template's idea of it: everything but the zero value of its type.
func truth(v any) bool {
	switch t := plain(v).(type) {
	case nil:
		return false
	case bool:
		return t
	case int64:
		return t != 0
	case float64:
		return t != 0
	case string:
		return t != ""
	case []any:
		return len(t) > 0
	case map[string]any:
		return len(t) > 0
	}
	return true
}
