package core_test

import (
	"encoding/json"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// TestRequestDigest: equal values, equal digests; different ones, different.
func TestRequestDigest(t *testing.T) {
	digest := func(parts ...any) string {
		d, err := core.RequestDigest(parts...)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	same := [][2]string{{``, `{}`}, {`null`, `{}`}, {`{"a":1}`, ` {"a" : 1.0 }`}, {`{"a":1,"b":2}`, `{"b":2,"a":1}`}, {`{"a":1e2}`, `{"a":100}`}}
	for _, s := range same {
		if digest(json.RawMessage(s[0])) != digest(json.RawMessage(s[1])) {
			t.Errorf("PRO-10: %s and %s differ", s[0], s[1])
		}
	}
	if digest("a", "b") == digest("ab", "") || digest(json.RawMessage(`{"a":"1"}`)) == digest(json.RawMessage(`{"a":1}`)) {
		t.Error("different requests have one digest")
	}
	if _, err := core.RequestDigest(json.RawMessage(`[]`)); core.CodeOf(err) != core.CodeInvalid {
		t.Errorf("a list: %v", err)
	}
}
