package pluginhost

import (
	"context"
	"path"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/chandler-broker/chandler/core/plugin"
)

// The windows of gRPC's flow control, in bytes. They are fixed: the search for better ones
// costs a ping for most messages, and this is no network.
const (
	streamWindow     = 256 << 10
	connectionWindow = 4 << 20
)

// dialOptions are those of the connection to the plugin; go-plugin adds TLS.
func (p *process) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithStatsHandler(p.connection),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(plugin.MaxMessage)),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connectionWindow),
		grpc.WithDisableRetry(), // a call that broke is the core's to repeat, under a new fence
		grpc.WithIdleTimeout(0), // the connection's end is the process's end
	}
}

// connection is a gRPC stats handler that tells what the API hides: whether the
// connection to the plugin broke, and whether a stream's end came from the plugin. gRPC
// also ends streams by itself, while the plugin's handler still runs. It also lets OpenTelemetry
// see the calls that have a trace; the others do without, since it costs each call some 10 µs.
type connection struct {
	closing atomic.Bool   // the host closes it
	lost    chan struct{} // closed at the connection's end
	once    sync.Once
	tracing stats.Handler
}

func newConnection() *connection {
	propagator := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
	return &connection{lost: make(chan struct{}),
		tracing: otelgrpc.NewClientHandler(otelgrpc.WithPropagators(propagator), otelgrpc.WithFilter(traced))}
}

// rpc is what is known of one RPC.
type rpc struct {
	arrived atomic.Bool // the plugin's trailer: it has ended the stream itself
	traced  bool
}

type rpcKey struct{}

// withRPC gives a context for a call and where the arrival of the plugin's trailer is noted.
func withRPC(ctx context.Context) (context.Context, *rpc) {
	r := &rpc{traced: trace.SpanContextFromContext(ctx).IsValid()}
	return context.WithValue(ctx, rpcKey{}, r), r
}

// TagRPC implements stats.Handler.
func (c *connection) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	if r, ok := ctx.Value(rpcKey{}).(*rpc); ok && r.traced {
		return c.tracing.TagRPC(ctx, info)
	}
	return ctx
}

// HandleRPC implements stats.Handler.
func (c *connection) HandleRPC(ctx context.Context, s stats.RPCStats) {
	r, ok := ctx.Value(rpcKey{}).(*rpc)
	if !ok {
		return
	}
	if r.traced {
		c.tracing.HandleRPC(ctx, s)
	}
	if _, ok := s.(*stats.InTrailer); ok {
		r.arrived.Store(true)
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
	case "Provision", "Update", "Deprovision", "Bind", "Unbind", "Adopt":
		return true
	}
	return false
}
