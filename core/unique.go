package core

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// uniqueInputs finds the properties that the plugin's schema of provision inputs marks
// "x-unique": true, as JSON pointers into the inputs, sorted.
func uniqueInputs(schema json.RawMessage) []string {
	doc, err := JSONObject(schema)
	if err != nil {
		return nil
	}
	list := uniqueBelow(doc, "")
	slices.Sort(list)
	return list
}

func uniqueBelow(schema map[string]any, at string) (list []string) {
	properties, _ := schema["properties"].(map[string]any)
	for name, p := range properties {
		property, _ := p.(map[string]any)
		pointer := at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if unique, _ := property["x-unique"].(bool); unique {
			list = append(list, pointer)
		}
		list = append(list, uniqueBelow(property, pointer)...)
	}
	return list
}

// uniqueValue gives the value at a pointer as text; "" if the inputs have none.
func uniqueValue(inputs map[string]any, pointer string) string {
	var v any = inputs
	for _, name := range strings.Split(pointer, "/")[1:] {
		m, _ := v.(map[string]any)
		v = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	}
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	}
	raw, err := CanonicalJSON(v)
	if err != nil {
		return ""
	}
	return string(raw)
}

// reserve reserves the inputs that no other instance of the backend may have.
// Reserving again what the instance holds does nothing.
func (b *Broker) reserve(tx Tx, backend, instanceID string, inputs json.RawMessage) error {
	desc, _ := b.cfg.Backends.Describe(backend)
	m := object(inputs)
	for _, pointer := range b.declared.of(desc.ProvisionInputs).unique {
		value := uniqueValue(m, pointer)
		if value == "" {
			continue
		}
		err := tx.Reserve(backend, pointer, value, instanceID)
		if errors.Is(err, ErrBusy) {
			e := Errorf(CodeConflict, "The name %q is taken by another service instance.", value).
				WithHint("Choose another one (%s).", strings.TrimPrefix(pointer, "/"))
			e.Backend = true
			return e
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// release frees the reservations of an instance except those of the inputs that it keeps.
func (b *Broker) release(tx Tx, backend, instanceID string, keep json.RawMessage) error {
	desc, _ := b.cfg.Backends.Describe(backend)
	m := object(keep)
	for _, pointer := range b.declared.of(desc.ProvisionInputs).unique {
		var kept []string
		if value := uniqueValue(m, pointer); value != "" {
			kept = []string{value}
		}
		if err := tx.Release(backend, pointer, instanceID, kept...); err != nil {
			return err
		}
	}
	return nil
}
