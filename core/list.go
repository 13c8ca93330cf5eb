package core

import "context"

// Instances lists instances by id. The rows are for operators' eyes: without inputs,
// outputs, handles and secret parameters.
func (b *Broker) Instances(ctx context.Context, filter InstanceFilter) (list []*Instance, err error) {
	err = b.view(ctx, func(tx Tx) error {
		if list, err = tx.Instances(filter); err != nil {
			return err
		}
		for _, inst := range list {
			if err := b.stripInstance(tx, inst); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// InstanceDetail gives one instance and its bindings, likewise stripped. CodeNotFound
// if it does not exist.
func (b *Broker) InstanceDetail(ctx context.Context, id string) (inst *Instance, bindings []*Binding, err error) {
	err = b.view(ctx, func(tx Tx) error {
		if inst, err = found(tx.Instance(id)); err != nil {
			return err
		}
		if inst == nil {
			return noInstance(id)
		}
		if err := b.stripInstance(tx, inst); err != nil {
			return err
		}
		if bindings, err = tx.Bindings(id); err != nil {
			return err
		}
		for _, bind := range bindings {
			if err := b.stripBinding(tx, bind); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return inst, bindings, nil
}

// Operations lists operations newest first, without what they want, handles and seeds.
func (b *Broker) Operations(ctx context.Context, filter OperationFilter) (list []*Operation, err error) {
	err = b.view(ctx, func(tx Tx) error {
		list, err = tx.Operations(filter)
		return err
	})
	for _, op := range list {
		stripOperation(op)
	}
	return list, err
}

// Timeline gives one operation with its steps, oldest first. CodeNotFound if it does not exist.
func (b *Broker) Timeline(ctx context.Context, operation string) (op *Operation, steps []*Step, err error) {
	err = b.view(ctx, func(tx Tx) error {
		if op, err = found(tx.Operation(operation)); err != nil {
			return err
		}
		if op == nil {
			return Errorf(CodeNotFound, "The operation %q does not exist.", operation)
		}
		stripOperation(op)
		steps, err = tx.Steps(operation)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return op, steps, nil
}

// Counts are the sizes of the store.
func (b *Broker) Counts(ctx context.Context) (counts Counts, err error) {
	err = b.view(ctx, func(tx Tx) error {
		counts, err = tx.Counts()
		return err
	})
	return counts, err
}

// stripInstance takes out what an operator must not see.
func (b *Broker) stripInstance(tx Tx, inst *Instance) error {
	inst.Applied, inst.Attempted = Applied{}, stripAttempts(inst.Attempted)
	pinned, err := b.pinned(tx, inst.Definition)
	if refusal(err) != nil { // nobody knows what is secret
		inst.Parameters = nil
		return nil
	}
	if err != nil {
		return err
	}
	inst.Parameters, err = visible(inst.Parameters, b.Catalog().Plan(inst.ServiceID, inst.PlanID), pinned,
		func(p *Plan) []Schema { return []Schema{p.SchemaProvision, p.SchemaUpdate} })
	return err
}

func (b *Broker) stripBinding(tx Tx, bind *Binding) error {
	bind.Applied, bind.Attempted, bind.Result = Applied{}, stripAttempts(bind.Attempted), nil
	pinned, err := b.pinned(tx, bind.Definition)
	if refusal(err) != nil {
		bind.Parameters = nil
		return nil
	}
	if err != nil {
		return err
	}
	bind.Parameters, err = visible(bind.Parameters, b.Catalog().Plan(bind.ServiceID, bind.PlanID), pinned,
		func(p *Plan) []Schema { return []Schema{p.SchemaBind} })
	return err
}

func stripAttempts(list []Attempt) []Attempt {
	for i := range list {
		list[i] = Attempt{Operation: list[i].Operation, Verb: list[i].Verb}
	}
	return list
}

func stripOperation(op *Operation) {
	op.Wanted = Wanted{ServiceID: op.Wanted.ServiceID, PlanID: op.Wanted.PlanID}
	op.Handle, op.Seed = nil, nil
}
