package pluginhost

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// describe asks the plugin what it is.
func (p *process) describe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.host.cfg.Timing.Describe)
	defer cancel()
	answer, err := p.rpc.Describe(ctx, &pluginpb.DescribeRequest{BrokerVersion: p.host.cfg.BrokerVersion})
	if err != nil {
		return p.rpcFailed(ctx, "Describe", err)
	}
	d, err := description(answer)
	if err != nil {
		return p.crashed("describes itself wrongly: %v", err)
	}
	if d.Plugin != p.want.cfg.Plugin {
		p.log.Warn("the plugin gives itself another name than its file has", "name", d.Plugin)
	}
	p.setDescription(d)
	return nil
}

func (p *process) setDescription(d core.Description) {
	p.desc = d
	p.marks = newMarks(d)
	p.masks.hold(plugin.SecretValues(d.ConfigSchema, p.want.cfg.Config)...)
	p.setLimits(p.want.cfg.Limits)
}

// configure hands over the backend's configuration.
func (p *process) configure(ctx context.Context) error {
	cfg := p.want.cfg
	if p.want.implicit && p.desc.RequiresConfiguration {
		return &startError{kind: kindUnconfigured, desc: &p.desc,
			err: fmt.Errorf("plugin %s needs a configuration: list a backend that uses it", Prefix+cfg.Plugin)}
	}
	wrong, err := plugin.Violations(p.desc.ConfigSchema, cfg.Config)
	if err != nil {
		return p.crashed("describes itself wrongly: config_schema: %v", err)
	}
	if len(wrong) > 0 {
		var texts []string
		for _, v := range wrong {
			texts = append(texts, fmt.Sprintf("%q: %s", v.Pointer, v.Message))
		}
		return &startError{kind: kindInvalid, desc: &p.desc, err: fmt.Errorf("the configuration of backend %q is wrong: %s",
			cfg.Name, p.masks.mask(strings.Join(texts, "; ")))}
	}
	ctx, cancel := context.WithTimeout(ctx, p.host.cfg.Timing.Configure)
	defer cancel()
	answer, err := p.rpc.Configure(ctx, &pluginpb.ConfigureRequest{Backend: cfg.Name, Config: cfg.Config, DataDirectory: p.child.dir})
	switch s := status.Convert(err); {
	case err == nil:
		if answer.Isolated != nil {
			p.desc.Isolated = *answer.Isolated
		}
		return nil
	case s.Code() == codes.InvalidArgument:
		return &startError{kind: kindInvalid, desc: &p.desc,
			err: fmt.Errorf("the configuration of backend %q is wrong: %s", cfg.Name, p.masks.mask(s.Message()))}
	case s.Code() == codes.Unavailable && ctx.Err() == nil && !p.gone(settle):
		return &startError{kind: kindUnavailable, desc: &p.desc,
			err: fmt.Errorf("backend %q cannot be reached: %s", cfg.Name, p.masks.mask(s.Message()))}
	}
	failed := p.rpcFailed(ctx, "Configure", err)
	failed.desc = &p.desc
	return failed
}

// rpcFailed explains the failure of Describe or Configure.
func (p *process) rpcFailed(ctx context.Context, name string, err error) *startError {
	switch {
	case p.gone(settle):
		return p.crashed("%s during %s", p.death(), name)
	case ctx.Err() != nil:
		return p.crashed("did not answer %s in time", name)
	}
	return p.crashed("answered %s with %s", name, p.masks.mask(status.Convert(err).Message()))
}
