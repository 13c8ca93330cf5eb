// Package echo is a well-behaved plugin made with the SDK, for the host's tests and
// its benchmark: in process and as an executable (testdata/sdk).
package echo

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"

	"github.com/chandler-broker/chandler/core/plugin"
)

// Description says what it takes and gives.
var Description = plugin.Description{
	Name: "sdk", Version: "1.0.0",
	Config:          json.RawMessage(`{"type":"object","properties":{"size":{"type":"integer"}},"additionalProperties":false}`),
	ProvisionInputs: json.RawMessage(`{"type":"object"}`),
	InstanceOutputs: json.RawMessage(`{"type":"object"}`),
}

// Inputs are those of the host's test plugin that make sense here.
type Inputs struct {
	Do, Text, File string
	N, Ms          int
}

// Outputs are what it gives.
type Outputs struct {
	Text    string
	Pid     int
	Sleeper int
}

// Plugin echoes.
type Plugin struct{}

// Configure takes anything that the schema allows.
func (Plugin) Configure(context.Context, *plugin.ConfigureRequest) error { return nil }

// Provision says Text, waits for its cancellation, or forks a sleeper.
func (Plugin) Provision(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	var in Inputs
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	switch in.Do {
	case "wait":
		if err := os.WriteFile(in.File, nil, 0o600); err != nil {
			return plugin.Result{}, err
		}
		<-ctx.Done()
		return plugin.Result{}, ctx.Err()
	case "log":
		plugin.Logger(ctx).Warn(in.Text, "answer", 42)
	case "fork":
		cmd := exec.Command("/bin/sleep", "3600")
		if err := cmd.Start(); err != nil {
			return plugin.Result{}, err
		}
		return plugin.Done(Outputs{Pid: os.Getpid(), Sleeper: cmd.Process.Pid}), nil
	}
	return plugin.Done(Outputs{Text: in.Text, Pid: os.Getpid()}), nil
}

// Update does nothing.
func (Plugin) Update(context.Context, *plugin.InstanceRequest) (plugin.Result, error) {
	return plugin.Done(nil), nil
}

// Deprovision does nothing.
func (Plugin) Deprovision(context.Context, *plugin.InstanceRequest) (plugin.Result, error) {
	return plugin.Done(nil), nil
}

// Bind does nothing.
func (Plugin) Bind(context.Context, *plugin.BindingRequest) (plugin.Result, error) {
	return plugin.Done(nil), nil
}

// Unbind does nothing.
func (Plugin) Unbind(context.Context, *plugin.BindingRequest) (plugin.Result, error) {
	return plugin.Done(nil), nil
}
