// Command echo is a plugin for the tests of the SDK's process: it tells what it sees.
package main

import (
	"context"
	"os/exec"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/chandler-broker/chandler/core/plugin"
)

type echo struct{}

type inputs struct {
	// Sleep lets the call take that many milliseconds, after progress "sleeping".
	Sleep int `json:"sleep"`
	// Fork starts a child that ignores SIGTERM and lasts longer than any test.
	Fork bool `json:"fork"`
	// Blob is only there to be large.
	Blob string `json:"blob"`
}

func (echo) Provision(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	var in inputs
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	if in.Fork {
		if err := exec.Command("sh", "-c", "trap '' TERM; sleep 600 & wait").Start(); err != nil {
			return plugin.Result{}, err
		}
	}
	if in.Sleep > 0 {
		req.Progress("sleeping", -1)
		select {
		case <-time.After(time.Duration(in.Sleep) * time.Millisecond):
		case <-ctx.Done():
			return plugin.Result{}, ctx.Err()
		}
	}
	return plugin.Done(map[string]any{
		"trace":   trace.SpanContextFromContext(ctx).TraceID().String(),
		"applied": len(req.Applied.Outputs.Raw()) + len(req.Applied.Inputs.Raw()),
	}), nil
}

func (e echo) Update(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	return e.Provision(ctx, req)
}

func (echo) Deprovision(context.Context, *plugin.InstanceRequest) (plugin.Result, error) {
	return plugin.Done(nil), nil
}

func (echo) Bind(context.Context, *plugin.BindingRequest) (plugin.Result, error) {
	return plugin.Done(nil), nil
}

func (echo) Unbind(context.Context, *plugin.BindingRequest) (plugin.Result, error) {
	return plugin.Done(nil), nil
}

func main() {
	plugin.Serve(plugin.ServeConfig{
		Description: plugin.Description{
			Name: "echo", Version: "1.0.0",
			ProvisionInputs: []byte(`{"type": "object"}`),
			InstanceOutputs: []byte(`{"type": "object", "properties": {"trace": {"type": "string"}, "applied": {"type": "integer"}}}`),
		},
		Plugin: echo{},
	})
}
