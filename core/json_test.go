package core_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
)

func TestJSONValue(t *testing.T) {
	for _, c := range []struct {
		why  string
		raw  string
		want any
	}{
		{"no input is null, as an absent field is", "", nil},
		{"white space is no input", " \n\t", nil},
		{"null", "null", nil},
		{"a boolean", "true", true},
		{"a text", `"a\u00e9\n"`, "aé\n"},
		{"an integer", "5", int64(5)},
		{"1.0 is the integer 1, as in JSON Schema", "1.0", int64(1)},
		{"1e3 is one, too", "1e3", int64(1000)},
		{"-0 is 0", "-0", int64(0)},
		{"the greatest integer stays exact", "9223372036854775807", int64(math.MaxInt64)},
		{"the least one, too", "-9223372036854775808", int64(math.MinInt64)},
		{"beyond 2^53 an integer is not rounded", "9007199254740993", int64(9007199254740993)},
		{"a whole number that fits is an integer however it is written", "1e18", int64(1e18)},
		{"what does not fit is a float", "9223372036854775808", float64(1 << 63)},
		{"so is a fraction", "2.5", 2.5},
		{"so is a large magnitude", "1e300", 1e300},
		{"numbers at every depth", `{"a":[1,{"b":2.0}]}`, map[string]any{"a": []any{int64(1), map[string]any{"b": int64(2)}}}},
		{"empty containers are not null", `{"a":[],"b":{}}`, map[string]any{"a": []any{}, "b": map[string]any{}}},
		{"the last of two keys wins, as everywhere in Go", `{"a":1,"a":2}`, map[string]any{"a": int64(2)}},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, err := core.JSONValue(json.RawMessage(c.raw))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestJSONValueRefuses(t *testing.T) {
	for _, c := range []struct{ why, raw string }{
		{"broken JSON", `{"a":`},
		{"two values are not one", `1 2`},
		{"nor is a value with something behind it", `{} x`},
		{"a number that no float holds", "1e400"},
		{"a bare word", "yes"},
		{"single quotes", `'a'`},
		{"comments", `{} // x`},
	} {
		t.Run(c.why, func(t *testing.T) {
			if v, err := core.JSONValue(json.RawMessage(c.raw)); err == nil {
				t.Errorf("it was read as %#v", v)
			}
		})
	}
	long := "1" + strings.Repeat("0", 400) + "e1"
	if _, err := core.JSONValue(json.RawMessage(long)); err == nil || len(err.Error()) > 100 {
		t.Errorf("a long number makes the error %v", err)
	}
}

func TestJSONObject(t *testing.T) {
	for _, c := range []struct {
		why  string
		raw  string
		want map[string]any
		ok   bool
	}{
		{"absent is an empty object", "", map[string]any{}, true},
		{"null is one, too (A-9)", "null", map[string]any{}, true},
		{"an object", `{"a":1}`, map[string]any{"a": int64(1)}, true},
		{"a list is none", `[]`, nil, false},
		{"a text is none", `"a"`, nil, false},
		{"broken JSON", `{`, nil, false},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, err := core.JSONObject(json.RawMessage(c.raw))
			if (err == nil) != c.ok {
				t.Fatalf("the error is %v", err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := core.JSONObject(json.RawMessage(`[]`)); core.CodeOf(err) != core.CodeInvalid {
		t.Errorf("a list is the user's mistake, the code is %q", core.CodeOf(err))
	}
}

func TestCanonicalJSON(t *testing.T) {
	for _, c := range []struct {
		why   string
		value any
		want  string
	}{
		{"keys are sorted", map[string]any{"b": 1, "a": map[string]any{"d": 1, "c": 2}}, `{"a":{"c":2,"d":1},"b":1}`},
		{"HTML is not escaped: credentials may hold it", "<&>", `"<&>"`},
		{"no line break behind it", nil, `null`},
		{"a text that ends in a line break keeps it", "a\n", `"a\n"`},
	} {
		t.Run(c.why, func(t *testing.T) {
			got, err := core.CanonicalJSON(c.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := core.CanonicalJSON(math.NaN()); err == nil {
		t.Error("NaN is not JSON, and no error")
	}
}

func TestCopyJSON(t *testing.T) {
	original := func() any {
		return map[string]any{"a": []any{int64(1), map[string]any{"b": "x"}}, "n": nil, "f": 2.5}
	}
	source := original()
	c := core.CopyJSON(source)
	if diff := cmp.Diff(original(), c); diff != "" {
		t.Errorf("the copy differs:\n%s", diff)
	}
	m := c.(map[string]any)
	m["a"].([]any)[0] = "changed"
	m["a"].([]any)[1].(map[string]any)["b"] = "changed"
	m["new"] = true
	if diff := cmp.Diff(original(), source); diff != "" {
		t.Errorf("a change of the copy shows in the original:\n%s", diff)
	}
}

// What was read once reads the same ever after, and equal values have equal bytes:
// the identity of requests rests on both.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`null`, `{"b":1.0,"a":[true,null,"\u2028<"]}`, `1e18`, `-0.0`, `9223372036854775808`, `123456789012345678901234567890`,
		`[1,]`, `{"a":1,"a":2}`, `"\ud800"`, "\"\xff\"", `5e-324`, `1E400`, ` {} `, `[[[[]]]]`, `0.1`, `1e21`, `1e20`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := core.JSONValue(raw)
		if err != nil {
			return
		}
		text, err := core.CanonicalJSON(v)
		if err != nil {
			t.Fatalf("%q was read and cannot be written: %v", raw, err)
		}
		if !json.Valid(text) || !utf8.Valid(text) {
			t.Fatalf("not JSON: %q", text)
		}
		again, err := core.JSONValue(text)
		if err != nil {
			t.Fatalf("%q was written and cannot be read: %v", text, err)
		}
		if diff := cmp.Diff(v, again); diff != "" {
			t.Fatalf("%q changes when it is read again:\n%s", raw, diff)
		}
		twice, err := core.CanonicalJSON(core.CopyJSON(again))
		if err != nil || string(twice) != string(text) {
			t.Fatalf("%q and %q are the same value (%v)", text, twice, err)
		}
	})
}
