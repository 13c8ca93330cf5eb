package pluginhost

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// This file and outcome.go are where the contract's words become core's and back.

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
