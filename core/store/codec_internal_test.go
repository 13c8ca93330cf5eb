package store

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// FuzzStoredJSON decodes arbitrary bytes as each of the JSON columns: that must
// never panic, and what decodes must be stable, since rows are read and written
// back again and again.
func FuzzStoredJSON(f *testing.F) {
	for _, seed := range []string{``, `null`, `{}`, `[]`, `[null]`, `{"credentials":{"uri":"<&>"},"endpoints":[]}`,
		`{"inputs":{"a":1.0},"secrets":["x"],"unbinds":[{"binding_id":"b"}],"undo":null}`,
		`[{"operation":"o","verb":"bind","inputs":{},"handle":"aA=="}]`,
		`{"code":"failed","message":"m","violations":[{"pointer":"/a","message":"b"}],"instance_usable":false,"retry_after":5}`,
		`["left"]`, "\"\u2028\xff\"", `{"inputs": {"a" : 1 }}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		stable[core.Wanted](t, data)
		stable[[]core.Attempt](t, data)
		stable[*core.BindingResult](t, data)
		stable[*core.Error](t, data)
		stable[[]string](t, data)
	})
}

func stable[T any](t *testing.T, data []byte) {
	once, ok := recode[T](t, data)
	if !ok {
		return
	}
	twice, ok := recode[T](t, once)
	if !ok || !bytes.Equal(once, twice) {
		t.Errorf("%T: %s became %s", *new(T), once, twice)
	}
}

func recode[T any](t *testing.T, data []byte) ([]byte, bool) {
	var v T
	o := opener{cipher: plainCipher{}}
	o.json("column", data, &v)
	if o.err != nil {
		return nil, false
	}
	b, err := encodeJSON(v)
	if err != nil {
		t.Fatalf("%T decodes from %q and does not encode: %v", v, data, err)
	}
	if !json.Valid(b) {
		t.Fatalf("%T is stored as %q", v, b)
	}
	return b, true
}
