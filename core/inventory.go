package core

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
)

// InspectReport is what Inspect found.
type InspectReport struct {
	InstanceID string
	Backend    string
	Exists     bool    // something that is provably the instance's exists at the backend
	Drift      []Drift // differences between what was applied and what is; none if all is well
}

// Inspect asks the plugin how what exists for an instance differs from what was applied,
// and compares the outputs. It changes nothing. CodeNotFound, CodeConcurrency while the
// instance is being changed, CodeUnprocessable if nothing was ever applied or the plugin cannot inspect.
func (b *Broker) Inspect(ctx context.Context, instanceID string) (report InspectReport, err error) {
	leave, err := b.enter()
	if err != nil {
		return report, err
	}
	defer leave()
	var inst *Instance
	var secrets []string
	err = b.view(ctx, func(tx Tx) error {
		s, err := observe(tx, instanceID, "")
		switch {
		case err != nil:
			return err
		case s.inst == nil:
			return noInstance(instanceID)
		case s.running("") != nil:
			return concurrency(s.running(""))
		case !s.inst.Ready:
			return notProvisioned(s.inst)
		}
		inst = s.inst
		secrets, err = b.knownSecrets(tx, inst, nil)
		return err
	})
	if err != nil {
		return report, err
	}
	if err := b.inventoried(inst.Backend, CapabilityInspect); err != nil {
		return report, err
	}
	ctx, cancel := b.asking(ctx)
	defer cancel()
	got, err := b.cfg.Inventory.Inspect(ctx, InspectCall{Backend: inst.Backend, InstanceID: inst.ID, Applied: inst.Applied, Secrets: secrets})
	if err != nil {
		return report, AsError(err)
	}
	report = InspectReport{InstanceID: inst.ID, Backend: inst.Backend, Exists: got.Exists, Drift: got.Drift}
	if got.Exists {
		report.Drift = append(report.Drift, outputDrift(inst.Applied.Outputs, got.Outputs)...)
	}
	return report, nil
}

// asking is the context of a question to a plugin: it ends when the broker closes, too.
func (b *Broker) asking(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.ctx, func() { cancel(errShutdown) })
	return ctx, func() { stop(); cancel(nil) }
}

// inventoried refuses what nobody can ask the backend.
func (b *Broker) inventoried(backend, capability string) error {
	if b.cfg.Inventory == nil {
		return Errorf(CodeUnprocessable, "The broker's backends cannot %s.", capability)
	}
	return b.capable(backend, capability)
}

// outputDrift names the outputs that are not what is stored, without their values.
func outputDrift(stored, now json.RawMessage) (list []Drift) {
	before, after := object(stored), object(now)
	names := slices.Sorted(maps.Keys(merged(before, after, nil)))
	for _, name := range names {
		was, err := CanonicalJSON(before[name])
		is, err2 := CanonicalJSON(after[name])
		if err != nil || err2 != nil || string(was) != string(is) {
			list = append(list, Drift{Message: "The output " + name + " is not what it was when it was applied; an update renews it."})
		}
	}
	return list
}

// InventoryState says what the store knows of a thing at a backend.
type InventoryState string

// The states.
const (
	InventoryKnown     InventoryState = "known"     // an instance has it
	InventoryOrphan    InventoryState = "orphan"    // it carries a mark, but no instance has it
	InventoryAdoptable InventoryState = "adoptable" // it carries no mark, no instance has it, and the plugin can adopt
	InventoryForeign   InventoryState = "foreign"   // the same, but the plugin cannot adopt
)

// InventoryItem is one thing at a backend.
type InventoryItem struct {
	Name  string
	State InventoryState
	// InstanceID is the instance that has it, or the one that an orphan's mark names; "" if nobody knows.
	InstanceID string
	Inputs     json.RawMessage // the x-unique inputs that name it; an object or nil
	Attributes json.RawMessage // an object or nil
}

// InventoryPage is one page of what exists at a backend.
type InventoryPage struct {
	Items []InventoryItem
	Next  string // the page after it; "" on the last one
}

// Inventory lists what exists at a backend and what the store knows of it. page is Next of
// the page before, "" for the first one. It changes nothing. CodeNotFound if there is no such backend,
// CodeUnprocessable if its plugin cannot list.
func (b *Broker) Inventory(ctx context.Context, backend, page string) (out InventoryPage, err error) {
	leave, err := b.enter()
	if err != nil {
		return out, err
	}
	defer leave()
	desc, ok := b.cfg.Backends.Describe(backend)
	if !ok {
		return out, Errorf(CodeNotFound, "The backend %q does not exist, or its plugin was never described.", backend)
	}
	if err := b.inventoried(backend, CapabilityList); err != nil {
		return out, err
	}
	ctx, cancel := b.asking(ctx)
	defer cancel()
	got, err := b.cfg.Inventory.List(ctx, backend, page)
	if err != nil {
		return out, AsError(err)
	}
	out = InventoryPage{Next: got.Next}
	free := InventoryForeign
	if desc.Can(CapabilityAdopt) {
		free = InventoryAdoptable
	}
	err = b.view(ctx, func(tx Tx) error {
		out.Items = nil
		for _, f := range got.Found {
			item := InventoryItem{Name: f.Name, Inputs: f.Inputs, Attributes: f.Attributes}
			if item.State, item.InstanceID, err = known(tx, &desc, backend, f); err != nil {
				return err
			}
			if item.State == "" {
				item.State = free
			}
			out.Items = append(out.Items, item)
		}
		return nil
	})
	return out, err
}

// known compares a found thing with the store: by its mark, then by the reservations. It
// gives no state if the thing is nobody's.
func known(tx Tx, desc *Description, backend string, f Found) (InventoryState, string, error) {
	if f.InstanceID != "" {
		inst, err := found(tx.Instance(f.InstanceID))
		switch {
		case err != nil:
			return "", "", err
		case inst == nil:
			return InventoryOrphan, f.InstanceID, nil
		}
		return InventoryKnown, inst.ID, nil
	}
	inputs := object(f.Inputs)
	for _, pointer := range uniqueInputs(desc.ProvisionInputs) {
		value := uniqueValue(inputs, pointer)
		if value == "" {
			continue
		}
		holder, err := tx.Reserved(backend, pointer, value)
		if err == nil {
			return InventoryKnown, holder, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return "", "", err
		}
	}
	if f.Marked {
		return InventoryOrphan, "", nil
	}
	return "", "", nil
}
