package plugintest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

func checkProvision(t *trial) {
	p, i := t.plugin(), t.newInstance()
	o := i.provisionOperation()
	first := t.must(p, o, "of a new instance")
	again := *o
	again.handle = nil
	if second := t.must(p, &again, "again with the same operation"); !sameJSON(first, second) {
		t.errorf("provision again with the same operation gives other outputs: %s", difference(first, second))
	}
	i.applied = t.applied(o.inputs, first)
	other := i.provisionOperation()
	if second := t.must(p, other, "again with another operation"); !sameJSON(first, second) {
		t.errorf("provision again with another operation and seed gives other outputs: %s", difference(first, second))
	}
	i.count(1, "after provision was called three times")
}

func checkUpdate(t *trial) {
	if len(t.config.Update) == 0 {
		t.skipf("the configuration has no inputs for update")
	}
	p, i := t.plugin(), t.newInstance()
	i.provision(p)
	before := i.applied
	o := i.operation("update", i.inputs(t.config.Update))
	first := t.must(p, o, "of an instance")
	if second := t.must(p, &operation{verb: "update", instance: o.instance, id: o.id, seed: o.seed, inputs: o.inputs, onInstance: before},
		"again with the same operation"); !sameJSON(first, second) {
		t.errorf("update again with the same operation gives other outputs: %s", difference(first, second))
	}
	// The broker may not have heard that it was done, and takes the attempt back.
	i.attempted = []*pluginpb.Attempt{o.attempt()}
	t.must(p, i.operation("update", before.GetInputs()), "back to the applied inputs after an attempt")
	i.attempted = nil
	o = o.again()
	i.applied = t.applied(o.inputs, t.must(p, o, "once more"))
	i.count(1, "after updates")
}

func checkBind(t *trial) {
	p, i := t.plugin(), t.newInstance()
	i.provision(p)
	b := i.newBinding()
	o := b.operation("bind")
	first := t.must(p, o, "of a new binding")
	b.live(first, true, "after bind")
	again := *o
	again.handle = nil
	second := t.must(p, &again, "again with the same operation")
	b.repeated(first, second, "again with the same operation")
	b.applied = t.applied(o.inputs, second)
	third := t.must(p, b.operation("bind"), "again with another operation")
	b.applied.Outputs = third
	b.live(third, true, "that bind gave again with another operation")
	if !sameJSON(second, third) {
		b.live(second, false, "that bind gave before another operation replaced them")
	}
}

func checkUnbind(t *trial) {
	p, i := t.plugin(), t.newInstance()
	i.provision(p)
	b, other := i.newBinding(), i.newBinding()
	outputs := b.bind(p)
	others := other.bind(p)
	if t.describe().GetIsolated() {
		t.distinct(outputs, others)
	}
	o := b.operation("unbind")
	t.must(p, o, "of a binding")
	b.live(outputs, false, "after unbind")
	other.live(others, true, "after another binding was ended")
	again := *o
	again.handle = nil
	t.must(p, &again, "again with the same operation")
	t.must(p, b.operation("unbind"), "again with another operation")
}

// distinct checks that two bindings of an isolated plugin have no secret in common.
func (t *trial) distinct(a, b json.RawMessage) {
	schema := t.describe().GetBindingOutputsSchema()
	of := secretsOf(schema, b)
	for _, secret := range secretsOf(schema, a) {
		if slices.Contains(of, secret) {
			t.errorf("it says that bindings are isolated, but two bindings got the same secret")
		}
	}
}

func checkDeprovision(t *trial) {
	p, i := t.plugin(), t.newInstance()
	i.provision(p)
	i.count(1, "after provision")
	o := i.operation("deprovision", i.lastInputs())
	t.must(p, o, "of an instance")
	i.count(0, "after deprovision")
	again := *o
	again.handle = nil
	t.must(p, &again, "again with the same operation")
	t.must(p, i.operation("deprovision", i.lastInputs()), "again with another operation")
	i.applied = nil
	i.provision(p)
	i.count(1, "after the id was used again")
	// What removes must not care for inputs that another version of the plugin took.
	t.must(p, i.operation("deprovision", changed(i.lastInputs(), unknownKey, "x")), "with a key of another version in its inputs")
	i.count(0, "after deprovision")
	i.applied = nil
}

func checkUnknownIDs(t *trial) {
	p, i := t.plugin(), t.newInstance()
	t.must(p, i.operation("deprovision", i.inputs(t.config.Provision)), "of an unknown instance")
	t.must(p, i.operation("deprovision", json.RawMessage(`{}`)), "of an unknown instance without inputs")
	if len(t.config.Bind) == 0 {
		return
	}
	b := i.newBinding()
	t.must(p, b.operation("unbind"), "of an unknown binding of an unknown instance")
	i.provision(p)
	t.must(p, b.operation("unbind"), "of an unknown binding")
	i.count(1, "after an unknown binding was ended")
}

