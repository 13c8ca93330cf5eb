package core

import (
	"encoding/json"
	"time"
)

// Caller is who asks, as the edge authenticated and parsed it.
type Caller struct {
	User      string          // name of the broker's user or token; "" where no authentication is configured
	Identity  json.RawMessage // {"platform": …, …} from X-Broker-API-Originating-Identity; nil if none
	RequestID string          // never empty
	// Started is when the first byte of the request arrived: the synchronous budget counts from here.
	Started time.Time
	// AcceptsIncomplete is the query parameter of that name being exactly "true".
	AcceptsIncomplete bool
	// Trace is the W3C traceparent of the request's span; "" without tracing.
	Trace string
}

// MaintenanceRequest is a maintenance_info of a request; an empty version is "not given" (decision C-6).
type MaintenanceRequest struct{ Version string }

// ProvisionRequest is PUT /v2/service_instances/{id}. The edge has checked the form only.
type ProvisionRequest struct {
	Caller
	InstanceID                  string
	ServiceID, PlanID           string
	OrganizationGUID, SpaceGUID string
	Parameters                  json.RawMessage // an object; nil for absent or null
	Context                     json.RawMessage // an object; nil for absent or null
	Maintenance                 MaintenanceRequest
}

// UpdateRequest is PATCH /v2/service_instances/{id}.
type UpdateRequest struct {
	Caller
	InstanceID  string
	ServiceID   string
	PlanID      string          // "" keeps the plan
	Parameters  json.RawMessage // nil keeps them
	Context     json.RawMessage // nil keeps it
	Maintenance MaintenanceRequest
}

// DeprovisionRequest is DELETE /v2/service_instances/{id}.
type DeprovisionRequest struct {
	Caller
	InstanceID        string
	ServiceID, PlanID string
}

// BindRequest is PUT …/service_bindings/{id}; with Predecessor it is a rotation and the others may be empty.
type BindRequest struct {
	Caller
	InstanceID, BindingID string
	ServiceID, PlanID     string
	AppGUID               string          // bind_resource.app_guid or the deprecated app_guid
	Resource              json.RawMessage // bind_resource, an object; nil if absent
	Parameters            json.RawMessage
	Context               json.RawMessage
	Predecessor           string
}

// UnbindRequest is DELETE …/service_bindings/{id}.
type UnbindRequest struct {
	Caller
	InstanceID, BindingID string
	ServiceID, PlanID     string
}

// Outcome tells which success an answer is.
type Outcome int

// The outcomes.
const (
	// Created: made as a result of this request (201 for PUT).
	Created Outcome = iota + 1
	// Unchanged: it existed exactly so before (200).
	Unchanged
	// Done: updated or deleted as a result of this request (200).
	Done
	// Accepted: the work goes on; Operation names it (202).
	Accepted
)

// InstanceAnswer is what provision, update and deprovision give.
type InstanceAnswer struct {
	Outcome      Outcome
	Operation    string // set with Accepted
	DashboardURL string
	Metadata     InstanceMetadata
}

// InstanceMetadata is OSB's instance metadata; each is an object or nil.
type InstanceMetadata struct{ Labels, Attributes json.RawMessage }

// BindingAnswer is what bind and unbind give. Result is nil with Accepted and for unbind.
type BindingAnswer struct {
	Outcome   Outcome
	Operation string
	Result    *BindingResult
}

// InstanceView is GET /v2/service_instances/{id}.
type InstanceView struct {
	ServiceID, PlanID  string
	DashboardURL       string
	Parameters         json.RawMessage // without secrets
	MaintenanceVersion string
	Metadata           InstanceMetadata
}

// BindingView is GET …/service_bindings/{id}.
type BindingView struct {
	Result     *BindingResult
	Parameters json.RawMessage // without secrets
}

// PollRequest is GET …/last_operation. BindingID is "" for the instance. ServiceID and PlanID are hints.
type PollRequest struct {
	Caller
	InstanceID, BindingID string
	Operation             string // as given back by the platform; unknown words mean the newest
}

// OperationView is the answer to a poll.
type OperationView struct {
	State       string // "in progress", "succeeded" or "failed"
	Description string // never empty
	Verb        Verb
	RetryAfter  time.Duration // while in progress; whole seconds, at least 1
	// InstanceUsable and UpdateRepeatable are nil where the specification does not allow them.
	InstanceUsable, UpdateRepeatable *bool
}

// PurgeReport says what Purge forgot and what may be left behind at the backend.
type PurgeReport struct {
	InstanceID string
	Backend    string
	Bindings   []string // binding ids that were forgotten
	// MayBeLeft is one line per thing, in words for the operator; no secrets.
	MayBeLeft []string
}
