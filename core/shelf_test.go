package core_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// shelf is core.Catalog built by hand: the same plans that YAML would give, small
// enough to vary in every test.
type shelf struct {
	current atomic.Pointer[core.Snapshot]
	mu      sync.Mutex
	plans   map[string]*core.Plan // by digest
}

func (s *shelf) Snapshot() *core.Snapshot { return s.current.Load() }

func (s *shelf) Plan(d core.Definition) (*core.Plan, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.plans[d.Digest]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no plan %s", d.Digest)
}

// put makes services the active catalog and pins their plans.
func (s *shelf) put(retired []*core.Plan, services ...*core.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plans == nil {
		s.plans = map[string]*core.Plan{}
	}
	pin := func(p *core.Plan) {
		if p.Definition.Digest != "" {
			return
		}
		blob := fmt.Appendf(nil, "%s/%s/%d", p.Service.ID, p.ID, len(s.plans))
		sum := sha256.Sum256(blob)
		p.Definition = core.Definition{Digest: hex.EncodeToString(sum[:]), Blob: blob}
		s.plans[p.Definition.Digest] = p
	}
	for _, svc := range services {
		for _, p := range svc.Plans {
			p.Service = svc
			pin(p)
		}
	}
	for _, p := range retired {
		pin(p)
	}
	s.current.Store(core.NewSnapshot(fmt.Sprint(len(s.plans)), time.Unix(0, 0), services, retired))
}

// form is a template that is a Go function.
type form func(core.TemplateData) (any, error)

func (f form) Render(d core.TemplateData) (any, error) { return f(d) }
func (form) Source() core.Node                         { return core.Node{} }
func (form) SecretNames() []string                     { return nil }

// fields is a schema that knows names and string defaults; secrets are write-only.
type fields struct {
	known    []string
	defaults map[string]any
	secret   []string
}

func (f fields) JSON() json.RawMessage { return nil }

func (f fields) Validate(params map[string]any) (list []core.Violation) {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !slices.Contains(f.known, name) {
			list = append(list, core.Violation{Pointer: "/" + name, Message: "unknown parameter"})
		} else if _, ok := params[name].(string); !ok {
			list = append(list, core.Violation{Pointer: "/" + name, Message: "expected a string"})
		}
	}
	return list
}

func (f fields) Effective(params map[string]any) map[string]any {
	out := maps.Clone(params)
	for _, name := range f.known {
		if _, ok := out[name]; !ok {
			out[name] = f.defaults[name]
		}
	}
	return out
}

func (f fields) WithoutSecrets(params map[string]any) map[string]any {
	out := maps.Clone(params)
	for _, name := range f.secret {
		delete(out, name)
	}
	return out
}

func (f fields) Secrets(params map[string]any) (list []string) {
	for _, name := range f.secret {
		if s, ok := params[name].(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// newPlan is a plan of a bucket with everything that templates can do.
func newPlan(id string) *core.Plan {
	parameters := fields{known: []string{"bucket", "size", "password"}, defaults: map[string]any{"size": "small"}, secret: []string{"password"}}
	p := &core.Plan{ID: id, Name: id, Free: true, Bindable: true, PlanUpdateable: true, BindingRotatable: true,
		MaintenanceInfo: &core.MaintenanceInfo{Version: "1.0.0"},
		SchemaProvision: parameters, SchemaUpdate: parameters,
		SchemaBind: fields{known: []string{"access", "pin"}, defaults: map[string]any{"access": "rw"}, secret: []string{"pin"}},
		Async:      map[core.Verb]core.AsyncMode{}, Timeouts: map[core.Verb]time.Duration{}}
	for _, v := range core.Verbs {
		p.Async[v], p.Timeouts[v] = core.AsyncAuto, time.Hour
	}
	p.Provision = form(func(d core.TemplateData) (any, error) {
		bucket := d.Parameters["bucket"]
		if bucket == nil {
			bucket = "b-" + d.Instance.ID
		}
		secret, err := d.Secrets.InstanceSecret("admin", 12)
		return map[string]any{"bucket": bucket, "size": d.Parameters["size"], "plan": d.Plan.ID, "admin": secret}, err
	})
	p.Bind = form(func(d core.TemplateData) (any, error) {
		if d.Instance.Outputs["host"] == nil {
			return nil, core.Errorf(core.CodeFailed, "the instance has no outputs")
		}
		return map[string]any{"access": d.Parameters["access"]}, nil
	})
	p.Credentials = form(func(d core.TemplateData) (any, error) {
		secret, err := d.Secrets.BindingSecret("token", 16)
		return map[string]any{"key": d.Binding.Outputs["key"], "host": d.Instance.Outputs["host"], "token": secret}, err
	})
	p.DashboardURL = form(func(d core.TemplateData) (any, error) { return "https://dash.example/" + d.Instance.ID, nil })
	p.InstanceLabels = form(func(d core.TemplateData) (any, error) { return map[string]any{"size": d.Parameters["size"]}, nil })
	return p
}

// newService is a service of two such plans.
func newService() *core.Service {
	return &core.Service{ID: "service", Name: "bucket", Bindable: true, InstancesRetrievable: true, BindingsRetrievable: true,
		AllowContextUpdates: true, PlanUpdateable: true, Backend: "backend", Plans: []*core.Plan{newPlan("plan"), newPlan("large")}}
}
