package plugintest

import (
	"slices"
	"strings"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

func checkAdopt(t *trial) {
	t.needs("adopt")
	t.adoptOwned()
	if len(t.config.Adopt) > 0 {
		t.adoptUnowned()
	}
}

// adoptOwned tries to adopt what another instance has.
func (t *trial) adoptOwned() {
	p, owner, other := t.plugin(), t.newInstance(), t.newInstance()
	outputs := owner.provision(p)
	other.token = owner.token // the same inputs: what they name is the owner's
	out := t.settle(p, other.operation("adopt", owner.lastInputs()))
	switch out.failure.GetCode() {
	case pluginpb.Error_CODE_CONFLICT, pluginpb.Error_CODE_NOT_FOUND, pluginpb.Error_CODE_INVALID_INPUT:
	default:
		t.errorf("Adopt of what another instance has: expected CODE_CONFLICT, got %s", out)
	}
	owner.count(1, "after a refused Adopt")
	other.count(0, "after a refused Adopt")
	if again := t.must(p, owner.provisionOperation(), "after a refused Adopt"); !sameJSON(outputs, again) {
		t.errorf("provision after a refused Adopt gives other outputs: %s", difference(outputs, again))
	}
}

// adoptUnowned adopts something that carries nobody's mark, and uses it as an instance.
func (t *trial) adoptUnowned() {
	p, i, other := t.plugin(), t.newInstance(), t.newInstance()
	other.token = i.token
	inputs := i.inputs(t.config.Adopt)
	if t.config.Unowned != nil {
		if err := t.config.Unowned(t.ctx, inputs); err != nil {
			t.fatalf("Unowned: %v", err)
		}
	}
	o := i.operation("adopt", inputs)
	if slices.Contains(t.describe().GetCapabilities(), "list") {
		probe := *i
		probe.id, probe.applied = "", t.applied(inputs, nil)
		if !t.listed(p, &probe) {
			t.errorf("List does not contain what can be adopted, with the inputs that name it")
		}
	}
	first := t.must(p, o, "of what is nobody's")
	i.count(1, "after Adopt")
	again := *o
	again.handle = nil
	same := func(verb string, o *operation, when string) {
		if outputs := t.must(p, o, when); !sameJSON(first, outputs) {
			t.errorf("%s %s gives other outputs: %s", verb, when, difference(first, outputs))
		}
	}
	same("adopt", &again, "again with the same operation")
	same("adopt", o.again(), "again with another operation")
	i.applied = t.applied(inputs, first)
	same("provision", i.operation("provision", inputs), "with the same inputs after Adopt")
	if out := t.settle(p, other.operation("adopt", inputs)); out.failure.GetCode() != pluginpb.Error_CODE_CONFLICT {
		t.errorf("Adopt of what was adopted already: expected CODE_CONFLICT, got %s", out)
	}
	i.count(1, "after Adopt was repeated and refused")
	t.must(p, i.operation("deprovision", inputs), "of what was adopted")
	i.count(0, "after what was adopted was deprovisioned")
}

// checkVersions tells the plugin that applied outputs are of an earlier version, as the broker does after
// the plugin was replaced, or that nobody knows. The outputs are this version's, the only ones that there are here.
func checkVersions(t *trial) {
	for _, version := range append([]string{""}, earlier(t.describe().GetReadsVersions())...) {
		when := "with outputs of version " + version
		if version == "" {
			when = "with outputs of an unknown version"
		}
		p, i := t.plugin(), t.newInstance()
		first := i.provision(p)
		i.applied.PluginVersion = version
		if again := t.must(p, i.provisionOperation(), when); !sameJSON(first, again) {
			t.errorf("provision %s gives other outputs: %s", when, difference(first, again))
		}
		if len(t.config.Bind) > 0 {
			b := i.newBinding()
			b.bind(p)
			b.applied.PluginVersion = version
			t.must(p, b.operation("bind"), when)
			t.must(p, b.operation("unbind"), when)
		}
		t.must(p, i.operation("deprovision", i.lastInputs()), when)
		i.count(0, "after deprovision "+when)
	}
}

// earlier gives a version for each prefix, such as 1.2.0 for "1.2.".
func earlier(prefixes []string) (versions []string) {
	for _, prefix := range prefixes {
		version := strings.TrimSuffix(prefix, ".")
		for strings.Count(version, ".") < 2 {
			version += ".0"
		}
		versions = append(versions, version)
	}
	return versions
}
