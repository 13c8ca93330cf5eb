package plugintest

import (
	"context"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"gopkg.in/yaml.v3"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// backendName is what a plugin is configured as.
const backendName = "plugintest"

func checkOfferings(t *trial) {
	if !slices.Contains(t.describe().GetCapabilities(), "offerings") {
		t.skipf(`the plugin does not have the capability "offerings"`)
	}
	first := t.offerings(t.plugin())
	if !proto.Equal(first, t.offerings(t.plugin())) {
		t.errorf("it offers something else when it is asked again")
	}
	var list []plugin.Offering
	for _, o := range first.GetOfferings() {
		list = append(list, plugin.Offering{Name: o.GetName(), YAML: o.GetYaml()})
		t.transcript.add("offering "+o.GetName(), string(o.GetYaml()))
	}
	if err := plugin.CheckOfferings(list); err != nil {
		t.errorf("%v", err)
	}
	once := unique{}
	for _, o := range list {
		t.checkOffering(o, once)
	}
}

func (t *trial) offerings(p *process) *pluginpb.OfferingsResponse {
	ctx, cancel := context.WithTimeout(t.ctx, t.config.Timeout)
	defer cancel()
	r, err := p.rpc.Offerings(ctx, &pluginpb.OfferingsRequest{})
	if err != nil {
		t.transcript.add("status of Offerings", err.Error())
		t.fatalf("Offerings: %v", err)
	}
	return r
}

// unique holds the places where ids and names of services were seen.
type unique map[string]string

// add notes a value; it gives the place where the same was seen before, or "".
func (u unique) add(value, place string) string {
	first := u[value]
	if first == "" {
		u[value] = place
	}
	return first
}

// checkOffering looks at what every service needs. Whether the broker takes the file as a
// whole is for `chandler catalog lint`.
func (t *trial) checkOffering(o plugin.Offering, once unique) {
	var service map[string]any
	if err := yaml.Unmarshal(o.YAML, &service); err != nil {
		t.errorf("the offering %s is no mapping of YAML: %v", o.Name, err)
		return
	}
	t.named(o.Name, service, once)
	name, _ := service["name"].(string)
	if first := once.add("service "+name, o.Name); name != "" && first != "" {
		t.errorf("the offering %s has the service name of %s", o.Name, first)
	}
	if backend, has := service["backend"]; has && backend != backendName {
		t.errorf("the offering %s names the backend %v; it is left out, since operators choose that name", o.Name, backend)
	}
	plans, _ := service["plans"].([]any)
	if len(plans) == 0 {
		t.errorf("the offering %s has no list of plans", o.Name)
	}
	inline(t, o.Name, service)
	names := map[any]bool{}
	for i, p := range plans {
		place := fmt.Sprintf("%s, plans[%d]", o.Name, i)
		plan, ok := p.(map[string]any)
		if !ok {
			t.errorf("the offering %s is no mapping", place)
			continue
		}
		t.named(place, plan, once)
		inline(t, place, plan)
		if name := plan["name"]; names[name] {
			t.errorf("the offering %s has the name of another plan", place)
		} else {
			names[name] = name != nil
		}
	}
}

// named checks the texts by which platforms know a service or a plan. Ids are unique.
func (t *trial) named(place string, object map[string]any, once unique) {
	for _, key := range []string{"id", "name", "description"} {
		if value, _ := object[key].(string); value == "" {
			t.errorf("the offering %s needs a text as its %s", place, key)
		}
	}
	id, _ := object["id"].(string)
	if first := once.add("id "+id, place); id != "" && first != "" {
		t.errorf("the offering %s has the id of %s", place, first)
	}
}

// inline refuses a template file where a mapping belongs.
func inline(t *trial, place string, object map[string]any) {
	if file, is := object["credentials"].(string); is {
		t.errorf("the offering %s refers to the template file %s, which operators need not have: credentials are inline", place, file)
	}
}
