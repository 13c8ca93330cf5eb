package main

import (
	"encoding/json"
	"testing"

	"github.com/chandler-broker/chandler/core/plugin"
)

// instance is an instance as the broker's store knows it. Its verbs call the plugin
// as the broker does: with handles, attempts and rising fences, until it is done.
type instance struct {
	id        string
	fence     int64
	inputs    map[string]any
	applied   plugin.Applied
	attempted []plugin.Attempt
	handle    plugin.Handle
}

func newInstance(id string) *instance { return &instance{id: id} }

// stored passes a document through JSON, as the store does.
func stored(t *testing.T, d plugin.Document) plugin.Document {
	t.Helper()
	if d.Empty() {
		return d
	}
	return plugin.JSON([]byte(d.Raw()))
}

func (i *instance) request(inputs map[string]any) *plugin.InstanceRequest {
	i.fence++
	return &plugin.InstanceRequest{
		InstanceID: i.id, OperationID: "op", Inputs: plugin.JSON(inputs),
		Applied: i.applied, Attempted: i.attempted, Handle: i.handle, Fence: i.fence, Seed: make([]byte, 32),
	}
}

// call makes one call of Provision and stores what it says.
func (i *instance) provisionOnce(t *testing.T, p *glusterS3, inputs map[string]any) (done bool, err error) {
	t.Helper()
	r, err := p.Provision(t.Context(), i.request(inputs))
	if err != nil {
		return false, err
	}
	if r.IsPending() {
		i.handle = r.Handle()
		return false, nil
	}
	i.inputs = inputs
	i.applied = plugin.Applied{Inputs: plugin.JSON(inputs), Outputs: stored(t, r.Outputs())}
	i.attempted, i.handle = nil, plugin.Handle{}
	return true, nil
}

// provision runs a whole operation; a failed one is remembered as an attempt.
func (i *instance) provision(t *testing.T, p *glusterS3, inputs map[string]any) error {
	t.Helper()
	for range 10 {
		done, err := i.provisionOnce(t, p, inputs)
		if err != nil {
			i.giveUp("provision", inputs)
			return err
		}
		if done {
			return nil
		}
	}
	t.Fatal("Provision is still pending after ten calls")
	return nil
}

// giveUp ends the running operation without success.
func (i *instance) giveUp(verb string, inputs map[string]any) {
	i.attempted = append(i.attempted, plugin.Attempt{OperationID: "op", Verb: verb, Inputs: plugin.JSON(inputs), Handle: i.handle})
	i.handle = plugin.Handle{}
}

func (i *instance) update(t *testing.T, p *glusterS3, inputs map[string]any) error {
	t.Helper()
	r, err := p.Update(t.Context(), i.request(inputs))
	if err != nil {
		i.giveUp("update", inputs)
		return err
	}
	i.inputs = inputs
	i.applied = plugin.Applied{Inputs: plugin.JSON(inputs), Outputs: stored(t, r.Outputs())}
	i.attempted = nil
	return nil
}

// deprovision gives what was left.
func (i *instance) deprovision(t *testing.T, p *glusterS3, inputs map[string]any) ([]string, error) {
	t.Helper()
	r, err := p.Deprovision(t.Context(), i.request(inputs))
	return r.Left(), err
}

func (i *instance) bindRequest(binding string, inputs map[string]any) *plugin.BindingRequest {
	i.fence++
	return &plugin.BindingRequest{
		InstanceID: i.id, BindingID: binding, OperationID: "op", Inputs: plugin.JSON(inputs),
		Instance: i.applied, Fence: i.fence, Seed: make([]byte, 32),
	}
}

func (i *instance) bind(t *testing.T, p *glusterS3, binding, access string) (bindingOutputs, error) {
	t.Helper()
	var out bindingOutputs
	r, err := p.Bind(t.Context(), i.bindRequest(binding, map[string]any{"access": access}))
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(r.Outputs().Raw(), &out); err != nil {
		t.Fatal(err)
	}
	return out, nil
}

func (i *instance) unbind(t *testing.T, p *glusterS3, binding string) error {
	t.Helper()
	_, err := p.Unbind(t.Context(), i.bindRequest(binding, map[string]any{}))
	return err
}
