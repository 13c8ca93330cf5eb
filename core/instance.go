package core

import (
	"encoding/json"
	"time"
)

// Instance is a service instance as the store holds it. It exists from the moment
// its provision was accepted until its deprovision is done.
type Instance struct {
	ID        string
	ServiceID string
	PlanID    string // applied; the wanted one until the first provision is done
	// Definition is the digest of the applied definition; of the wanted one until
	// the first provision is done.
	Definition string
	Backend    string

	OrganizationGUID, SpaceGUID string
	// Parameters are the user's, canonical JSON object, merged over all done updates; no defaults filled in.
	Parameters json.RawMessage
	Context    json.RawMessage // canonical JSON object of the last done provision or update
	// Ready is true once a provision was done; it stays true until the row is gone.
	Ready bool
	// Usable is false after a failed update or deprovision that said so.
	Usable  bool
	Applied Applied
	// Attempted are the changes tried since Applied, oldest first; cleared by the next done.
	Attempted []Attempt

	DashboardURL       string
	MaintenanceVersion string          // applied; "" if none
	Labels, Attributes json.RawMessage // objects; nil if none

	// LastOperation is the id of the newest instance-level operation.
	LastOperation string
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// Binding is a service binding as the store holds it, from accepted bind until done unbind.
type Binding struct {
	InstanceID string
	ID         string
	ServiceID  string
	PlanID     string
	Definition string // digest: the definition that the bind used
	Backend    string
	// Request is what "identical" compares (RequestDigest); Parameters the user's, canonical.
	Request     string
	Parameters  json.RawMessage
	Context     json.RawMessage
	Resource    json.RawMessage // bind_resource as accepted, canonical
	Predecessor string          // binding id it was rotated from; "" if none

	Ready     bool
	Applied   Applied
	Attempted []Attempt
	// Result is the OSB answer's body, rendered once when the bind finished.
	Result *BindingResult
	// RevokeAt is when the broker takes the credentials away at the backend, since the
	// binding expires then; zero: never, or it has.
	RevokeAt time.Time

	LastOperation string
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// BindingResult is what an application gets (OSB 2.17 "Binding" response bodies).
type BindingResult struct {
	Credentials     json.RawMessage `json:"credentials,omitempty"` // an object
	SyslogDrainURL  string          `json:"syslog_drain_url,omitempty"`
	RouteServiceURL string          `json:"route_service_url,omitempty"`
	VolumeMounts    json.RawMessage `json:"volume_mounts,omitempty"` // a list
	Endpoints       json.RawMessage `json:"endpoints,omitempty"`     // a list
	ExpiresAt       string          `json:"expires_at,omitempty"`    // yyyy-mm-ddThh:mm:ss.sZ
	RenewBefore     string          `json:"renew_before,omitempty"`
}
