package plugin

import (
	"context"
	"encoding/json"
)

// Plugin is what an author implements. Every method may be called again with the
// same id at any time, after a crash of the plugin, of the broker or of both, and
// must then converge to the same result. At most one call per instance and binding
// is in flight; calls for different ones come side by side, from many goroutines.
//
// A method returns [Done], [Pending] or an error, best an [*Error]; any other error
// counts as [CodeFailed] and its text is only logged. It should return soon after
// ctx has ended: a call that goes on for 10 s has its process killed.
type Plugin interface {
	// Provision makes the instance, or finds that it exists with the same inputs.
	Provision(ctx context.Context, req *InstanceRequest) (Result, error)
	// Update changes the instance from req.Applied to req.Inputs. After a failed
	// attempt it may be called with the applied inputs, to take the attempt back.
	Update(ctx context.Context, req *InstanceRequest) (Result, error)
	// Deprovision removes everything that it can prove to be the instance's, and is
	// done at once if there is nothing.
	Deprovision(ctx context.Context, req *InstanceRequest) (Result, error)
	// Bind makes credentials for one binding.
	Bind(ctx context.Context, req *BindingRequest) (Result, error)
	// Unbind takes them away, and is done at once if there are none.
	Unbind(ctx context.Context, req *BindingRequest) (Result, error)
}

// Configurer is implemented by plugins that take a configuration or keep data.
// Without it a plugin accepts only an empty configuration.
type Configurer interface {
	// Configure is called before any verb. It returns nil once per process; after an
	// error it may be called again. [InvalidInput] (also Conflict and NotFound) means
	// that the configuration is wrong and the broker refuses it; any other error
	// that it may be right, but the backend cannot be used now: the broker lists the
	// services and tries again. Its errors are shown to operators only.
	Configure(ctx context.Context, req *ConfigureRequest) error
}

// Checker is implemented by plugins that can say beforehand that a deprovision would
// be refused; it announces the capability "check".
type Checker interface {
	// Check returns the error that Deprovision would return for the request, nil if
	// there is none. It must not change anything.
	Check(ctx context.Context, req *InstanceRequest) error
}

// Description is a plugin's word about itself. The broker publishes and enforces
// the schemas, refuses templates that read undeclared outputs, and masks declared
// secrets. A schema is JSON Schema, draft 4 to 2020-12, without references to other
// documents; a secret is marked with "writeOnly": true.
type Description struct {
	// Name is the executable's name without "chandler-plugin-": [a-z0-9-]+.
	Name string
	// Version is the plugin's own version, a semantic version 2.0 such as "1.2.0".
	Version string

	// Config is the schema of the backend's configuration; empty if it takes none.
	Config json.RawMessage
	// ProvisionInputs is the schema of the inputs of Provision and Update; empty
	// means no inputs. A property with "x-unique": true is reserved per backend.
	ProvisionInputs json.RawMessage
	// BindInputs is the schema of the inputs of Bind; empty means no inputs.
	BindInputs json.RawMessage
	// InstanceOutputs is the schema of the outputs of Provision and Update; empty means none.
	InstanceOutputs json.RawMessage
	// BindingOutputs is the schema of the outputs of Bind; empty means none.
	BindingOutputs json.RawMessage

	// MaxConcurrency is how many calls the process takes at once; 0 means no limit.
	MaxConcurrency int
	// SerializeInstance says that binds and unbinds of one instance must not run side by side.
	SerializeInstance bool
	// Isolated says that every binding gets credentials of its own that open nothing
	// else. Where the configuration decides this, see ConfigureRequest.SetIsolated.
	Isolated bool
	// RequiresConfiguration says that no backend can be made of the executable alone.
	RequiresConfiguration bool
	// ReadsVersions are earlier versions of the plugin whose handles and outputs this
	// one reads, as prefixes, e.g. "1.". Nil means all of the same major version.
	ReadsVersions []string
}
