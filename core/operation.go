package core

import (
	"encoding/json"
	"time"
)

// OperationState is where an operation is.
type OperationState string

// The states. Pending and Cancelling are unfinished; the others never change again.
const (
	// OperationPending is accepted: queued, running or waiting for its next call.
	OperationPending OperationState = "pending"
	// OperationCancelling is superseded or cancelled, until its plugin call has returned.
	OperationCancelling OperationState = "cancelling"
	OperationSucceeded  OperationState = "succeeded"
	OperationFailed     OperationState = "failed"
)

// Unfinished tells whether work may still be running for the operation.
func (s OperationState) Unfinished() bool { return s == OperationPending || s == OperationCancelling }

// Phase is the part of an operation's work that comes next.
type Phase string

// The phases, in their order. A deprovision goes through check, unbind and call;
// the others begin with call. Undo follows a call that failed in a way that the
// user must be able to repeat.
const (
	PhaseCheck  Phase = "check"
	PhaseUnbind Phase = "unbind"
	PhaseCall   Phase = "call"
	PhaseUndo   Phase = "undo"
)

// Operation is one provision, update, deprovision, bind or unbind: a row of the
// journal from before the first plugin call until after the last, and a tombstone
// for a while after that.
type Operation struct {
	ID         string
	Verb       Verb
	InstanceID string
	BindingID  string // "" for instance verbs
	State      OperationState
	Phase      Phase

	// Request is the digest that tells the same request again from a different one (RequestDigest).
	Request string
	// Definition is the digest of what the operation runs with, whatever the catalog says by now.
	Definition string
	Backend    string
	Wanted     Wanted

	Handle []byte // from the last pending
	Seed   []byte // 32 random bytes
	Fence  int64  // of the last call; 0 before the first
	Calls  int    // plugin calls started
	// NextAt is when the next call is due (pending handle, backoff); zero means now.
	NextAt   time.Time
	Failures int // unavailable answers in a row, for the backoff
	Deadline time.Time

	ProgressText    string
	ProgressPercent int // -1 if unknown

	// Detached is true once the caller was told (or can no longer be told otherwise)
	// that the work goes on: 202, 500 at the end of the budget, hang-up. Until then a
	// failure that the user caused leaves no row behind.
	Detached bool
	// Reported is true once the failure was told to somebody.
	Reported bool
	// CancelledBy is the id of the operation that superseded this one, or "operator".
	CancelledBy string
	Error       *Error
	Left        []string // what the plugin left at the backend on purpose

	// Who asked: for audit and templates. No secrets.
	User      string          // broker user (basic auth name or token name)
	Identity  json.RawMessage // {platform, ...}; nil if none was sent
	RequestID string
	// Trace is Caller.Trace, so that a resumed operation stays in its trace; "" without tracing.
	Trace string

	// Holder is the replica that runs it; "" if it is free. When the holder's lease ends
	// is kept once for the holder, see Leases. Epoch rises with each change of holder.
	Holder string
	Epoch  int64

	CreatedAt  time.Time
	StartedAt  time.Time // first plugin call; zero before
	FinishedAt time.Time // zero while unfinished
}

// Wanted is what an operation is to bring about, rendered when it was accepted.
// Its JSON form is stored (and, from the next milestone on, encrypted).
type Wanted struct {
	ServiceID  string          `json:"service_id,omitempty"`
	PlanID     string          `json:"plan_id,omitempty"`
	Parameters json.RawMessage `json:"parameters,omitempty"` // user's, merged, canonical
	Context    json.RawMessage `json:"context,omitempty"`
	Inputs     json.RawMessage `json:"inputs,omitempty"` // rendered for the plugin
	// Organization and Space of a provision, or those an update brings.
	OrganizationGUID string `json:"organization_guid,omitempty"`
	SpaceGUID        string `json:"space_guid,omitempty"`

	// Revoke is true for an unbind of the broker's own, at the end of a binding's time: the
	// credentials are taken away at the backend, and the row stays for the platform's DELETE.
	Revoke bool `json:"revoke,omitempty"`
	// Adopt is true for a provision that adopts what exists at the backend.
	Adopt bool `json:"adopt,omitempty"`

	DashboardURL       string          `json:"dashboard_url,omitempty"`
	MaintenanceVersion string          `json:"maintenance_version,omitempty"`
	Labels             json.RawMessage `json:"labels,omitempty"`
	Attributes         json.RawMessage `json:"attributes,omitempty"`
	// Unbinds are the bindings that a deprovision found and takes away first.
	Unbinds []WantedUnbind `json:"unbinds,omitempty"`
	// Undo are the inputs of the call that takes a failed change back.
	Undo json.RawMessage `json:"undo,omitempty"`
	// Effects is true once a deprovision or unbind has or may have changed something
	// (cancelled a change, unbound a binding, lost the plugin in the middle of a call): its
	// failure is then no 4xx, which would say that nothing happened.
	Effects bool `json:"effects,omitempty"`
	// Secrets are values that logs must mask.
	Secrets []string `json:"secrets,omitempty"`
}

// WantedUnbind is one binding that a deprovision takes away.
type WantedUnbind struct {
	BindingID string          `json:"binding_id"`
	Inputs    json.RawMessage `json:"inputs,omitempty"`
}

// StepKind says what a Step records.
type StepKind string

// The kinds of steps in a timeline.
const (
	StepAccepted StepKind = "accepted"
	StepQueued   StepKind = "queued"   // waits for another operation; Text names it
	StepCall     StepKind = "call"     // a plugin call starts
	StepProgress StepKind = "progress" // the plugin's words
	StepPending  StepKind = "pending"  // the plugin asks to be called again
	StepRetry    StepKind = "retry"    // unavailable; Text says when the next call is
	StepUndo     StepKind = "undo"
	StepCancel   StepKind = "cancel"
	StepDone     StepKind = "done"
	StepFailed   StepKind = "failed"
	StepOperator StepKind = "operator" // an operator's verb
)

// Step is one line of an operation's timeline. Text is the plugin's message or
// ours, never a secret; Detail is for operators only.
type Step struct {
	Operation string
	Seq       int64 // rises within the operation
	At        time.Time
	Kind      StepKind
	Text      string
	Detail    string
}
