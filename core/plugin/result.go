package plugin

import (
	"encoding/json"
	"fmt"
	"time"
)

// Result is how a call ended well: [Done] or [Pending]. The zero Result is Done(nil).
type Result struct {
	pending    bool
	value      any // outputs or handle
	retryAfter time.Duration
	text       string

	labels, attributes map[string]any
	dashboardURL       string
	left               []string
}

// Done ends the operation with success. outputs is anything that encoding/json
// encodes as an object of at most 1 MiB that satisfies the declared schema; nil
// means none.
func Done(outputs any, options ...DoneOption) Result {
	r := Result{value: outputs}
	for _, o := range options {
		o(&r)
	}
	return r
}

// Pending ends this call, not the operation: the broker stores the handle, then
// calls the same verb again after the given time (0: at once) with it. handle is
// anything that encoding/json encodes, at most 1 MiB; text is shown to users who
// poll and may be empty.
//
// Return it where long work goes on at the backend, and where something must be
// stored before the next step: that a name was free when it was looked up, say.
func Pending(handle any, after time.Duration, text string) Result {
	return Result{pending: true, value: handle, retryAfter: after, text: text}
}

// DoneOption adds to a [Done].
type DoneOption func(*Result)

// WithLabels adds OSB instance metadata labels. Provision and Update only.
func WithLabels(labels map[string]any) DoneOption {
	return func(r *Result) { r.labels = labels }
}

// WithAttributes adds OSB instance metadata attributes. Provision and Update only.
func WithAttributes(attributes map[string]any) DoneOption {
	return func(r *Result) { r.attributes = attributes }
}

// WithDashboardURL tells a dashboard's address that only the plugin knows.
// Provision and Update only.
func WithDashboardURL(url string) DoneOption {
	return func(r *Result) { r.dashboardURL = url }
}

// WithLeft names, in words for the operator, what was left at the backend on
// purpose. Deprovision and Unbind only.
func WithLeft(left ...string) DoneOption {
	return func(r *Result) { r.left = append(r.left, left...) }
}

// IsPending tells whether the operation goes on; for tests of plugins.
func (r Result) IsPending() bool { return r.pending }

// Handle gives what a pending result stores, as the next call will see it; for tests of plugins.
func (r Result) Handle() Handle {
	if !r.pending {
		return Handle{}
	}
	d := JSON(r.value)
	d.lenient, d.what = true, "handle"
	return Handle{Document: d}
}

// Outputs gives the outputs of a result that is done; for tests of plugins.
func (r Result) Outputs() Document {
	if r.pending || r.value == nil {
		return Document{}
	}
	d := JSON(r.value)
	d.lenient, d.what = true, "outputs"
	return d
}

// Left gives what WithLeft named; for tests of plugins.
func (r Result) Left() []string { return r.left }

// encodeObject encodes v as a JSON object within the contract's limit; nil gives nil.
func encodeObject(what string, v any) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", what, err)
	}
	if len(raw) > MaxDocument {
		return nil, fmt.Errorf("the %s are %d bytes; at most %d are allowed", what, len(raw), MaxDocument)
	}
	if string(raw) == "null" {
		return nil, nil
	}
	if raw[0] != '{' {
		return nil, fmt.Errorf("the %s must be a JSON object, not %.20s", what, kindOf(raw))
	}
	return raw, nil
}

// kindOf names the kind of a valid JSON value.
func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
