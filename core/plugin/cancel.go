package plugin

import (
	"context"
	"sync"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// maxEarly bounds the ids that are remembered for calls which have not begun.
const maxEarly = 1024

// cancels finds running calls by their ids.
type cancels struct {
	mu      sync.Mutex
	running map[string]context.CancelFunc
	// early are ids that were cancelled while no such call ran: the call may be over,
	// or its handler may not have begun, since gRPC gives no order of two requests.
	early []string
}

// begin gives a context that ends when the call of that id is cancelled; end must
// be called when it has returned.
func (c *cancels) begin(ctx context.Context, id string) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	if id == "" { // a broker of before, which cannot cancel
		return ctx, cancel
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.early {
		if e == id {
			cancel()
		}
	}
	if c.running == nil {
		c.running = map[string]context.CancelFunc{}
	}
	c.running[id] = cancel
	return ctx, func() {
		c.mu.Lock()
		delete(c.running, id)
		c.mu.Unlock()
		cancel()
	}
}

func (c *cancels) cancel(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel, ok := c.running[id]; ok {
		cancel()
		return
	}
	c.early = append(c.early, id)
	if len(c.early) > maxEarly {
		c.early = c.early[1:]
	}
}

// Cancel ends the context of a running verb.
func (s *server) Cancel(_ context.Context, in *pluginpb.CancelRequest) (*pluginpb.CancelResponse, error) {
	if id := in.GetCallId(); id != "" {
		s.cancels.cancel(id)
	}
	return &pluginpb.CancelResponse{}, nil
}
