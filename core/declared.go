package core

import (
	"encoding/json"
	"sync"
)

// declared keeps what the lifecycle reads in the schemas that plugins declare: every
// operation asks several times, and they are the same few texts. Safe for concurrent use.
type declared struct {
	mu      sync.RWMutex
	schemas map[string]*declaration // by text
}

// declaration is what one schema says. It is only read.
type declaration struct {
	unique []string       // pointers of the properties that are x-unique
	secret map[string]any // the schema, if it marks anything as writeOnly
}

// maxDeclared bounds the texts that are kept; with more, it begins anew.
const maxDeclared = 256

func (d *declared) of(schema json.RawMessage) *declaration {
	d.mu.RLock()
	found := d.schemas[string(schema)]
	d.mu.RUnlock()
	if found != nil {
		return found
	}
	found = &declaration{unique: uniqueInputs(schema)}
	if doc := object(schema); marksSecrets(doc) {
		found.secret = doc
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.schemas == nil || len(d.schemas) >= maxDeclared {
		d.schemas = map[string]*declaration{}
	}
	d.schemas[string(schema)] = found
	return found
}

// secrets lists the strings of doc that stand under a property that the schema marks
// "writeOnly": true.
func (d *declaration) secrets(doc json.RawMessage) []string {
	if d.secret == nil || len(doc) == 0 {
		return nil
	}
	return writeOnlyBelow(d.secret, object(doc))
}

// marksSecrets tells whether writeOnlyBelow can find anything by the schema.
func marksSecrets(schema map[string]any) bool {
	if secret, _ := schema["writeOnly"].(bool); secret {
		return true
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, p := range properties {
		if below, ok := p.(map[string]any); ok && marksSecrets(below) {
			return true
		}
	}
	items, ok := schema["items"].(map[string]any)
	return ok && marksSecrets(items)
}
