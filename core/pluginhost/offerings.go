package pluginhost

import (
	"context"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// Offerings gives the services that the plugins of all backends bring: YAML by
// "backend/name". They are those of the description that Describe gives: of the process that serves or
// of the last that did, so that a broken plugin keeps its services. The bytes must not be changed.
func (h *Host) Offerings() map[string][]byte {
	h.mu.Lock()
	var all []*backend
	for _, b := range h.backends {
		all = append(all, b)
	}
	h.mu.Unlock()
	out := map[string][]byte{}
	for _, b := range all {
		d, _ := b.describe()
		for name, yaml := range d.Offerings {
			out[b.name+"/"+name] = yaml
		}
	}
	return out
}

// askOfferings completes the description of a configured process. A failure is like
// one of Describe: the process does not serve.
func (p *process) askOfferings(ctx context.Context) error {
	if !p.desc.Can(core.CapabilityOfferings) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.host.cfg.Timing.Describe)
	defer cancel()
	answer, err := p.rpc.Offerings(ctx, &pluginpb.OfferingsRequest{})
	if err != nil {
		return p.rpcFailed(ctx, "Offerings", err)
	}
	list := make([]plugin.Offering, 0, len(answer.GetOfferings()))
	for _, o := range answer.GetOfferings() {
		list = append(list, plugin.Offering{Name: o.GetName(), YAML: o.GetYaml()})
	}
	if err := plugin.CheckOfferings(list); err != nil {
		return p.crashed("brings services that cannot be taken: %s", p.masks.mask(err.Error()))
	}
	for _, o := range list {
		if p.desc.Offerings == nil {
			p.desc.Offerings = map[string][]byte{}
		}
		p.desc.Offerings[o.Name] = o.YAML
	}
	return nil
}
