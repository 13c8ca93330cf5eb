package core_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chandler-broker/chandler/core"
)

// What a user sees holds the message, everything wrong, the hint and the id, and
// nothing that is for operators.
func TestUserMessage(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.1: password hunter2")
	for _, c := range []struct {
		why string
		err *core.Error
		who string // the user's text
		ops string // the log's text
	}{
		{"only a message", core.Errorf(core.CodeGone, "It is gone."), "It is gone.", "gone: It is gone."},
		{"hint and id", core.Errorf(core.CodeFailed, "It failed.").WithHint("Try %d.", 2).WithID("op-1"), "It failed. Try 2. [op-1]", "failed: It failed."},
		{"the cause is for the log", core.Errorf(core.CodeUnavailable, "Not now.").WithCause(secret),
			"Not now.", "unavailable: Not now. (dial tcp 10.0.0.1: password hunter2)"},
		{"a detail wins over the cause's text", core.Errorf(core.CodeFailed, "No.").WithDetail("disk %s", "full").WithCause(secret),
			"No.", "failed: No. (disk full)"},
		{"all violations at once", &core.Error{Code: core.CodeInvalid, Message: "The parameters are invalid", Violations: []core.Violation{
			{Pointer: "/parameters/a", Message: "expected a string"}, {Pointer: "/parameters/b", Message: "is unknown"}}},
			"The parameters are invalid: /parameters/a: expected a string; /parameters/b: is unknown",
			"invalid_input: The parameters are invalid; /parameters/a: expected a string; /parameters/b: is unknown"},
		{"a question ends its sentence itself", &core.Error{Code: core.CodeInvalid, Message: "Invalid", Hint: "Look.", Violations: []core.Violation{{Pointer: "/a", Message: `did you mean "b"?`}}},
			`Invalid: /a: did you mean "b"? Look.`, `invalid_input: Invalid; /a: did you mean "b"?`},
		{"one colon is enough", &core.Error{Code: core.CodeInvalid, Message: "Invalid:", Violations: []core.Violation{{Pointer: "/a", Message: "x"}}},
			"Invalid: /a: x", "invalid_input: Invalid:; /a: x"},
		{"sentences, also with violations and a hint", &core.Error{Code: core.CodeInvalid, Message: "Invalid.", Hint: "See the schema.",
			Violations: []core.Violation{{Pointer: "/a", Message: "is missing"}}},
			"Invalid: /a: is missing. See the schema.", "invalid_input: Invalid.; /a: is missing"},
		{"a wrapped error's text is part of the message", core.Errorf(core.CodeInvalid, "Bad body: %w", errors.New("unexpected end")),
			"Bad body: unexpected end", "invalid_input: Bad body: unexpected end"},
	} {
		t.Run(c.why, func(t *testing.T) {
			if diff := cmp.Diff(c.who, c.err.UserMessage()); diff != "" {
				t.Errorf("for the user:\n%s", diff)
			}
			if diff := cmp.Diff(c.ops, c.err.Error()); diff != "" {
				t.Errorf("for the log:\n%s", diff)
			}
		})
	}
}

func TestAsError(t *testing.T) {
	own := core.Errorf(core.CodeConflict, "It is taken.")
	for _, c := range []struct {
		why  string
		err  error
		want *core.Error
		code core.ErrorCode
	}{
		{"no error is none", nil, nil, ""},
		{"ours is itself", own, own, core.CodeConflict},
		{"ours is found inside of others", fmt.Errorf("while: %w", own), own, core.CodeConflict},
		{"ours is found in joined ones", errors.Join(errors.New("x"), own), own, core.CodeConflict},
	} {
		t.Run(c.why, func(t *testing.T) {
			if got := core.AsError(c.err); got != c.want {
				t.Errorf("got %v", got)
			}
			if got := core.CodeOf(c.err); got != c.code {
				t.Errorf("the code is %q", got)
			}
		})
	}

	t.Run("the text of a foreign error is for the log only", func(t *testing.T) {
		foreign := fmt.Errorf("open /etc/secret: %w", context.Canceled)
		e := core.AsError(foreign)
		if e.Code != core.CodeFailed || strings.Contains(e.UserMessage(), "secret") || !strings.Contains(e.Error(), "open /etc/secret") {
			t.Errorf("the user sees %q, the log %q", e.UserMessage(), e)
		}
		if e.Message == "" || e.Hint == "" {
			t.Error("the user is told nothing to act on")
		}
		if !errors.Is(e, context.Canceled) {
			t.Error("the cause cannot be found any more")
		}
	})
}

// The With functions give copies: a shared error does not collect the details of
// every request that met it.
func TestWithGivesCopies(t *testing.T) {
	shared := core.Errorf(core.CodeOverloaded, "Too much.")
	before := *shared
	cause := errors.New("cause")
	changed := shared.WithHint("h").WithDetail("d").WithCause(cause).WithID("i")
	if diff := cmp.Diff(before, *shared, cmpopts.IgnoreUnexported(core.Error{})); diff != "" {
		t.Errorf("the shared error changed:\n%s", diff)
	}
	if errors.Is(shared, cause) || !errors.Is(changed, cause) {
		t.Error("the cause is in the wrong one")
	}
	want := core.Error{Code: core.CodeOverloaded, Message: "Too much.", Hint: "h", Detail: "d", ID: "i"}
	if diff := cmp.Diff(want, *changed, cmpopts.IgnoreUnexported(core.Error{})); diff != "" {
		t.Error(diff)
	}
	if e := shared.WithCause(nil); e.Detail != "" || e.Unwrap() != nil {
		t.Errorf("no cause gives %v", e)
	}
}

// An operation keeps its failure as JSON: everything but the cause comes back.
func TestErrorSurvivesJSON(t *testing.T) {
	no := false
	want := &core.Error{Code: core.CodeInvalid, Message: "m", Hint: "h", Detail: "d", Violations: []core.Violation{{Pointer: "/a", Message: "x"}},
		InstanceUsable: &no, UpdateRepeatable: &no, RetryAfter: 3 * time.Second, ID: "op", Backend: true}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got core.Error
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got, cmpopts.IgnoreUnexported(core.Error{})); diff != "" {
		t.Error(diff)
	}
}
