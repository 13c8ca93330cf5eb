package plugin

// Applied is what is known to exist: inputs and outputs of the last call that was
// done. Both are empty if there was none.
type Applied struct {
	Inputs  Document
	Outputs Document
	// Version is that of the plugin that gave the outputs; "" if the broker does not know
	// it. Outputs whose form changed between versions are read by it.
	Version string
}

// Attempt is a change that was begun after the applied one and did not finish.
type Attempt struct {
	OperationID string
	Verb        string // "provision", "update", "deprovision", "bind", "unbind" or "adopt"
	Inputs      Document
	Handle      Handle // the last one that the plugin gave for it; empty if none
}

// Handle is what an earlier call of the plugin stored with [Pending].
type Handle struct {
	Document
	// Version is that of the plugin that wrote it.
	Version string
}

// InstanceRequest is what Provision, Update, Deprovision, Check and Adopt get. For a unit
// test make one by hand; inputs are made by [JSON].
type InstanceRequest struct {
	// InstanceID is any non-empty string: names at the backend derive from its hash.
	InstanceID string
	// OperationID is the same for all calls of one operation.
	OperationID string
	// Inputs satisfy the declared schema. Deprovision gets those of the last
	// Provision or Update, unless the plan says otherwise.
	Inputs Document
	// Applied is what was there before; empty if nothing ever was.
	Applied Applied
	// Attempted is what was tried since and did not finish, oldest first.
	Attempted []Attempt
	// Handle is what this operation's last Pending stored; empty at its first call.
	Handle Handle
	// Fence rises with every call for this instance id, also across deletion and
	// re-creation. Leave it at the backend: a call never undoes what a call with a
	// higher fence has made.
	Fence int64
	// Seed is 32 random bytes, the same for all calls of one operation; see Secret.
	Seed []byte

	call *call
}

// BindingRequest is what Bind and Unbind get.
type BindingRequest struct {
	InstanceID string
	// BindingID is unique within the instance; any non-empty string.
	BindingID   string
	OperationID string
	// Inputs satisfy the declared schema. Unbind gets those of the bind, unless the plan says otherwise.
	Inputs Document
	// Instance is what is applied of the instance.
	Instance Applied
	// Applied is what was there of the binding; empty before the first bind is done.
	Applied Applied
	// Attempted is what was tried for this binding since and did not finish, oldest first.
	Attempted []Attempt
	Handle    Handle
	// Fence rises with every call for this instance id.
	Fence int64
	// Seed is 32 random bytes, the same for all calls of one operation; see Secret.
	Seed []byte

	call *call
}

// ConfigureRequest is what Configure gets.
type ConfigureRequest struct {
	// Backend is the backend's name, for logs and for marks at the backend.
	Backend string
	// Config satisfies the declared schema.
	Config Document
	// DataDirectory is a directory that only this backend uses, kept across
	// restarts; "" if the broker gives none.
	DataDirectory string

	isolated *bool
}

// SetIsolated says whether, with this configuration, every binding gets credentials
// of its own that open nothing else. It overrides Description.Isolated.
func (r *ConfigureRequest) SetIsolated(isolated bool) { r.isolated = &isolated }

// Progress tells users who poll how far the work is, and shows the broker that the
// call is alive. text is a short sentence without secrets; percent is 0 to 100, or
// negative if unknown.
func (r *InstanceRequest) Progress(text string, percent int) { r.call.progress(text, percent) }

// Progress is as for InstanceRequest.
func (r *BindingRequest) Progress(text string, percent int) { r.call.progress(text, percent) }

// Secret gives a secret of length characters [A-Za-z0-9] (1 to 1024) that is derived
// from the seed: a repeated call of the same operation gives the same, another name
// another. It panics if length is out of bounds or the request has no seed.
func (r *InstanceRequest) Secret(name string, length int) string {
	secret := deriveSecret(r.Seed, name, length)
	r.call.hide(secret)
	return secret
}

// Secret is as for InstanceRequest.
func (r *BindingRequest) Secret(name string, length int) string {
	secret := deriveSecret(r.Seed, name, length)
	r.call.hide(secret)
	return secret
}

// Hide keeps values out of everything that this call logs or tells: for secrets
// that the backend made up. Declared secret outputs of before and secrets made by
// Secret are hidden already.
func (r *InstanceRequest) Hide(values ...string) { r.call.hide(values...) }

// Hide is as for InstanceRequest.
func (r *BindingRequest) Hide(values ...string) { r.call.hide(values...) }
