package osbapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// doc is a JSON object that is about to be sent.
type doc map[string]any

// reply is an answer before it is written.
type reply struct {
	status int
	body   doc
	// raw is sent instead of body: bytes that are JSON already.
	raw []byte
	// sent is true where the handler has written the answer itself.
	sent   bool
	header http.Header
	// operation is the id of the operation that the answer speaks of, for the log.
	operation string
	// retryAfter is sent as a header in whole seconds, rounded up; zero is not sent.
	retryAfter time.Duration
}

// send writes r. Every answer but a 304 has a JSON body, `{}` at least: clients
// parse the bodies of 200, 202 and 410 whatever they expect in them.
func (e *exchange) send(r reply) {
	if r.sent {
		return
	}
	body := r.raw
	if body == nil && r.status != http.StatusNotModified {
		body = encode(r.body)
	}
	h := e.Header()
	for name, values := range r.header {
		h[name] = values
	}
	if r.retryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(seconds(r.retryAfter), 10))
	}
	if r.status != http.StatusNotModified {
		h["Content-Type"] = jsonType
		if h["Content-Length"] == nil { // a prepared answer brings it
			h["Content-Length"] = []string{strconv.Itoa(len(body))}
		}
	}
	if r.operation != "" {
		e.operation = r.operation
	}
	e.WriteHeader(r.status)
	if len(body) > 0 {
		_, _ = e.Write(body) // the client is gone: nobody to tell
	}
}

// encode gives the JSON of d. All values come from decoded JSON or are strings,
// numbers and booleans of ours, so that a failure is a defect of the program.
func encode(d any) []byte {
	if m, ok := d.(doc); ok && m == nil {
		d = doc{}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(d); err != nil {
		panic(fmt.Errorf("osbapi: encode an answer: %w", err))
	}
	return bytes.TrimRight(buf.Bytes(), "\n")
}

// seconds is d in whole seconds, rounded up and at least 1.
func seconds(d time.Duration) int64 {
	s := int64((d + time.Second - 1) / time.Second)
	return max(s, 1)
}

// put sets a field unless its value is empty: "", nil or a nil slice or raw JSON.
func (d doc) put(name string, value any) {
	switch v := value.(type) {
	case nil:
		return
	case string:
		if v == "" {
			return
		}
	case json.RawMessage:
		if len(v) == 0 || string(v) == "null" {
			return
		}
	case []string:
		if len(v) == 0 {
			return
		}
	case map[string]any:
		if v == nil {
			return
		}
	case *bool:
		if v == nil {
			return
		}
	case doc:
		if len(v) == 0 {
			return
		}
	}
	d[name] = value
}
