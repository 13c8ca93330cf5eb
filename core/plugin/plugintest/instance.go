package plugintest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// instance is one instance that a check makes; it is removed when the check is over.
type instance struct {
	t         *trial
	id, token string
	applied   *pluginpb.Applied
	attempted []*pluginpb.Attempt
}

// newInstance chooses an id. Nothing is made yet.
func (t *trial) newInstance() *instance { return t.newInstanceNamed("plugintest-" + randomID()) }

func (t *trial) newInstanceNamed(id string) *instance {
	t.describe()
	i := &instance{t: t, id: id, token: randomID()}
	t.cleanup(func() {
		o := i.operation("deprovision", i.lastInputs())
		if out := t.settle(t.plugin(), o); out.done == nil {
			t.errorf("cleaning up: deprovision: expected done, got %s", out)
		}
	})
	return i
}

func (i *instance) lastInputs() json.RawMessage {
	if i.applied != nil {
		return i.applied.GetInputs()
	}
	return i.inputs(i.t.config.Provision)
}

// inputs puts the instance's token into inputs.
func (i *instance) inputs(raw json.RawMessage) json.RawMessage {
	return json.RawMessage(strings.ReplaceAll(string(raw), "{id}", i.token))
}

func (i *instance) operation(verb string, inputs json.RawMessage) *operation {
	return &operation{verb: verb, instance: i.id, id: "op-" + randomID(), seed: random(32), inputs: inputs,
		onInstance: i.applied, attempted: i.attempted}
}

func (i *instance) provisionOperation() *operation {
	return i.operation("provision", i.inputs(i.t.config.Provision))
}

// provision makes the instance and gives its outputs.
func (i *instance) provision(p *process) json.RawMessage {
	o := i.provisionOperation()
	outputs := i.t.must(p, o, "of a new instance")
	i.applied = i.t.applied(o.inputs, outputs)
	return outputs
}

// applied is what the broker tells of a call that was done.
func (t *trial) applied(inputs, outputs json.RawMessage) *pluginpb.Applied {
	return &pluginpb.Applied{Inputs: inputs, Outputs: outputs, PluginVersion: t.description.GetVersion()}
}

// count checks, where the configuration can, how many things there are at the backend.
func (i *instance) count(want int, when string) {
	if i.t.config.Count == nil {
		return
	}
	n, err := i.t.config.Count(i.t.ctx, i.id)
	if err != nil {
		i.t.errorf("Count %s: %v", when, err)
	} else if n != want {
		i.t.errorf("there are %d instances at the backend %s; expected %d", n, when, want)
	}
}

// binding is one binding of an instance.
type binding struct {
	*instance
	id      string
	applied *pluginpb.Applied
}

// newBinding chooses an id; the check is skipped if there are no inputs for bind.
func (i *instance) newBinding() *binding {
	if len(i.t.config.Bind) == 0 {
		i.t.skipf("the configuration has no inputs for bind")
	}
	b := &binding{instance: i, id: "binding-" + randomID()}
	i.t.cleanup(func() {
		if out := i.t.settle(i.t.plugin(), b.operation("unbind")); out.done == nil {
			i.t.errorf("cleaning up: unbind: expected done, got %s", out)
		}
	})
	return b
}

func (b *binding) operation(verb string) *operation {
	o := b.instance.operation(verb, b.inputs(b.t.config.Bind))
	o.binding, o.attempted, o.applied = b.id, nil, b.applied
	return o
}

// bind makes the binding and gives its outputs.
func (b *binding) bind(p *process) json.RawMessage {
	o := b.operation("bind")
	outputs := b.t.must(p, o, "of a new binding")
	b.applied = b.t.applied(o.inputs, outputs)
	b.live(outputs, true, "after bind")
	return outputs
}

// live checks, where the configuration can, that credentials work or do not.
func (b *binding) live(outputs json.RawMessage, want bool, when string) {
	t := b.t
	if t.config.Live == nil {
		return
	}
	got, err := t.config.Live(t.ctx, b.instance.applied.GetOutputs(), outputs)
	switch {
	case err != nil:
		t.errorf("Live %s: %v", when, err)
	case got != want && want:
		t.errorf("the credentials do not work %s", when)
	case got != want:
		t.errorf("the credentials still work %s", when)
	}
}

// repeated compares what a repeated bind gave with what it gave first: the same, or
// fresh credentials where these are allowed, and then only the fresh ones live.
func (b *binding) repeated(first, second json.RawMessage, when string) {
	t := b.t
	same := sameJSON(first, second)
	if !same && t.config.Live == nil && !t.config.FreshCredentials {
		t.errorf("bind %s gives other outputs: %s. Derive secrets from the seed, or say freshCredentials if the backend makes them up",
			when, difference(first, second))
	}
	b.live(second, true, "that bind gave "+when)
	if !same {
		b.live(first, false, "that bind gave before it was called "+when)
	}
}

func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// difference names the keys in which two objects differ, never their values.
func difference(a, b json.RawMessage) string {
	var x, y map[string]any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return "they are no objects"
	}
	var keys []string
	for k := range x {
		if v, ok := y[k]; !ok || !reflect.DeepEqual(v, x[k]) {
			keys = append(keys, k)
		}
	}
	for k := range y {
		if _, ok := x[k]; !ok {
			keys = append(keys, k)
		}
	}
	return "they differ in " + strings.Join(keys, ", ")
}

// checkDone checks outputs against the declared schema, and what else a done carries.
func (t *trial) checkDone(verb string, done *pluginpb.Done) []string {
	schema := json.RawMessage(t.description.GetInstanceOutputsSchema())
	switch verb {
	case "bind":
		schema = t.description.GetBindingOutputsSchema()
	case "deprovision", "unbind":
		if n := len(done.GetOutputs()); n > 0 {
			return []string{"it gives outputs, which only provision, update and bind have"}
		}
		return nil
	}
	outputs := json.RawMessage(done.GetOutputs())
	t.transcript.hide(secretsOf(schema, outputs)...)
	if len(outputs) > plugin.MaxDocument {
		return []string{fmt.Sprintf("outputs of %d bytes; at most %d are allowed", len(outputs), plugin.MaxDocument)}
	}
	var object map[string]any
	if err := json.Unmarshal(outputs, &object); err != nil || object == nil {
		return []string{"the outputs are no JSON object"}
	}
	found, err := plugin.Violations(schema, outputs)
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	for _, v := range found {
		wrong = append(wrong, fmt.Sprintf("the outputs do not satisfy the declared schema at %q", v.Pointer))
	}
	for name := range object {
		if !declares(schema, name) {
			wrong = append(wrong, fmt.Sprintf("the output %q is not declared, so no template can read it", name))
		}
	}
	for what, raw := range map[string][]byte{"labels": done.GetLabels(), "attributes": done.GetAttributes()} {
		if len(raw) > 0 && json.Unmarshal(raw, &object) != nil {
			wrong = append(wrong, "the "+what+" are no JSON object")
		}
	}
	return wrong
}

// declares tells whether a schema has a property at its top level, or cannot be read that simply.
func declares(schema json.RawMessage, name string) bool {
	var s map[string]json.RawMessage
	if json.Unmarshal(schema, &s) != nil {
		return len(schema) > 0
	}
	for _, composed := range []string{"$ref", "allOf", "anyOf", "oneOf", "patternProperties"} {
		if _, ok := s[composed]; ok {
			return true
		}
	}
	var properties map[string]json.RawMessage
	_ = json.Unmarshal(s["properties"], &properties)
	_, ok := properties[name]
	return ok
}
