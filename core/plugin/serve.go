package plugin

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	hplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// ServeConfig is what [Serve] serves.
type ServeConfig struct {
	Description Description
	Plugin      Plugin
}

// How long a plugin that is asked to stop waits for its calls: first for them to
// finish, then, with their contexts ended, for them to return.
const (
	drainGrace  = 10 * time.Second
	cancelGrace = 5 * time.Second
	// flushGrace is for the last events to reach the broker: gRPC writes them after
	// the methods have returned, and go-plugin's own streams never end, so that
	// GracefulStop would wait for ever.
	flushGrace = 250 * time.Millisecond
)

// What the plugin's gRPC server has: windows in bytes, and goroutines that wait for calls; calls beyond
// that get goroutines of their own.
const (
	streamWindow     = 256 << 10
	connectionWindow = 4 << 20
	streamWorkers    = 16
)

// Serve serves a plugin until the broker ends it or goes away; main calls it and
// does nothing after it. A wrong description, or a start by hand instead of by the
// broker, ends the process with status 1 and an explanation on standard error.
//
// SIGINT is ignored: a terminal sends it to the broker's children too, and it is the
// broker who decides. SIGTERM lets running calls finish for up to 10 s, then ends
// their contexts. When the broker dies, the process and its process group are killed.
func Serve(c ServeConfig) {
	s, err := newServer(c, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "plugin %s: %v\n", c.Description.Name, err)
		os.Exit(1)
	}
	if os.Getenv(Handshake.MagicCookieKey) != Handshake.MagicCookieValue {
		fmt.Fprintf(os.Stderr, "%s %s is a plugin of the Chandler service broker, which starts it.\n"+
			"Put it into the broker's plugin directory as chandler-plugin-%[1]s, or look at it with `chandler plugin describe`.\n",
			c.Description.Name, c.Description.Version)
		os.Exit(1)
	}
	signal.Ignore(os.Interrupt)
	p := &process{server: s, stopped: make(chan struct{}), brokerGone: watchLifeline(os.Getenv(LifelineEnv))}
	p.watchTerminate()
	hplugin.Serve(&hplugin.ServeConfig{
		HandshakeConfig:  Handshake,
		VersionedPlugins: map[int]hplugin.PluginSet{ProtocolVersion: {ServiceName: &GRPCPlugin{Impl: s}}},
		GRPCServer:       p.newGRPCServer,
		Logger:           s.sink.logger(s.hidden),
	})
	close(p.stopped)
	// Stop has ended all contexts; what still runs gets a moment to clean up. The
	// broker kills a plugin two seconds after it asked for the end.
	select {
	case <-s.drain():
	case <-time.After(time.Second):
	}
	p.awaitGroupEnd()
}

// process is the running plugin.
type process struct {
	server     *server
	stopped    chan struct{}   // closed when go-plugin's Serve has returned
	brokerGone <-chan struct{} // closed when the broker is gone; nil if that is not watched
	terminated atomic.Bool     // by SIGTERM

	mu   sync.Mutex
	grpc *grpc.Server
}

// newGRPCServer adds to go-plugin's options, which hold TLS.
func (p *process) newGRPCServer(options []grpc.ServerOption) *grpc.Server {
	options = append(options,
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.StatsHandler(newTracing()),
		// Fixed windows: gRPC's search for better ones costs a ping for most messages, and this is no network.
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
		// Workers keep their stacks, which a goroutine for each call would have to grow.
		grpc.NumStreamWorkers(streamWorkers),
		// The broker may ping an idle process; a stopped broker is no reason to hang up.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.grpc = grpc.NewServer(options...)
	return p.grpc
}

func (p *process) grpcServer() *grpc.Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grpc
}

// awaitGroupEnd keeps a process that got SIGTERM from ending before it knows whether
// the broker is gone: the kernel sends SIGTERM when the broker dies, a moment before
// the lifeline ends, and then it is the lifeline's goroutine that must end the process, with
// everything that it forked.
func (p *process) awaitGroupEnd() {
	if !p.terminated.Load() || p.brokerGone == nil {
		return
	}
	select {
	case <-p.brokerGone:
		select {} // endGroup kills us
	case <-time.After(time.Second):
	}
}

// watchTerminate stops the plugin gracefully on SIGTERM; its goroutine ends with the process.
func (p *process) watchTerminate() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
			p.terminate()
		case <-p.stopped:
		}
	}()
}

func (p *process) terminate() {
	p.terminated.Store(true)
	done := p.server.drain()
	select {
	case <-done:
	case <-time.After(drainGrace):
	}
	g := p.grpcServer()
	if g == nil { // still starting
		p.awaitGroupEnd()
		os.Exit(0)
	}
	go g.GracefulStop() // returns when Stop was called
	time.Sleep(flushGrace)
	g.Stop() // ends all contexts; go-plugin's Serve returns
	select {
	case <-done:
	case <-time.After(cancelGrace):
		p.awaitGroupEnd()
		os.Exit(1)
	}
}
