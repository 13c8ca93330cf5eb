package pluginhost

import (
	"context"
	"path"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// connection is a gRPC stats handler that tells what the API hides: whether the
// connection to the plugin broke, and whether a stream's end came from the plugin. gRPC
// also ends streams by itself, while the plugin's handler still runs.
type connection struct {
	closing atomic.Bool   // the host closes it
	lost    chan struct{} // closed at the connection's end
	once    sync.Once
}

func newConnection() *connection { return &connection{lost: make(chan struct{})} }

type trailerKey struct{}

// withTrailer gives a context for a call and where the arrival of the plugin's trailer is noted.
func withTrailer(ctx context.Context) (context.Context, *atomic.Bool) {
	arrived := new(atomic.Bool)
	return context.WithValue(ctx, trailerKey{}, arrived), arrived
}

// TagRPC implements stats.Handler.
func (c *connection) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (c *connection) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.InTrailer); !ok {
		return
	}
	if arrived, ok := ctx.Value(trailerKey{}).(*atomic.Bool); ok {
		arrived.Store(true)
	}
}

// TagConn implements stats.Handler.
func (c *connection) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements stats.Handler.
func (c *connection) HandleConn(_ context.Context, s stats.ConnStats) {
	if _, ok := s.(*stats.ConnEnd); ok {
		c.once.Do(func() { close(c.lost) })
	}
}

// traced tells which RPCs get spans: the verbs, and not the host's own questions,
// each of which would be a trace of its own every few seconds.
func traced(i *stats.RPCTagInfo) bool {
	switch path.Base(i.FullMethodName) {
	case "Provision", "Update", "Deprovision", "Bind", "Unbind":
		return true
	}
	return false
}