func checkAnyID(t *trial) {
	p := t.plugin()
	for _, id := range []string{"plugintest/../" + randomID(), "Ünï côde %2F \"'\\ " + randomID(), strings.Repeat("x", 200) + randomID()} {
		i := t.newInstanceNamed(id)
		i.provision(p)
		i.count(1, fmt.Sprintf("with the id %q", id))
		if len(t.config.Bind) > 0 {
			b := i.newBinding()
			b.id = "binding " + id
			b.bind(p)
		}
	}
}

func checkSideBySide(t *trial) {
	p := t.plugin()
	n := 4
	if limit := int(t.describe().GetMaxConcurrency()); limit > 0 {
		n = min(n, limit)
	}
	var instances []*instance
	var operations []*operation
	var calls []*running
	for range n {
		i := t.newInstance()
		o := i.provisionOperation()
		instances, operations, calls = append(instances, i), append(operations, o), append(calls, t.begin(p, o))
	}
	for k, c := range calls {
		out := c.finish()
		if out.pending != nil {
			operations[k].handle = out.pending.GetHandle()
		} else if out.done == nil && out.failure.GetCode() != pluginpb.Error_CODE_UNAVAILABLE {
			t.errorf("provision side by side with others: expected done or pending, got %s", out)
		}
	}
	for k, o := range operations {
		t.must(p, o, "side by side with others")
		instances[k].count(1, "that was made side by side with others")
	}
}

func checkBadInputs(t *trial) {
	p, i := t.plugin(), t.newInstance()
	d := t.describe()
	bad := badInputs(d.GetProvisionInputsSchema(), i.inputs(t.config.Provision))
	for _, b := range bad {
		t.refused(p, i.operation("provision", b.document), b)
	}
	i.count(0, "after provision with bad inputs")
	var badBinds []badInput
	if len(t.config.Bind) > 0 {
		badBinds = badInputs(d.GetBindInputsSchema(), i.inputs(t.config.Bind))
	}
	if len(bad)+len(badBinds) == 0 {
		t.skipf("the schemas allow everything")
	}
	if len(badBinds) == 0 {
		return
	}
	i.provision(p)
	for _, b := range badBinds {
		o := i.newBinding().operation("bind")
		o.inputs = b.document
		t.refused(p, o, b)
	}
}

func (t *trial) refused(p *process, o *operation, b badInput) {
	out := t.call(p, o)
	if out.failure.GetCode() != pluginpb.Error_CODE_INVALID_INPUT {
		t.errorf("%s with %s: expected CODE_INVALID_INPUT at %s, got %s", o.verb, b.what, b.pointer, out)
		return
	}
	if !within(out.failure.GetPointer(), b.pointer) {
		t.errorf("%s with %s: expected a pointer to %s, got %q", o.verb, b.what, b.pointer, out.failure.GetPointer())
	}
}

func checkCheck(t *trial) {
	if !slices.Contains(t.describe().GetCapabilities(), "check") {
		t.skipf(`the plugin does not have the capability "check"`)
	}
	p, i := t.plugin(), t.newInstance()
	ask := func(when string) {
		o := i.operation("deprovision", i.lastInputs())
		o.check = true
		out := t.call(p, o)
		if out.done == nil && out.failure == nil {
			t.errorf("a check %s must end with done or an error, got %s", when, out)
		}
	}
	ask("of an unknown instance")
	first := i.provision(p)
	ask("of an instance")
	i.count(1, "after a check")
	if len(t.config.Bind) > 0 {
		b := i.newBinding()
		outputs := b.bind(p)
		ask("of an instance with a binding")
		b.live(outputs, true, "after a check")
	}
	if second := t.must(p, i.provisionOperation(), "after a check"); !sameJSON(first, second) {
		t.errorf("provision after a check gives other outputs: %s", difference(first, second))
	}
}

func checkFence(t *trial) {
	p, i := t.plugin(), t.newInstance()
	i.provision(p)
	b := i.newBinding()
	if t.config.Live == nil {
		t.skipf("only the Live hook of a Go test can tell")
	}
	old := b.operation("bind")
	t.fences++
	stale := t.fences
	outputs := b.bind(p)
	t.beginFenced(p, old, stale).finish() // whatever it says
	b.live(outputs, true, "after a bind with a lower fence was called")
}
