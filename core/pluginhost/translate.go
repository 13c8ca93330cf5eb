package pluginhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// This file is the one place where the contract's words become core's and back.

const (
	// maxMessage bounds a message from the plugin: outputs, labels and attributes of MaxJSON each, and the rest.
	maxMessage = 8 << 20
	// maxText bounds texts for users and operators, in bytes; what is longer is cut.
	maxText = 4096
	// maxLeft bounds Done.left.
	maxLeft = 1000
	// maxRetryAfter bounds what a plugin may ask for.
	maxRetryAfter = 24 * time.Hour
)

// description checks and translates the answer to Describe.
func description(r *pluginpb.DescribeResponse) (core.Description, error) {
	var errs []error
	schema := func(name string, raw []byte) json.RawMessage {
		if len(raw) == 0 {
			return nil
		}
		if len(raw) > MaxJSON {
			errs = append(errs, fmt.Errorf("%s has %d bytes; at most %d are allowed", name, len(raw), MaxJSON))
		} else if err := checkObject(raw); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", name, err))
		}
		return raw
	}
	if !nameRule.MatchString(r.GetName()) {
		errs = append(errs, fmt.Errorf("name %q must be 1 to 63 of a-z, 0-9 and -", cut(r.GetName(), 80)))
	}
	if r.GetVersion() == "" || len(r.GetVersion()) > 256 {
		errs = append(errs, errors.New("version must have 1 to 256 characters"))
	}
	d := core.Description{
		Plugin: r.GetName(), Version: r.GetVersion(), Capabilities: r.GetCapabilities(),
		Isolated: r.GetIsolated(), SerializeInstance: r.GetSerializeInstance(),
		MaxConcurrency:        int(min(r.GetMaxConcurrency(), 1<<20)),
		ConfigSchema:          schema("config_schema", r.GetConfigSchema()),
		ProvisionInputs:       schema("provision_inputs_schema", r.GetProvisionInputsSchema()),
		BindInputs:            schema("bind_inputs_schema", r.GetBindInputsSchema()),
		InstanceOutputs:       schema("instance_outputs_schema", r.GetInstanceOutputsSchema()),
		BindingOutputs:        schema("binding_outputs_schema", r.GetBindingOutputsSchema()),
		RequiresConfiguration: r.GetRequiresConfiguration(),
	}
	for _, c := range d.Capabilities {
		d.ChecksDeprovision = d.ChecksDeprovision || c == "check"
	}
	return d, errors.Join(errs...)
}

// checkCall refuses a call that breaks the contract's bounds before a plugin sees it.
func checkCall(c core.Call) error {
	for _, d := range [...]struct {
		name string
		raw  json.RawMessage
	}{{"inputs", c.Inputs}, {"applied inputs of the instance", c.Instance.Inputs}, {"applied outputs of the instance", c.Instance.Outputs},
		{"applied inputs of the binding", c.Binding.Inputs}, {"applied outputs of the binding", c.Binding.Outputs}} {
		if err := checkDocument(d.name, d.raw); err != nil {
			return err
		}
	}
	for i, a := range c.Attempted {
		if err := checkDocument(fmt.Sprintf("inputs of attempt %d", i+1), a.Inputs); err != nil {
			return err
		}
	}
	if len(c.Handle) > MaxJSON {
		return backendError(core.CodeFailed, "The operation has data that the backend cannot take.", fmt.Sprintf("the handle has %d bytes", len(c.Handle)))
	}
	return nil
}

