// A plugin that brings its service itself: copied into the plugin directory it is
// enough, and operators write no catalog file. An instance is a directory, a binding
// a key for it.
package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/chandler-broker/chandler/core/plugin"
)

//go:embed letterbox.yaml
var definition []byte

func main() {
	plugin.Serve(plugin.ServeConfig{
		Description: plugin.Description{
			Name:     "letterbox",
			Version:  "1.0.0",
			Isolated: true,
			ProvisionInputs: []byte(`{"type": "object", "additionalProperties": false, "required": ["label"],
				"properties": {"label": {"type": "string", "minLength": 1}}}`),
			InstanceOutputs: []byte(`{"type": "object", "properties": {"path": {"type": "string"}}}`),
			BindingOutputs: []byte(`{"type": "object", "properties": {
				"path": {"type": "string"}, "key": {"type": "string", "writeOnly": true}}}`),
		},
		Plugin: &letterboxes{},
	})
}

// letterboxes keeps every instance as a directory.
type letterboxes struct{ dir string }

// Offerings makes the plugin an Offerer; the broker asks once, after Configure.
func (*letterboxes) Offerings(context.Context) ([]plugin.Offering, error) {
	return []plugin.Offering{{Name: "letterbox.yaml", YAML: definition}}, nil
}

// Configure takes the data directory; there is no configuration.
func (l *letterboxes) Configure(_ context.Context, req *plugin.ConfigureRequest) error {
	if req.DataDirectory == "" {
		return plugin.Unavailable(0, "The broker gave no data directory.")
	}
	l.dir = req.DataDirectory
	return nil
}

// name is an id's name in the directory: ids hold any character.
func name(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:12])
}

func (l *letterboxes) path(instanceID string) string { return filepath.Join(l.dir, name(instanceID)) }

type output struct {
	Path string `json:"path"`
	Key  string `json:"key,omitempty"`
}

// Provision makes the directory, or finds it.
func (l *letterboxes) Provision(_ context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	var in struct {
		Label string `json:"label"`
	}
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	path := l.path(req.InstanceID)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return plugin.Result{}, plugin.Unavailable(0, "The letterbox cannot be made now.").WithCause(err)
	}
	return plugin.Done(output{Path: path}), os.WriteFile(filepath.Join(path, "label"), []byte(in.Label), 0o600)
}

// Update changes the label.
func (l *letterboxes) Update(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	return l.Provision(ctx, req)
}

// Deprovision removes the directory.
func (l *letterboxes) Deprovision(_ context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	return plugin.Done(nil), os.RemoveAll(l.path(req.InstanceID))
}

// Bind makes a key that is the same when the operation is repeated.
func (l *letterboxes) Bind(_ context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	path, key := l.path(req.InstanceID), req.Secret("key", 32)
	return plugin.Done(output{path, key}), os.WriteFile(filepath.Join(path, name(req.BindingID)), []byte(key), 0o600)
}

// Unbind removes the key; what is not there is done.
func (l *letterboxes) Unbind(_ context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	err := os.Remove(filepath.Join(l.path(req.InstanceID), name(req.BindingID)))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return plugin.Done(nil), err
}
