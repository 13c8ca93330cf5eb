package plugin

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code says what kind of failure an [Error] is, and so what the broker does about it.
type Code string

// The codes, spelled as in the broker's API, logs and configuration.
const (
	// CodeInvalidInput: the inputs are wrong; the user can correct them.
	CodeInvalidInput Code = "invalid_input"
	// CodeConflict: something that the inputs name is taken by somebody else, or is
	// in a state that forbids the verb (a bucket that is not empty).
	CodeConflict Code = "conflict"
	// CodeNotFound: something that the inputs name does not exist. Not for the
	// instance or binding itself: of what does not exist Deprovision and Unbind are done.
	CodeNotFound Code = "not_found"
	// CodeUnavailable: the backend cannot do it now; the broker calls again with
	// backoff until the operation's deadline.
	CodeUnavailable Code = "unavailable"
	// CodeFailed: the work failed and a repeat of the call would fail again.
	CodeFailed Code = "failed"
)

// Error ends a call with a failure. Make it with [InvalidInput], [Conflict],
// [NotFound], [Unavailable] or [Failed].
type Error struct {
	Code Code
	// Message is for the user: safe to show, says what to do. Never a secret.
	Message string
	// Detail is for the operator's log only. Never a secret.
	Detail string
	// Pointer is a JSON pointer (RFC 6901) into the inputs, for CodeInvalidInput.
	Pointer string
	// Usable is false if the instance cannot be used any more (Update and
	// Deprovision); nil means that it can.
	Usable *bool
	// Repeatable is false if the same update cannot succeed when it is sent again; nil means that it can.
	Repeatable *bool
	// RetryAfter is when to call again after CodeUnavailable; 0 leaves it to the broker's backoff.
	RetryAfter time.Duration

	cause error
}

// InvalidInput says that the inputs are wrong at pointer, a JSON pointer such as
// "/bucket", or "" for the inputs as a whole.
func InvalidInput(pointer, format string, args ...any) *Error {
	e := newError(CodeInvalidInput, format, args)
	e.Pointer = pointer
	return e
}

// Conflict says that something the inputs name is taken or in a state that forbids the verb.
func Conflict(format string, args ...any) *Error { return newError(CodeConflict, format, args) }

// NotFound says that something the inputs name does not exist.
func NotFound(format string, args ...any) *Error { return newError(CodeNotFound, format, args) }

// Unavailable asks the broker to call again after retryAfter, or with its own
// backoff if that is 0.
func Unavailable(retryAfter time.Duration, format string, args ...any) *Error {
	e := newError(CodeUnavailable, format, args)
	e.RetryAfter = retryAfter
	return e
}

// Failed says that the work failed for good.
func Failed(format string, args ...any) *Error { return newError(CodeFailed, format, args) }

// newError formats the user's message. A %w argument becomes the cause; its text is
// part of the message, so it must be safe to show.
func newError(code Code, format string, args []any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: errors.Unwrap(err)}
}

// WithDetail returns a copy of e with a detail for the operator's log. Detail that
// is there already is kept in front.
func (e *Error) WithDetail(format string, args ...any) *Error {
	c := *e
	c.Detail = joinDetail(c.Detail, fmt.Sprintf(format, args...))
	return &c
}

// WithCause returns a copy of e that wraps err, whose text goes to the detail and
// not to the user.
func (e *Error) WithCause(err error) *Error {
	if err == nil {
		return e
	}
	c := *e
	c.cause = err
	c.Detail = joinDetail(c.Detail, err.Error())
	return &c
}

// InstanceUsable returns a copy of e that says whether the instance can still be
// used after a failed Update or Deprovision.
func (e *Error) InstanceUsable(usable bool) *Error {
	c := *e
	c.Usable = &usable
	return &c
}

// UpdateRepeatable returns a copy of e that says whether the same update may
// succeed when it is sent again.
func (e *Error) UpdateRepeatable(repeatable bool) *Error {
	c := *e
	c.Repeatable = &repeatable
	return &c
}

// Error gives everything, for logs.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", e.Code)
	if e.Pointer != "" {
		fmt.Fprintf(&b, "%s: ", e.Pointer)
	}
	b.WriteString(e.Message)
	if e.Detail != "" {
		fmt.Fprintf(&b, " (%s)", e.Detail)
	}
	return b.String()
}

// Unwrap gives the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf is the code of err: "" for nil, CodeFailed for errors that are no [*Error].
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeFailed
}

// asError turns any error of an author into an Error. The text of a foreign one is
// only for the operator.
func asError(err error, verb string) *Error {
	var e *Error
	if errors.As(err, &e) && e != nil {
		c := *e
		if c.Message == "" {
			c.Message = fmt.Sprintf("The %s failed.", verb)
		}
		return &c
	}
	return Failed("The %s failed at the backend.", verb).WithCause(err)
}

func joinDetail(old, more string) string {
	if old == "" {
		return more
	}
	return old + "; " + more
}
