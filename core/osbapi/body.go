package osbapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// body is a JSON object of a request. Its getters note in the call what is not as
// expected; unknown fields are ignored, as the specification wants it.
type body struct {
	c      *call
	at     string // JSON pointer of the object; "" is the whole body
	fields map[string]json.RawMessage
}

// readBody reads the whole body, at most limit bytes. The error is of the body as
// a whole; with it there is nothing to look for in the fields.
func (c *call) readBody(limit int64) (*body, error) {
	if problem := c.contentTypeProblem(); problem != "" {
		c.problem("Content-Type", "%s", problem)
		return nil, c.invalid()
	}
	if err := c.receive(limit); err != nil {
		return nil, err
	}
	raw, err := c.readAll(limit)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		// 400 and not 413: it is the one status that clients take as final,
		// and the specification prefers it to HTTP's finer ones (CT-03).
		c.problem(wholeBody, "is too large; expected at most %d bytes", limit)
		return nil, c.invalid()
	case err != nil:
		return nil, core.Errorf(core.CodeInvalid, "The request's body could not be read to its end.").WithCause(err)
	}
	if err := c.enter(); err != nil {
		return nil, err
	}
	if problems := scanJSON(raw); len(problems) > 0 {
		c.problems = append(c.problems, problems...)
		return nil, c.invalid()
	}
	b := &body{c: c}
	if raw[firstByte(raw)] != '{' {
		c.problem(wholeBody, "is %s; expected a JSON object", kindOf(raw))
		return nil, c.invalid()
	}
	if err := json.Unmarshal(raw, &b.fields); err != nil {
		return nil, core.Errorf(core.CodeInvalid, "The request's body is not a JSON object.").WithCause(err)
	}
	return b, nil
}

// readAll reads the body's bytes; one that says how long it is and is too long is not
// read at all.
func (c *call) readAll(limit int64) ([]byte, error) {
	if c.r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	return io.ReadAll(http.MaxBytesReader(c.ResponseWriter, c.r.Body, limit))
}

// contentTypeProblem says what is wrong with the body's declared form; "" if
// nothing, or if nothing is declared.
func (c *call) contentTypeProblem() string {
	if e := c.r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return "a compressed body (Content-Encoding) is not supported; send it as it is"
	}
	declared := c.r.Header.Get("Content-Type")
	if declared == "" {
		return ""
	}
	kind, params, err := mime.ParseMediaType(declared)
	if err != nil || kind != "application/json" && !(strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json")) {
		return "is not JSON; expected application/json"
	}
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") {
		return "names a character set that JSON cannot have; expected utf-8"
	}
	return ""
}

// absent tells whether a field is missing or null, which is the same for every
// field of the specification.
func (b *body) absent(name string) bool {
	raw, ok := b.fields[name]
	return !ok || string(raw) == "null"
}

func (b *body) place(name string) string { return b.at + "/" + escapePointer(name) }

// text gives a string; "" if it is absent, null or empty.
func (b *body) text(name string) string {
	if b.absent(name) {
		return ""
	}
	var s string
	if err := json.Unmarshal(b.fields[name], &s); err != nil {
		b.c.problem(b.place(name), "is %s; expected a string", kindOf(b.fields[name]))
		return ""
	}
	if strings.ContainsRune(s, 0) {
		b.c.problem(b.place(name), "contains the NUL character")
		return ""
	}
	return s
}

// requiredText gives a string that must be there and not empty.
func (b *body) requiredText(name string) string {
	before := len(b.c.problems)
	s := b.text(name)
	if s == "" && len(b.c.problems) == before {
		b.c.problem(b.place(name), "is missing or empty; expected a non-empty string")
	}
	return s
}

// object gives a JSON object as it was sent; nil if it is absent or null.
func (b *body) object(name string) json.RawMessage {
	if b.absent(name) {
		return nil
	}
	raw := b.fields[name]
	if kindOf(raw) != "an object" {
		b.c.problem(b.place(name), "is %s; expected an object", kindOf(raw))
		return nil
	}
	return raw
}

// in gives the object under name as a body of its own; without fields if it is absent.
func (b *body) in(name string) *body {
	inner := &body{c: b.c, at: b.place(name)}
	if raw := b.object(name); raw != nil {
		if err := json.Unmarshal(raw, &inner.fields); err != nil {
			b.c.problem(inner.at, "cannot be read")
		}
	}
	return inner
}

// context gives the platform's context object and checks its platform against the
// originating identity's.
func (b *body) context() json.RawMessage {
	inner := b.in("context")
	platform := inner.text("platform")
	if platform != "" && b.c.platform != "" && platform != b.c.platform {
		b.c.problem(inner.place("platform"), "is %q, but the header %s says %q; expected the same",
			platform, headerIdentity, b.c.platform)
	}
	if b.absent("context") || inner.fields == nil {
		return nil
	}
	return b.fields["context"]
}

// maintenance reads maintenance_info, of which only the version counts.
func (b *body) maintenance() core.MaintenanceRequest {
	return core.MaintenanceRequest{Version: b.in("maintenance_info").text("version")}
}

// kindOf names the kind of a valid JSON value, with its article.
func kindOf(raw []byte) string {
	switch raw[firstByte(raw)] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// firstByte is the index of the first byte of raw that is not white space; raw is valid JSON.
func firstByte(raw []byte) int {
	for i, c := range raw {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return i
		}
	}
	return 0
}
