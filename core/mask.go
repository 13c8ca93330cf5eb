package core

import (
	"bytes"
	"encoding/json"
	"slices"
)

// knownSecrets lists what logs must not show when a plugin is called again for
// something that exists: what earlier operations had to hide, and what the plugin's
// schemas call secret in applied inputs and outputs. bind may be nil.
func (b *Broker) knownSecrets(tx Tx, inst *Instance, bind *Binding) ([]string, error) {
	desc, _ := b.cfg.Backends.Describe(inst.Backend)
	list := append(writeOnlyStrings(desc.ProvisionInputs, inst.Applied.Inputs), writeOnlyStrings(desc.InstanceOutputs, inst.Applied.Outputs)...)
	filters := []OperationFilter{{InstanceID: inst.ID, Verb: VerbProvision, Limit: 1}, {InstanceID: inst.ID, Verb: VerbUpdate, Limit: 1}}
	if bind != nil {
		list = append(list, writeOnlyStrings(desc.BindInputs, bind.Applied.Inputs)...)
		list = append(list, writeOnlyStrings(desc.BindingOutputs, bind.Applied.Outputs)...)
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

// tidy sorts, and drops what is empty or there twice.
func tidy(list []string) []string {
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "" })
}

// writeOnlyStrings lists the strings of doc that stand under a property that the
// JSON Schema marks "writeOnly": true.
func writeOnlyStrings(schema, doc json.RawMessage) []string {
	if len(doc) == 0 || !mayHaveSecrets(schema) {
		return nil
	}
	return writeOnlyBelow(object(schema), object(doc))
}

// mayHaveSecrets is false for a schema without the word: most have none, and reading
// schemas for every call is dear. With an escape the word may be spelt in another way.
func mayHaveSecrets(schema json.RawMessage) bool {
	return bytes.Contains(schema, []byte("writeOnly")) || bytes.ContainsRune(schema, '\\')
}

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
