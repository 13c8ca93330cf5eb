package pluginhost

import (
	"context"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// Ping makes the smallest call there is over a backend's connection, without anything that the host does for a call.
func (h *Host) Ping(ctx context.Context, backend string) error {
	p, err := h.backend(backend).ready(ctx)
	if err != nil {
		return err
	}
	_, err2 := p.rpc.Health(ctx, &pluginpb.HealthRequest{})
	return err2
}
