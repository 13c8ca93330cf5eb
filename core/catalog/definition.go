package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// definitionFormat is the version of the blob; a broker reads all formats that were ever written.
const definitionFormat = 1

// definition is a service, one plan of it and its templates, complete: what the
// blob of a core.Definition holds. YAML is resolved into it, and a plan is compiled
// from it, at load and years later alike.
type definition struct {
	Format  int             `json:"format"`
	Service json.RawMessage `json:"service"` // a definedService
	Plan    definedPlan     `json:"plan"`
	// Templates are core.Nodes by place.
	Templates map[string]json.RawMessage `json:"templates,omitempty"`
}

type definedService struct {
	ID                   string         `json:"id"`
	Name                 string         `json:"name"`
	Description          string         `json:"description"`
	Tags                 []string       `json:"tags,omitempty"`
	Requires             []string       `json:"requires,omitempty"`
	Bindable             bool           `json:"bindable"`
	InstancesRetrievable bool           `json:"instancesRetrievable"`
	BindingsRetrievable  bool           `json:"bindingsRetrievable"`
	AllowContextUpdates  bool           `json:"allowContextUpdates"`
	PlanUpdateable       bool           `json:"planUpdateable"`
	Metadata             map[string]any `json:"metadata,omitempty"`
	Backend              string         `json:"backend"`
}

type definedPlan struct {
	ID               string                     `json:"id"`
	Name             string                     `json:"name"`
	Description      string                     `json:"description"`
	Metadata         map[string]any             `json:"metadata,omitempty"`
	Free             bool                       `json:"free"`
	Bindable         *bool                      `json:"bindable,omitempty"`
	PlanUpdateable   *bool                      `json:"planUpdateable,omitempty"`
	BindingRotatable bool                       `json:"bindingRotatable"`
	RequiresApp      bool                       `json:"requiresApp"`
	MaintenanceInfo  *maintenanceInfo           `json:"maintenanceInfo,omitempty"`
	Schemas          map[string]json.RawMessage `json:"schemas,omitempty"`
	Async            map[core.Verb]string       `json:"async,omitempty"` // what the plan says itself
	Timeouts         map[core.Verb]string       `json:"timeouts"`        // every verb, so that a new default changes no stored plan
}

type maintenanceInfo struct {
	Version     string `json:"version"`
	Description string `json:"description,omitempty"`
}

// encodeDefinition makes the blob: the plan is a definedPlan without templates, the
// templates are Nodes by place. Keys are in the order of the structs or sorted, so
// equal definitions have equal bytes. It is put together of parts that are JSON
// already, since 20,000 plans share most of them.
func encodeDefinition(service, plan json.RawMessage, templates map[string]json.RawMessage) core.Definition {
	size := len(service) + len(plan) + 64
	for key, raw := range templates {
		size += len(key) + len(raw) + 4
	}
	var b bytes.Buffer
	b.Grow(size)
	fmt.Fprintf(&b, `{"format":%d,"service":%s,"plan":%s,"templates":{`, definitionFormat, service, plan)
	for i, key := range slices.Sorted(maps.Keys(templates)) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:", key) // keys are those of places: plain letters
		b.Write(templates[key])
	}
	b.WriteString("}}")
	sum := sha256.Sum256(b.Bytes())
	return core.Definition{Digest: hex.EncodeToString(sum[:]), Blob: b.Bytes()}
}

// decodeDefinition reads a blob back and checks that it is the one that the digest names.
func decodeDefinition(def core.Definition) (definition, error) {
	var d definition
	sum := sha256.Sum256(def.Blob)
	if digest := hex.EncodeToString(sum[:]); digest != def.Digest {
		return d, fmt.Errorf("the definition %.12s is damaged: its content has the digest %.12s", def.Digest, digest)
	}
	if err := json.Unmarshal(def.Blob, &d); err != nil {
		return d, fmt.Errorf("the definition %.12s is damaged: %w", def.Digest, err)
	}
	if d.Format != definitionFormat {
		return d, fmt.Errorf("the definition %.12s has the format %d; this broker reads %d", def.Digest, d.Format, definitionFormat)
	}
	d.Plan.Metadata = plainObject(d.Plan.Metadata)
	return d, nil
}

// service makes the core's service of its definition, without plans.
func (s definedService) service() *core.Service {
	return &core.Service{ID: s.ID, Name: s.Name, Description: s.Description, Tags: s.Tags, Requires: s.Requires,
		Bindable: s.Bindable, InstancesRetrievable: s.InstancesRetrievable, BindingsRetrievable: s.BindingsRetrievable,
		AllowContextUpdates: s.AllowContextUpdates, PlanUpdateable: s.PlanUpdateable,
		Metadata: s.Metadata, Backend: s.Backend}
}

// plainObject makes whole numbers int64 again, which a JSON round trip made float64.
func plainObject(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	raw, err := json.Marshal(m)
	if err != nil {
		return m
	}
	out, err := core.JSONObject(raw)
	if err != nil {
		return m
	}
	return out
}

// plan makes the core's plan of its definition, without schemas and templates.
func (p definedPlan) plan(svc *core.Service) (*core.Plan, error) {
	out := &core.Plan{Service: svc, ID: p.ID, Name: p.Name, Description: p.Description, Metadata: p.Metadata,
		Free: p.Free, Bindable: svc.Bindable, PlanUpdateable: svc.PlanUpdateable, BindingRotatable: p.BindingRotatable,
		RequiresApp: p.RequiresApp, Async: map[core.Verb]core.AsyncMode{}, Timeouts: map[core.Verb]time.Duration{}}
	if p.Bindable != nil {
		out.Bindable, out.BindableSet = *p.Bindable, true
	}
	if p.PlanUpdateable != nil {
		out.PlanUpdateable, out.UpdateableSet = *p.PlanUpdateable, true
	}
	if p.MaintenanceInfo != nil {
		out.MaintenanceInfo = &core.MaintenanceInfo{Version: p.MaintenanceInfo.Version, Description: p.MaintenanceInfo.Description}
	}
	var longest time.Duration
	for _, verb := range core.Verbs {
		out.Async[verb] = core.AsyncAuto
		if mode := p.Async[verb]; mode != "" {
			out.Async[verb] = core.AsyncMode(mode)
		}
		timeout, err := time.ParseDuration(p.Timeouts[verb])
		if err != nil || timeout <= 0 {
			return nil, fmt.Errorf("plan %s: the timeout of %s is %q", p.ID, verb, p.Timeouts[verb])
		}
		out.Timeouts[verb] = timeout
		longest = max(longest, timeout)
	}
	out.MaximumPollingDuration = pollingDuration(longest)
	return out, nil
}

// pollingGrace lets a platform poll a little longer than the longest deadline, so
// that it hears the broker's own verdict instead of giving up first.
const pollingGrace = time.Minute

func pollingDuration(longest time.Duration) time.Duration {
	return (longest + pollingGrace + time.Second - 1).Truncate(time.Second)
}
