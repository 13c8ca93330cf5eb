package core

import (
	"encoding/json"
	"time"
)

// Catalog gives the current snapshot of services and plans and reads pinned
// definitions back. core/catalog implements it; safe for concurrent use.
type Catalog interface {
	// Snapshot is the active catalog. It never changes once returned; a request
	// uses one snapshot from beginning to end. Never nil.
	Snapshot() *Snapshot
	// Plan compiles a stored definition (Plan.Definition). It never looks at newer
	// YAML. Results are cached by digest.
	Plan(definition Definition) (*Plan, error)
}

// Definition is a service, one plan of it and the templates that they use, as
// stored when the first operation uses it. Blob is opaque to core; Digest is the
// lower-case hex SHA-256 of Blob.
type Definition struct {
	Digest string
	Blob   []byte
}

// Snapshot is one immutable state of the catalog.
type Snapshot struct {
	// Revision identifies the content (hex digest); it changes exactly if something that an
	// operation or a platform can see changes.
	Revision string
	LoadedAt time.Time
	// Services in the order of their file names; retired services and plans are not in it.
	Services []*Service
	// Retired are plans that left the YAML but still have instances.
	Retired []*Plan

	plans    map[string]*Plan // service id + NUL + plan id, retired ones too
	services map[string]*Service
}

// NewSnapshot indexes services and retired plans. Ids must be unique already.
func NewSnapshot(revision string, at time.Time, services []*Service, retired []*Plan) *Snapshot {
	s := &Snapshot{Revision: revision, LoadedAt: at, Services: services, Retired: retired,
		plans: map[string]*Plan{}, services: map[string]*Service{}}
	for _, p := range retired {
		p.Retired = true
		s.plans[p.Service.ID+"\x00"+p.ID] = p
		s.services[p.Service.ID] = p.Service
	}
	for _, svc := range services {
		s.services[svc.ID] = svc
		for _, p := range svc.Plans {
			s.plans[svc.ID+"\x00"+p.ID] = p
		}
	}
	return s
}

// Plan finds a plan, also a retired one; nil if the catalog does not know it.
func (s *Snapshot) Plan(serviceID, planID string) *Plan { return s.plans[serviceID+"\x00"+planID] }

// Service finds a service, also one of which only retired plans are left; nil if unknown.
func (s *Snapshot) Service(id string) *Service { return s.services[id] }

// Service is an OSB service offering (OSB 2.17 "Service Offering Object").
type Service struct {
	ID          string
	Name        string
	Description string
	Tags        []string
	Requires    []string // syslog_drain, route_forwarding, volume_mount
	Bindable    bool

	InstancesRetrievable bool
	BindingsRetrievable  bool
	AllowContextUpdates  bool
	PlanUpdateable       bool
	Metadata             map[string]any
	DashboardClient      *DashboardClient

	// Backend names the configured backend that serves the plans.
	Backend string
	Plans   []*Plan
}

// DashboardClient is the OAuth client of a dashboard (OSB profile).
type DashboardClient struct{ ID, Secret, RedirectURI string }

// Plan is an OSB service plan with all that an operation on it needs. Immutable.
type Plan struct {
	Service     *Service
	ID          string
	Name        string
	Description string
	Metadata    map[string]any
	Free        bool

	Bindable         bool // the plan's own value, or the service's
	PlanUpdateable   bool // the plan's own value, or the service's
	BindableSet      bool // the plan says it itself; likewise below. For the OSB document.
	UpdateableSet    bool
	BindingRotatable bool
	// RequiresApp refuses a bind without an application (422 RequiresApp).
	RequiresApp bool
	// MaximumPollingDuration is derived from the timeouts; whole seconds.
	MaximumPollingDuration time.Duration
	MaintenanceInfo        *MaintenanceInfo

	// SchemaProvision, SchemaUpdate and SchemaBind check and describe parameters; never nil.
	SchemaProvision, SchemaUpdate, SchemaBind Schema

	// Templates by place; nil where the plan has none. Inputs yield mappings.
	Provision, Update, Deprovision, Bind, Unbind Template
	Credentials                                  Template // a mapping
	DashboardURL                                 Template // a string; reads no outputs
	// InstanceLabels and InstanceAttributes yield mappings (OSB instance metadata).
	InstanceLabels, InstanceAttributes Template
	// Endpoints, VolumeMounts: lists; ExpiresAt, RenewBefore, SyslogDrainURL, RouteServiceURL: strings.
	Endpoints, VolumeMounts                                 Template
	ExpiresAt, RenewBefore, SyslogDrainURL, RouteServiceURL Template

	Async    map[Verb]AsyncMode     // every verb is present
	Timeouts map[Verb]time.Duration // every verb is present; > 0

	Definition Definition
	// Retired is true for a plan that left the YAML but still has instances.
	Retired bool
}

// MaintenanceInfo is OSB's maintenance_info; Version is a semantic version 2.0.
type MaintenanceInfo struct{ Version, Description string }

// Schema is a compiled JSON Schema for the parameters of one verb.
type Schema interface {
	// JSON is the document as published in the OSB catalog: with "$schema", at most
	// 64 kB, no external references. Nil where the catalog publishes none (then only
	// the empty parameters are valid).
	JSON() json.RawMessage
	// Validate gives every violation at once, pointers relative to the parameters
	// object ("" is the object itself); nil if params is valid.
	Validate(params map[string]any) []Violation
	// Effective fills in the schema's defaults and sets declared properties that are
	// absent to nil, so that templates can use `default`. It returns a new map.
	Effective(params map[string]any) map[string]any
	// WithoutSecrets gives a copy of params without the properties that the schema
	// marks "writeOnly": true at any depth: for GET, logs and audit.
	WithoutSecrets(params map[string]any) map[string]any
	// Secrets lists the string values of writeOnly properties in params, for masking in logs.
	Secrets(params map[string]any) []string
}

// PlanUse says that instances of a stored definition exist.
type PlanUse struct {
	ServiceID, PlanID string
	Definition        Definition // the newest one applied or wanted by an instance
	Instances         int
}
