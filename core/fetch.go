package core

import (
	"context"
	"encoding/json"
)

// Instance is what GET of a service instance shows. CodeNotFound if it does not
// exist or was never provisioned completely, CodeConcurrency while it is being updated or
// deleted, CodeInvalid if its service does not let instances be fetched.
func (b *Broker) Instance(ctx context.Context, instanceID string) (InstanceView, error) {
	leave, err := b.enter()
	if err != nil {
		return InstanceView{}, err
	}
	defer leave()
	snap := b.Catalog()
	var v InstanceView
	err = b.view(ctx, func(tx Tx) error {
		s, err := observe(tx, instanceID, "")
		if err != nil {
			return err
		}
		if s.inst == nil || !s.inst.Ready {
			return noInstance(instanceID)
		}
		pinned, err := b.pinned(tx, s.inst.Definition)
		if err != nil {
			return err
		}
		if !present(snap, pinned).InstancesRetrievable {
			return Errorf(CodeInvalid, "Instances of this service cannot be fetched.").
				WithHint("instances_retrievable is false in the catalog.")
		}
		if op := s.running(""); op != nil {
			return concurrency(op)
		}
		params, err := visible(s.inst.Parameters, snap.Plan(s.inst.ServiceID, s.inst.PlanID), pinned,
			func(p *Plan) []Schema { return []Schema{p.SchemaProvision, p.SchemaUpdate} })
		v = InstanceView{ServiceID: s.inst.ServiceID, PlanID: s.inst.PlanID, DashboardURL: s.inst.DashboardURL, Parameters: params,
			MaintenanceVersion: s.inst.MaintenanceVersion,
			Metadata:           InstanceMetadata{Labels: s.inst.Labels, Attributes: s.inst.Attributes}}
		return err
	})
	return v, err
}

// Binding is what GET of a service binding shows. CodeNotFound if it does not exist,
// is not done yet or is being deleted; CodeInvalid if its service does not let bindings be fetched.
func (b *Broker) Binding(ctx context.Context, instanceID, bindingID string) (BindingView, error) {
	leave, err := b.enter()
	if err != nil {
		return BindingView{}, err
	}
	defer leave()
	snap := b.Catalog()
	var v BindingView
	err = b.view(ctx, func(tx Tx) error {
		s, err := observe(tx, instanceID, bindingID)
		if err != nil {
			return err
		}
		running := s.running(bindingID)
		if s.bind == nil || !s.bind.Ready || running != nil && !running.Wanted.Revoke {
			return noBinding(bindingID)
		}
		pinned, err := b.pinned(tx, s.bind.Definition)
		if err != nil {
			return err
		}
		if !present(snap, pinned).BindingsRetrievable {
			return Errorf(CodeInvalid, "Bindings of this service cannot be fetched.").
				WithHint("bindings_retrievable is false in the catalog.")
		}
		v.Result = s.bind.Result
		v.Parameters, err = visible(s.bind.Parameters, snap.Plan(s.bind.ServiceID, s.bind.PlanID), pinned,
			func(p *Plan) []Schema { return []Schema{p.SchemaBind} })
		return err
	})
	return v, err
}

// present is the catalog's service of a plan; where it left the catalog, the pinned one.
func present(snap *Snapshot, pinned *Plan) *Service {
	if svc := snap.Service(pinned.Service.ID); svc != nil {
		return svc
	}
	return pinned.Service
}

// visible takes out of the parameters what the pinned or the present schemas call secret.
func visible(raw json.RawMessage, present, pinned *Plan, schemas func(*Plan) []Schema) (json.RawMessage, error) {
	params := object(raw)
	for _, plan := range []*Plan{present, pinned} {
		if plan == nil {
			continue
		}
		for _, s := range schemas(plan) {
			if s != nil {
				params = s.WithoutSecrets(params)
			}
		}
	}
	return canonical(params)
}