func checkDocument(name string, raw json.RawMessage) error {
	if len(raw) > MaxJSON {
		return backendError(core.CodeInvalid, fmt.Sprintf("The %s have %d bytes; at most %d can be sent to the backend.", name, len(raw), MaxJSON), "")
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	if err := checkObject(raw); err != nil {
		return backendError(core.CodeFailed, "The operation has data that the backend cannot take.", fmt.Sprintf("the %s %v", name, err))
	}
	return nil
}

func instanceRequest(id string, c core.Call) *pluginpb.InstanceRequest {
	return &pluginpb.InstanceRequest{
		InstanceId: c.InstanceID, OperationId: c.OperationID, Inputs: object(c.Inputs), Applied: applied(c.Instance),
		Attempted: attempts(c.Attempted), Handle: c.Handle, Fence: c.Fence, Seed: c.Seed, Check: c.Check, CallId: id,
	}
}

func bindingRequest(id string, c core.Call) *pluginpb.BindingRequest {
	return &pluginpb.BindingRequest{
		InstanceId: c.InstanceID, BindingId: c.BindingID, OperationId: c.OperationID, Inputs: object(c.Inputs),
		Instance: applied(c.Instance), Applied: applied(c.Binding),
		Attempted: attempts(c.Attempted), Handle: c.Handle, Fence: c.Fence, Seed: c.Seed, CallId: id,
	}
}

// object gives {} for what is absent, since inputs are always an object.
func object(raw json.RawMessage) []byte {
	if len(raw) == 0 || string(raw) == "null" {
		return []byte("{}")
	}
	return raw
}

func applied(a core.Applied) *pluginpb.Applied {
	if a.Inputs == nil && a.Outputs == nil {
		return nil
	}
	return &pluginpb.Applied{Inputs: a.Inputs, Outputs: a.Outputs, PluginVersion: a.Version}
}

func attempts(list []core.Attempt) []*pluginpb.Attempt {
	var out []*pluginpb.Attempt
	for _, a := range list {
		out = append(out, &pluginpb.Attempt{OperationId: a.Operation, Verb: string(a.Verb), Inputs: a.Inputs, Handle: a.Handle})
	}
	return out
}

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

// inspection translates the answer to Inspect.
func inspection(r *pluginpb.InspectResponse) (core.Inspection, *core.Error) {
	got := core.Inspection{Exists: r.GetExists()}
	if got.Exists {
		got.Outputs = object(r.GetOutputs())
		if err := bounded("outputs", got.Outputs); err != nil {
			return got, err
		}
	}
	if len(r.GetDrift()) > plugin.MaxPage {
		return got, broken("%d differences; at most %d are allowed", len(r.GetDrift()), plugin.MaxPage).err
	}
	for _, d := range r.GetDrift() {
		got.Drift = append(got.Drift, core.Drift{Pointer: userText(d.GetPointer()), Message: userText(d.GetMessage())})
	}
	return got, nil
}

// foundPage translates the answer to List.
func foundPage(r *pluginpb.ListResponse) (core.FoundPage, *core.Error) {
	page := core.FoundPage{Next: r.GetNextPageToken()}
	if len(r.GetFound()) > plugin.MaxPage || len(page.Next) > plugin.MaxPageToken || !utf8.ValidString(page.Next) {
		return page, broken("a page of %d things with a token of %d bytes", len(r.GetFound()), len(page.Next)).err
	}
	for _, f := range r.GetFound() {
		found := core.Found{Name: userText(f.GetName()), InstanceID: f.GetInstanceId(), Marked: f.GetMarked() || f.GetInstanceId() != ""}
		if len(found.InstanceID) > maxText || !utf8.ValidString(found.InstanceID) {
			return page, broken("an instance id of %d bytes", len(found.InstanceID)).err
		}
		for _, doc := range []struct {
			name string
			raw  []byte
			to   *json.RawMessage
		}{{"inputs", f.GetInputs(), &found.Inputs}, {"attributes", f.GetAttributes(), &found.Attributes}} {
			if len(doc.raw) == 0 {
				continue
			}
			if err := bounded(doc.name, doc.raw); err != nil {
				return page, err
			}
			*doc.to = doc.raw
		}
		page.Found = append(page.Found, found)
	}
	return page, nil
}

// bounded checks a document of a plugin: an object of at most MaxJSON.
func bounded(name string, raw []byte) *core.Error {
	if len(raw) > MaxJSON {
		return broken("%s of %d bytes; at most %d are allowed", name, len(raw), MaxJSON).err
	}
	if err := checkObject(raw); err != nil {
		return broken("%s %v", name, err).err
	}
	return nil
}

func backendError(code core.ErrorCode, message, detail string) *core.Error {
	return &core.Error{Code: code, Message: message, Detail: detail, Backend: true}
}

// unavailable is the error for calls that no process can take now; after is zero if unknown.
func unavailable(after time.Duration, detail string) *core.Error {
	e := backendError(core.CodeUnavailable, "The backend is not available at the moment.", detail)
	e.RetryAfter = after
	return e
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

// userText bounds a text of a plugin and takes control characters out.
func userText(s string) string {
	return strings.TrimSpace(cut(cleanText(s), maxText))
}

// cleanText keeps valid UTF-8, tabs and line ends.
func cleanText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
