package core

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrorCode says what an Error means to the caller. Each boundary (HTTP, gRPC,
// command line) translates codes to its own words exactly once.
type ErrorCode string

// The codes. The comment names the HTTP status that core/osbapi answers with.
const (
	// CodeInvalid is a request that is malformed or names what the catalog does not have (400).
	CodeInvalid ErrorCode = "invalid_input"
	// CodeConflict is an id that is taken by something different (409), or, when it
	// comes from a plugin, a name that is taken at the backend (400 on provision and
	// bind, 422 on update and deprovision, since 409 speaks of the id).
	CodeConflict ErrorCode = "conflict"
	// CodeNotFound is an instance, binding or operation that does not exist (404).
	CodeNotFound ErrorCode = "not_found"
	// CodeGone is the answer to a DELETE of what does not exist (410).
	CodeGone ErrorCode = "gone"
	// CodeAsyncRequired is a synchronous request for work that must be asynchronous (422).
	CodeAsyncRequired ErrorCode = "AsyncRequired"
	// CodeConcurrency is a request that another unfinished operation forbids (422).
	CodeConcurrency ErrorCode = "ConcurrencyError"
	// CodeRequiresApp is a bind without an application for a service that needs one (422).
	CodeRequiresApp ErrorCode = "RequiresApp"
	// CodeMaintenanceInfo is a maintenance_info.version that is not the plan's (422).
	CodeMaintenanceInfo ErrorCode = "MaintenanceInfoConflict"
	// CodeUnprocessable is a well-formed request that this instance cannot fulfil (422).
	CodeUnprocessable ErrorCode = "unprocessable"
	// CodeOverloaded is a request refused without effect because a limit is reached (429).
	CodeOverloaded ErrorCode = "overloaded"
	// CodeUnavailable is a backend or store that cannot be reached now; from a
	// plugin it means "retry with backoff" (500 when it reaches a caller: the outcome may be unknown).
	CodeUnavailable ErrorCode = "unavailable"
	// CodeCancelled is an operation that a DELETE, an operator or a shutdown ended (500).
	CodeCancelled ErrorCode = "cancelled"
	// CodeDeadline is an operation that did not finish before its deadline (500).
	CodeDeadline ErrorCode = "deadline_exceeded"
	// CodeFailed is any other failure of the work itself (500).
	CodeFailed ErrorCode = "failed"
	// CodeStillRunning is a synchronous wait that ended before the work did (500:
	// the work goes on, a repeat joins it, a DELETE cancels it).
	CodeStillRunning ErrorCode = "still_running"
)

// Violation is one thing wrong with a request body.
type Violation struct {
	// Pointer is a JSON pointer (RFC 6901) into the request body, e.g. "/parameters/bucketName".
	Pointer string `json:"pointer"`
	// Message says what was expected, in words a user can act on.
	Message string `json:"message"`
}

// Error is the one error type of Chandler. Message, Hint and Violations are safe
// to show to a user; Detail and the wrapped cause are for operators and only logged.
type Error struct {
	Code ErrorCode `json:"code"`
	// Message is one or two sentences for the user; never empty, never a secret.
	Message string `json:"message"`
	// Hint says what the user can do about it; may be empty.
	Hint string `json:"hint,omitempty"`
	// Detail is for the operator's log only; may be empty.
	Detail string `json:"detail,omitempty"`
	// Violations lists everything that is wrong with the request at once; may be empty.
	Violations []Violation `json:"violations,omitempty"`
	// InstanceUsable is meant for failed updates and deprovisions (OSB 2.17
	// "Service Broker Errors"); nil means the default, true.
	InstanceUsable *bool `json:"instance_usable,omitempty"`
	// UpdateRepeatable is meant for failed updates; nil means the default, true.
	UpdateRepeatable *bool `json:"update_repeatable,omitempty"`
	// RetryAfter tells when a repeat makes sense; zero means unknown.
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	// ID is the operation or request id under which an operator finds everything about it.
	ID string `json:"id,omitempty"`
	// Backend is true when the code came from a plugin, so that a conflict is one
	// about a name at the backend and not about an OSB id.
	Backend bool `json:"backend,omitempty"`

	cause error
}

// Errorf makes an Error with a user-safe message. Verbs may include %w with an
// error whose text is safe to show.
func Errorf(code ErrorCode, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// WithHint returns a copy of e with the hint set.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithDetail returns a copy of e with the operator's detail set.
func (e *Error) WithDetail(format string, args ...any) *Error {
	c := *e
	c.Detail = fmt.Sprintf(format, args...)
	return &c
}

// WithCause returns a copy of e that unwraps to err. The text of err joins the
// operator's detail and never the message.
func (e *Error) WithCause(err error) *Error {
	c := *e
	c.cause = err
	if c.Detail == "" && err != nil {
		c.Detail = err.Error()
	}
	return &c
}

// WithID returns a copy of e that names the operation or request it belongs to.
func (e *Error) WithID(id string) *Error {
	c := *e
	c.ID = id
	return &c
}

// Error gives everything, including the operator's detail: for logs. Use
// UserMessage for what a user may see.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", e.Code, e.Message)
	for _, v := range e.Violations {
		fmt.Fprintf(&b, "; %s: %s", v.Pointer, v.Message)
	}
	if e.Detail != "" {
		fmt.Fprintf(&b, " (%s)", e.Detail)
	}
	return b.String()
}

// UserMessage is the text for a user: message, violations, hint and id, no detail.
func (e *Error) UserMessage() string {
	var b strings.Builder
	if len(e.Violations) == 0 {
		b.WriteString(e.Message)
	} else {
		b.WriteString(strings.TrimSuffix(e.Message, ".")) // a colon and the violations follow
	}
	for i, v := range e.Violations {
		if i == 0 && !strings.HasSuffix(e.Message, ":") {
			b.WriteString(":")
		} else if i > 0 {
			b.WriteString(";")
		}
		fmt.Fprintf(&b, " %s: %s", v.Pointer, v.Message)
	}
	if e.Hint != "" {
		if text := b.String(); len(e.Violations) > 0 && !strings.ContainsAny(text[len(text)-1:], ".?!") {
			b.WriteString(".")
		}
		fmt.Fprintf(&b, " %s", e.Hint)
	}
	if e.ID != "" {
		fmt.Fprintf(&b, " [%s]", e.ID)
	}
	return b.String()
}

// Unwrap gives the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.cause }

// AsError turns any error into an *Error: itself if it is or wraps one, otherwise
// a CodeFailed whose text is only in Detail, since an unknown error's text may not
// be shown. nil gives nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return (&Error{Code: CodeFailed, Message: "The broker could not complete the request."}).
		WithHint("The operator finds the cause in the log under the id.").WithCause(err)
}

// CodeOf is the code of err, "" for nil and CodeFailed for foreign errors.
func CodeOf(err error) ErrorCode {
	if err == nil {
		return ""
	}
	return AsError(err).Code
}
