package core

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
)

// JSONValue decodes one JSON value into JSON-like values: nil, bool, string,
// int64 (numbers that are whole and fit), float64, []any, map[string]any. Empty
// input gives nil. Trailing data is an error. Duplicate keys: the last one wins,
// as in encoding/json.
func JSONValue(raw json.RawMessage) (any, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("decode JSON: more than one value")
	}
	return plainNumbers(v)
}

// plainNumbers replaces json.Number by int64 or float64, in place.
func plainNumbers(v any) (any, error) {
	var err error
	switch t := v.(type) {
	case json.Number:
		return plainNumber(t)
	case map[string]any:
		for k, e := range t {
			if t[k], err = plainNumbers(e); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, e := range t {
			if t[i], err = plainNumbers(e); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// plainNumber reads 1, 1.0 and 1e0 as the same int64, as JSON Schema and RFC 8259 do.
func plainNumber(n json.Number) (any, error) {
	if i, err := n.Int64(); err == nil {
		return i, nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("decode JSON: the number %.20s is out of range", n)
	}
	// Up to 2^63, since encoding writes such a float without an exponent and a
	// second reading would take it for an integer.
	if f == math.Trunc(f) && f >= math.MinInt64 && f < math.MaxInt64 {
		return int64(f), nil
	}
	return f, nil
}

// CanonicalJSON encodes a JSON-like value with sorted keys, without insignificant
// white space and without HTML escaping, so that equal values have equal bytes.
func CanonicalJSON(v any) (json.RawMessage, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode JSON: %w", err)
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

// CopyJSON is a deep copy of a JSON-like value.
func CopyJSON(v any) any {
	switch t := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(t))
		for k, e := range t {
			m[k] = CopyJSON(e)
		}
		return m
	case []any:
		l := make([]any, len(t))
		for i, e := range t {
			l[i] = CopyJSON(e)
		}
		return l
	}
	return v
}
