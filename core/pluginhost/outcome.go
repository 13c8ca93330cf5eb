package pluginhost

import (
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/chandler-broker/chandler/core"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// outcome is how a call ended.
type outcome struct {
	result core.Result
	err    *core.Error
}

// progressOf translates a progress event; nil if the event is another one.
func progressOf(e *pluginpb.Event) *core.Progress {
	p := e.GetProgress()
	if p == nil {
		return nil
	}
	out := &core.Progress{Text: userText(p.GetText()), Percent: -1}
	if p.Percent != nil {
		out.Percent = int(min(p.GetPercent(), 100))
	}
	return out
}

// outcomeOf translates an event that ends a call. What breaks the contract becomes CodeFailed.
func outcomeOf(verb core.Verb, e *pluginpb.Event) outcome {
	switch t := e.GetEvent().(type) {
	case *pluginpb.Event_Pending:
		return pendingOutcome(t.Pending)
	case *pluginpb.Event_Done:
		return doneOutcome(verb, t.Done)
	case *pluginpb.Event_Error:
		return outcome{err: errorOf(t.Error)}
	}
	return broken("an event of a kind that this broker does not know")
}

func broken(format string, args ...any) outcome {
	return outcome{err: backendError(core.CodeFailed, "The backend gave an answer that the broker cannot use.",
		"the plugin broke its contract: "+fmt.Sprintf(format, args...))}
}

func pendingOutcome(p *pluginpb.Pending) outcome {
	if len(p.GetHandle()) > MaxJSON {
		return broken("a handle of %d bytes; at most %d are allowed", len(p.GetHandle()), MaxJSON)
	}
	after, ok := retryAfter(p.GetRetryAfter())
	if !ok {
		return broken("retry_after is no valid duration")
	}
	return outcome{result: core.Result{Pending: &core.Pending{Handle: p.GetHandle(), RetryAfter: after, Text: userText(p.GetText())}}}
}

func doneOutcome(verb core.Verb, d *pluginpb.Done) outcome {
	r := core.Result{DashboardURL: d.GetDashboardUrl()}
	switch verb {
	case core.VerbProvision, core.VerbUpdate, core.VerbAdopt, core.VerbBind:
		r.Outputs = object(d.GetOutputs())
		if len(r.Outputs) > MaxJSON {
			return broken("outputs of %d bytes; at most %d are allowed", len(r.Outputs), MaxJSON)
		}
		if err := checkObject(r.Outputs); err != nil {
			return broken("outputs %v", err)
		}
	}
	if !utf8.ValidString(r.DashboardURL) || len(r.DashboardURL) > maxText {
		return broken("a dashboard_url of %d bytes", len(r.DashboardURL))
	}
	for _, m := range []struct {
		name string
		raw  []byte
		to   *map[string]any
	}{{"labels", d.GetLabels(), &r.Labels}, {"attributes", d.GetAttributes(), &r.Attributes}} {
		if len(m.raw) == 0 {
			continue
		}
		if len(m.raw) > MaxJSON {
			return broken("%s of %d bytes; at most %d are allowed", m.name, len(m.raw), MaxJSON)
		}
		if err := checkObject(m.raw); err != nil {
			return broken("%s %v", m.name, err)
		}
		object, err := core.JSONObject(m.raw)
		if err != nil {
			return broken("%s: %v", m.name, err)
		}
		*m.to = object
	}
	for _, text := range d.GetLeft() {
		if len(r.Left) == maxLeft {
			r.Left = append(r.Left, fmt.Sprintf("… and %d more", len(d.GetLeft())-maxLeft))
			break
		}
		r.Left = append(r.Left, userText(text))
	}
	return outcome{result: r}
}

// codeOf translates the contract's error codes.
var codeOf = map[pluginpb.Error_Code]core.ErrorCode{
	pluginpb.Error_CODE_UNSPECIFIED:   core.CodeFailed,
	pluginpb.Error_CODE_INVALID_INPUT: core.CodeInvalid,
	pluginpb.Error_CODE_CONFLICT:      core.CodeConflict,
	pluginpb.Error_CODE_NOT_FOUND:     core.CodeNotFound,
	pluginpb.Error_CODE_UNAVAILABLE:   core.CodeUnavailable,
	pluginpb.Error_CODE_FAILED:        core.CodeFailed,
}

// errorOf translates an error event.
func errorOf(e *pluginpb.Error) *core.Error {
	code, ok := codeOf[e.GetCode()]
	if !ok {
		code = core.CodeFailed // a code of a newer contract
	}
	out := backendError(code, userText(e.GetMessage()), userText(e.GetDetail()))
	if out.Message == "" {
		out.Message = "The backend refused the operation without saying why."
	}
	if p := e.GetPointer(); p != "" && code == core.CodeInvalid {
		out.Violations = []core.Violation{{Pointer: userText(p), Message: out.Message}}
		out.Message = "The inputs are not valid for the backend:"
	}
	out.InstanceUsable, out.UpdateRepeatable = e.InstanceUsable, e.UpdateRepeatable
	if after, ok := retryAfter(e.GetRetryAfter()); ok {
		out.RetryAfter = after
	}
	return out
}

// statusError translates a gRPC status with which the plugin itself ended a call.
func statusError(err error) *core.Error {
	s := status.Convert(err)
	detail := fmt.Sprintf("the plugin ended the call with status %s: %s", s.Code(), userText(s.Message()))
	switch s.Code() {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
		return backendError(core.CodeUnavailable, "The backend is not available at the moment.", detail)
	}
	return backendError(core.CodeFailed, "The backend could not complete the operation.", detail)
}

// questionError translates the status of a call without events; an Error in its details says more.
func questionError(err error) *core.Error {
	for _, detail := range status.Convert(err).Details() {
		if e, ok := detail.(*pluginpb.Error); ok {
			return errorOf(e)
		}
	}
	return statusError(err)
}

// retryAfter gives false for an invalid duration; negative ones are zero.
func retryAfter(d *durationpb.Duration) (time.Duration, bool) {
	if d == nil {
		return 0, true
	}
	if d.CheckValid() != nil {
		return 0, false
	}
	return min(max(d.AsDuration(), 0), maxRetryAfter), true
}
