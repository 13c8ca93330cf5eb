package core

import "slices"

// knownSecrets lists what logs must not show when a plugin is called again for
// something that exists: what earlier operations had to hide, and what the plugin's
// schemas call secret in applied inputs and outputs. bind may be nil.
func (b *Broker) knownSecrets(tx Tx, inst *Instance, bind *Binding) ([]string, error) {
	list := b.appliedSecrets(inst, bind)
	filters := []OperationFilter{{InstanceID: inst.ID, Verb: VerbProvision, Limit: 1}, {InstanceID: inst.ID, Verb: VerbUpdate, Limit: 1}}
	if bind != nil {
		filters = append(filters, OperationFilter{InstanceID: inst.ID, BindingID: bind.ID, Verb: VerbBind, Limit: 1})
	}
	for _, f := range filters {
		ops, err := tx.Operations(f)
		if err != nil {
			return nil, err
		}
		for _, op := range ops {
			list = append(list, op.Wanted.Secrets...)
		}
	}
	return tidy(list), nil
}

// appliedSecrets lists what the plugin's schemas call secret in applied inputs and outputs.
func (b *Broker) appliedSecrets(inst *Instance, bind *Binding) []string {
	desc, _ := b.cfg.Backends.Describe(inst.Backend)
	list := append(b.declared.of(desc.ProvisionInputs).secrets(inst.Applied.Inputs), b.declared.of(desc.InstanceOutputs).secrets(inst.Applied.Outputs)...)
	if bind != nil {
		list = append(list, b.declared.of(desc.BindInputs).secrets(bind.Applied.Inputs)...)
		list = append(list, b.declared.of(desc.BindingOutputs).secrets(bind.Applied.Outputs)...)
	}
	return list
}

// secretsBefore is knownSecrets for an operation that begins. An operation that began
// has all that was known before it among its own secrets, so it is enough to look at the newest
// one of the instance, and of the binding.
func (b *Broker) secretsBefore(tx Tx, w *work) ([]string, error) {
	if !w.fresh { // it stands in its own way
		return b.knownSecrets(tx, w.inst, w.bind)
	}
	newest := []*Operation{w.last}
	if w.bind != nil {
		last, err := found(tx.LatestOperation(w.inst.ID, ""))
		if err != nil {
			return nil, err
		}
		newest = append(newest, last)
	}
	list := b.appliedSecrets(w.inst, w.bind)
	for _, op := range newest {
		if op != nil && op.Calls == 0 { // it never began
			return b.knownSecrets(tx, w.inst, w.bind)
		}
		if op != nil {
			list = append(list, op.Wanted.Secrets...)
		}
	}
	return tidy(list), nil
}

// tidy sorts, and drops what is empty or there twice.
func tidy(list []string) []string {
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
}

// writeOnlyBelow lists the strings of v that the schema marks "writeOnly": true.
func writeOnlyBelow(schema map[string]any, v any) (list []string) {
	if secret, _ := schema["writeOnly"].(bool); secret {
		return stringsIn(v)
	}
	switch t := v.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		for name, e := range t {
			if below, ok := properties[name].(map[string]any); ok {
				list = append(list, writeOnlyBelow(below, e)...)
			}
		}
	case []any:
		if items, ok := schema["items"].(map[string]any); ok {
			for _, e := range t {
				list = append(list, writeOnlyBelow(items, e)...)
			}
		}
	}
	return list
}

// stringsIn lists all strings of a JSON-like value.
func stringsIn(v any) (list []string) {
	switch t := v.(type) {
	case string:
		return []string{t}
	case map[string]any:
		for _, e := range t {
			list = append(list, stringsIn(e)...)
		}
	case []any:
		for _, e := range t {
			list = append(list, stringsIn(e)...)
		}
	}
	return list
}
