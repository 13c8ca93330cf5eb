package core

import (
	"context"
	"encoding/json"
	"slices"
	"time"
)

// Backends calls plugins. core/pluginhost implements it; safe for concurrent use.
type Backends interface {
	// Describe gives what the plugin of that backend said of itself, from the
	// running process or, when it is down, from the last time it was seen. ok is
	// false if the backend is not configured or was never described.
	Describe(backend string) (d Description, ok bool)
	// Call makes one plugin call and returns when the plugin's call has returned or
	// its process is dead: after that nothing of this call is running any more. It
	// waits for a free slot within the backend's limits first. progress is called
	// for progress events, at most once a second, one call at a time, never after
	// Call returned.
	//
	// Errors are *Error with Backend set: CodeInvalid, CodeConflict, CodeNotFound,
	// CodeUnavailable (the plugin could not be reached, died or asks for a retry),
	// CodeFailed, or CodeCancelled when ctx ended.
	Call(ctx context.Context, call Call, progress func(Progress)) (Result, error)
}

// Description is a plugin's word about itself.
type Description struct {
	Plugin   string // name without the chandler-plugin- prefix
	Version  string
	Isolated bool // every binding gets credentials of its own that open nothing else
	// SerializeInstance: binds and unbinds of one instance must not run side by side.
	SerializeInstance bool
	// ChecksDeprovision: Call.Check is honoured.
	ChecksDeprovision bool
	// MaxConcurrency is the plugin's own limit of calls at once; 0 means no limit.
	MaxConcurrency int
	// Schemas are JSON Schemas; nil where the plugin declares none.
	ConfigSchema          json.RawMessage
	ProvisionInputs       json.RawMessage // also of update and deprovision
	BindInputs            json.RawMessage // also of unbind
	InstanceOutputs       json.RawMessage
	BindingOutputs        json.RawMessage
	RequiresConfiguration bool
	Capabilities          []string
	// Offerings are the service definitions that the plugin brings: YAML by file name, as in
	// the catalog directory; nil where it brings none. The core does not read them.
	Offerings map[string][]byte `json:",omitempty"`
}

// Applied is what is known to exist: the inputs of the last call that was done and the outputs it gave.
type Applied struct {
	Inputs  json.RawMessage // nil if nothing was ever applied
	Outputs json.RawMessage
	Version string // of the plugin that gave the outputs; "" if unknown
}

// Attempt is a change that was tried after the last applied one and did not finish.
type Attempt struct {
	Operation string          `json:"operation"`
	Verb      Verb            `json:"verb"` // also VerbAdopt
	Inputs    json.RawMessage `json:"inputs,omitempty"`
	Handle    []byte          `json:"handle,omitempty"` // the last one the plugin gave
}

// Inventory asks plugins what exists at their backends. What it calls changes nothing
// there. core/pluginhost implements it; safe for concurrent use. Errors are *Error with
// Backend set; CodeUnprocessable if the backend's plugin does not have the capability.
type Inventory interface {
	// Inspect compares what exists for an instance with what was applied.
	Inspect(ctx context.Context, call InspectCall) (Inspection, error)
	// List names what exists at a backend, page by page; page is Next of the page
	// before, "" for the first one.
	List(ctx context.Context, backend, page string) (FoundPage, error)
}

// The capabilities, in Description.Capabilities, of what Inventory and VerbAdopt call.
const (
	CapabilityInspect = "inspect"
	CapabilityList    = "list"
	CapabilityAdopt   = "adopt"
)

// CapabilityOfferings is what a plugin with services of its own announces; see Description.Offerings.
const CapabilityOfferings = "offerings"

// Can tells whether the plugin announced a capability.
func (d *Description) Can(capability string) bool { return slices.Contains(d.Capabilities, capability) }

// InspectCall asks about one instance.
type InspectCall struct {
	Backend    string
	InstanceID string
	Applied    Applied
	Secrets    []string // as in Call
}

// Inspection is a plugin's word on what exists for an instance.
type Inspection struct {
	Exists  bool            // something that is provably the instance's
	Outputs json.RawMessage // what a provision would give now, an object; nil if it does not exist
	Drift   []Drift
}

// Drift is one difference between what was applied and what is at the backend.
type Drift struct {
	Pointer string `json:"pointer"` // JSON pointer into the applied inputs; "" if it is of the whole
	Message string `json:"message"` // in words for the operator; no secrets
}

// FoundPage is one page of what exists at a backend.
type FoundPage struct {
	Found []Found
	Next  string // "" on the last page
}

// Found is one thing at a backend that is, was or can become an instance.
type Found struct {
	Name       string
	InstanceID string // whose mark it carries; "" if none, or one that does not give the id away
	Marked     bool   // it carries a mark of the plugin
	// Inputs are the x-unique inputs that name it, an object; nil if the plugin gave none.
	Inputs     json.RawMessage
	Attributes json.RawMessage // an object of texts and numbers; nil if there are none
}

// Call is one call of a plugin; the fields mirror the plugin contract.
type Call struct {
	Backend     string
	Verb        Verb // also VerbAdopt
	InstanceID  string
	BindingID   string // "" for instance verbs
	OperationID string
	Inputs      json.RawMessage // rendered; an object
	Instance    Applied
	Binding     Applied
	Attempted   []Attempt
	Handle      []byte // from the last pending of this operation; nil at first
	Fence       int64  // rises with every call for one instance id
	Seed        []byte // 32 random bytes, the same for all calls of one operation
	// Check asks a deprovision whether it would be refused, without any effect.
	Check bool
	// Timeout is the longest time without an event before the call is given up; 0 is the backend's default.
	Timeout time.Duration
	// Secrets are values that must not appear in the plugin's logs; the host masks them.
	Secrets []string
}

// Progress is a plugin's word on how far it is.
type Progress struct {
	Text    string
	Percent int // 0..100; -1 if unknown
}

// Result is how a successful plugin call ended: pending if Pending is set, else done.
type Result struct {
	Pending *Pending
	Outputs json.RawMessage // an object; nil for deprovision, unbind
	Version string          // of the plugin that answered
	// Labels and Attributes are instance metadata that the plugin adds.
	Labels, Attributes map[string]any
	DashboardURL       string
	// Left names what the plugin left at the backend on purpose.
	Left []string
}

// applied is what exists after a call with these inputs was done.
func (r Result) applied(inputs json.RawMessage) Applied {
	return Applied{Inputs: inputs, Outputs: r.Outputs, Version: r.Version}
}

// Pending means: call again after RetryAfter with this handle.
type Pending struct {
	Handle     []byte
	RetryAfter time.Duration
	Text       string
}
