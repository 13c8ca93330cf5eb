package plugin

import (
	"context"
	"encoding/json"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// Provision serves the verb.
func (s *server) Provision(in *pluginpb.InstanceRequest, out eventStream) error {
	return s.instance(verbProvision, in, out, s.plugin.Provision)
}

// Update serves the verb.
func (s *server) Update(in *pluginpb.InstanceRequest, out eventStream) error {
	return s.instance(verbUpdate, in, out, s.plugin.Update)
}

// Deprovision serves the verb, and its check.
func (s *server) Deprovision(in *pluginpb.InstanceRequest, out eventStream) error {
	if !in.GetCheck() {
		return s.instance(verbDeprovision, in, out, s.plugin.Deprovision)
	}
	checker, ok := s.plugin.(Checker)
	if !ok {
		return status.Error(codes.Unimplemented, `the plugin has no capability "check"`)
	}
	return s.instance(verbDeprovision, in, out, func(ctx context.Context, req *InstanceRequest) (Result, error) {
		return Result{}, checker.Check(ctx, req)
	})
}

// Bind serves the verb.
func (s *server) Bind(in *pluginpb.BindingRequest, out eventStream) error {
	return s.binding(verbBind, in, out, s.plugin.Bind)
}

// Unbind serves the verb.
func (s *server) Unbind(in *pluginpb.BindingRequest, out eventStream) error {
	return s.binding(verbUnbind, in, out, s.plugin.Unbind)
}

func (s *server) instance(verb string, in *pluginpb.InstanceRequest, out eventStream, method func(context.Context, *InstanceRequest) (Result, error)) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.running.Done()
	c, end := s.newCall(verb, in.GetCallId(), out, logInstance, in.GetInstanceId(), logOperation, in.GetOperationId())
	defer end()
	c.hide(s.inputs[verbProvision].secrets(in.GetInputs())...)
	c.hideApplied(verbProvision, in.GetApplied())
	return c.finish(c.run(in.GetInstanceId(), in.GetInputs(), in.GetSeed(), func() (Result, error) {
		req, err := s.instanceRequest(c, in)
		if err != nil {
			return Result{}, err
		}
		return method(c.ctx, req)
	}))
}

func (s *server) binding(verb string, in *pluginpb.BindingRequest, out eventStream, method func(context.Context, *BindingRequest) (Result, error)) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.running.Done()
	if in.GetBindingId() == "" {
		return status.Error(codes.InvalidArgument, "the binding id is empty")
	}
	c, end := s.newCall(verb, in.GetCallId(), out, logInstance, in.GetInstanceId(), logBinding, in.GetBindingId(), logOperation, in.GetOperationId())
	defer end()
	c.hide(s.inputs[verbBind].secrets(in.GetInputs())...)
	c.hideApplied(verbProvision, in.GetInstance())
	c.hideApplied(verbBind, in.GetApplied())
	return c.finish(c.run(in.GetInstanceId(), in.GetInputs(), in.GetSeed(), func() (Result, error) {
		req, err := s.bindingRequest(c, in)
		if err != nil {
			return Result{}, err
		}
		return method(c.ctx, req)
	}))
}

// hideApplied keeps declared secrets of before, when verb was done, out of logs and texts.
func (c *call) hideApplied(verb string, applied *pluginpb.Applied) {
	c.hide(c.server.inputs[verb].secrets(applied.GetInputs())...)
	c.hide(c.server.outputs[verb].secrets(applied.GetOutputs())...)
}

func (s *server) instanceRequest(c *call, in *pluginpb.InstanceRequest) (*InstanceRequest, error) {
	handle, err := s.decodeHandle(in.GetHandle())
	if err != nil {
		return nil, err
	}
	attempted, err := s.attempts(in.GetAttempted())
	if err != nil {
		return nil, err
	}
	return &InstanceRequest{
		InstanceID:  in.GetInstanceId(),
		OperationID: in.GetOperationId(),
		Inputs:      c.inputs(in.GetInputs()),
		Applied:     applied(in.GetApplied()),
		Attempted:   attempted,
		Handle:      handle,
		Fence:       in.GetFence(),
		Seed:        in.GetSeed(),
		call:        c,
	}, nil
}

func (s *server) bindingRequest(c *call, in *pluginpb.BindingRequest) (*BindingRequest, error) {
	handle, err := s.decodeHandle(in.GetHandle())
	if err != nil {
		return nil, err
	}
	attempted, err := s.attempts(in.GetAttempted())
	if err != nil {
		return nil, err
	}
	return &BindingRequest{
		InstanceID:  in.GetInstanceId(),
		BindingID:   in.GetBindingId(),
		OperationID: in.GetOperationId(),
		Inputs:      c.inputs(in.GetInputs()),
		Instance:    applied(in.GetInstance()),
		Applied:     applied(in.GetApplied()),
		Attempted:   attempted,
		Handle:      handle,
		Fence:       in.GetFence(),
		Seed:        in.GetSeed(),
		call:        c,
	}, nil
}

// inputs are decoded strictly where they were checked against the schema. A verb
// that removes must not fail because another version took other inputs.
func (c *call) inputs(raw []byte) Document {
	_, checked := c.server.inputs[c.verb]
	return Document{raw: orEmptyObject(raw), lenient: !checked, what: "inputs"}
}

func applied(in *pluginpb.Applied) Applied {
	return Applied{
		Inputs:  Document{raw: in.GetInputs(), lenient: true, what: "applied inputs"},
		Outputs: Document{raw: in.GetOutputs(), lenient: true, what: "applied outputs"},
		Version: in.GetPluginVersion(),
	}
}

func (s *server) attempts(in []*pluginpb.Attempt) ([]Attempt, error) {
	var out []Attempt
	for _, a := range in {
		handle, err := s.decodeHandle(a.GetHandle())
		if err != nil {
			return nil, err
		}
		out = append(out, Attempt{
			OperationID: a.GetOperationId(),
			Verb:        a.GetVerb(),
			Inputs:      Document{raw: a.GetInputs(), lenient: true, what: "attempted inputs"},
			Handle:      handle,
		})
	}
	return out, nil
}

// orEmptyObject reads no document as an object without keys.
func orEmptyObject(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage(`{}`)
	}
	return raw
}
