package plugintest

import (
	"context"
	"encoding/json"
	"slices"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// needs skips the check unless the plugin announces the capability.
func (t *trial) needs(capability string) {
	if !slices.Contains(t.describe().GetCapabilities(), capability) {
		t.skipf("the plugin does not have the capability %q", capability)
	}
}

func checkInspect(t *trial) {
	t.needs("inspect")
	p, i := t.plugin(), t.newInstance()
	if found := t.inspect(p, i, "of an unknown instance"); found.GetExists() {
		t.errorf("Inspect of an unknown instance says that it exists")
	}
	outputs := i.provision(p)
	for _, when := range []string{"after provision", "once more"} {
		found := t.inspect(p, i, when)
		switch {
		case !found.GetExists():
			t.errorf("Inspect %s says that the instance does not exist", when)
		case !sameJSON(outputs, found.GetOutputs()):
			t.errorf("Inspect %s gives other outputs than provision: %s", when, difference(outputs, found.GetOutputs()))
		}
		for _, d := range found.GetDrift() {
			t.errorf("Inspect %s reports a difference at %q: %s", when, d.GetPointer(), d.GetMessage())
		}
	}
	i.count(1, "after Inspect")
	if again := t.must(p, i.provisionOperation(), "after Inspect"); !sameJSON(outputs, again) {
		t.errorf("provision after Inspect gives other outputs: %s", difference(outputs, again))
	}
	t.must(p, i.operation("deprovision", i.lastInputs()), "of an instance")
	if found := t.inspect(p, i, "after deprovision"); found.GetExists() {
		t.errorf("Inspect after deprovision says that the instance exists")
	}
	i.count(0, "after Inspect of what was deprovisioned")
}

func (t *trial) inspect(p *process, i *instance, when string) *pluginpb.InspectResponse {
	ctx, cancel := context.WithTimeout(t.ctx, t.config.Timeout)
	defer cancel()
	found, err := p.rpc.Inspect(ctx, &pluginpb.InspectRequest{InstanceId: i.id, Applied: i.applied})
	if err != nil {
		t.transcript.add("error messages", err.Error()+"\n")
		t.fatalf("Inspect %s: %v", when, err)
	}
	for _, d := range found.GetDrift() {
		t.transcript.add("error messages", d.GetMessage()+"\n")
	}
	return found
}

func checkList(t *trial) {
	t.needs("list")
	p, i := t.plugin(), t.newInstance()
	i.provision(p)
	if !t.listed(p, i) {
		t.errorf("List does not contain an instance that was provisioned")
	}
	i.count(1, "after List")
	t.must(p, i.operation("deprovision", i.lastInputs()), "of an instance")
	if t.listed(p, i) {
		t.errorf("List contains an instance that was deprovisioned")
	}
	i.count(0, "after List of what was deprovisioned")
}

// listed reads all pages and tells whether the instance is on one of them: by its id, or
// by the inputs that name it.
func (t *trial) listed(p *process, i *instance) bool {
	ctx, cancel := context.WithTimeout(t.ctx, t.config.Timeout)
	defer cancel()
	in, listed := &pluginpb.ListRequest{PageSize: 2}, false
	for seen := map[string]bool{}; ; seen[in.GetPageToken()] = true {
		page, err := p.rpc.List(ctx, in)
		if err != nil {
			t.transcript.add("error messages", err.Error()+"\n")
			t.fatalf("List: %v", err)
		}
		if n := len(page.GetFound()); n > int(in.GetPageSize()) {
			t.errorf("a page of List has %d things; %d were asked for", n, in.GetPageSize())
		}
		for _, f := range page.GetFound() {
			listed = listed || f.GetInstanceId() == i.id || f.GetInstanceId() == "" && names(f.GetInputs(), i.lastInputs())
		}
		in.PageToken = page.GetNextPageToken()
		if in.GetPageToken() == "" {
			return listed
		}
		if seen[in.GetPageToken()] {
			t.fatalf("List never ends: the page after %q was given already", in.GetPageToken())
		}
	}
}

// names tells whether some inputs are among all of an instance's.
func names(some, all json.RawMessage) bool {
	var part, whole map[string]json.RawMessage
	if json.Unmarshal(some, &part) != nil || json.Unmarshal(all, &whole) != nil || len(part) == 0 {
		return false
	}
	for key, value := range part {
		if !sameJSON(value, whole[key]) {
			return false
		}
	}
	return true
}
