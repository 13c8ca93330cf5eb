package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Document is a JSON value that the broker hands over: inputs, outputs, a handle or
// a configuration. The zero Document is empty.
type Document struct {
	raw json.RawMessage
	// lenient: keys that the target lacks are ignored. What was stored earlier may
	// have been written by another version, and must not block a deletion.
	lenient bool
	// what names the document in errors.
	what string
}

// JSON makes a Document of v, for tests of plugins: of a string or bytes that hold
// JSON, or of anything that encoding/json encodes. It panics if it cannot.
func JSON(v any) Document {
	switch t := v.(type) {
	case string:
		return mustDocument([]byte(t))
	case []byte:
		return mustDocument(t)
	case json.RawMessage:
		return mustDocument(t)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("plugin.JSON: %v", err))
	}
	return Document{raw: raw, what: "inputs"}
}

func mustDocument(raw []byte) Document {
	if !json.Valid(raw) {
		panic(fmt.Sprintf("plugin.JSON: not JSON: %.60s", raw))
	}
	return Document{raw: raw, what: "inputs"}
}

// Decode stores the document in v as encoding/json does. Inputs and configuration
// are decoded strictly: a key that v has no place for is an [InvalidInput] error
// that points to it, and so is a value of the wrong type. Inputs of Deprovision and
// Unbind, outputs and handles are decoded leniently, since another version of the
// plugin may have written them. An empty document leaves v as it is.
func (d Document) Decode(v any) error {
	if d.Empty() {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(d.raw))
	if !d.lenient {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(v); err != nil {
		return d.decodeError(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return d.decodeError(errors.New("more than one JSON value"))
	}
	return nil
}

// Empty tells whether there is no document at all; {} is not empty.
func (d Document) Empty() bool { return len(bytes.TrimSpace(d.raw)) == 0 }

// Raw gives the document's JSON, nil if it is empty. It must not be changed.
func (d Document) Raw() json.RawMessage { return d.raw }

// decodeError points to what could not be decoded. Values are left out: they may be secrets.
func (d Document) decodeError(err error) error {
	what := d.what
	if what == "" {
		what = "document"
	}
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		pointer := ""
		if wrongType.Field != "" {
			pointer = jsonPointer(strings.Split(wrongType.Field, ".")...)
		}
		kind, _, _ := strings.Cut(wrongType.Value, " ") // "number 12" → "number"
		return InvalidInput(pointer, "The %s hold a %s where a %s is expected.", what, kind, wrongType.Type)
	}
	// encoding/json has no error type for this.
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return InvalidInput(jsonPointer(name), "The %s hold %q, which is not known here.", what, name)
	}
	return InvalidInput("", "The %s cannot be read.", what).WithCause(err)
}

// jsonPointer makes a JSON pointer (RFC 6901) of reference tokens.
func jsonPointer(tokens ...string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return b.String()
}
