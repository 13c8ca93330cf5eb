package plugin_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	hplugin "github.com/hashicorp/go-plugin"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// echoDir holds the plugin that the tests of this file share.
var echoDir string

func TestMain(m *testing.M) {
	var err error
	if echoDir, err = os.MkdirTemp("", "pt"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(echoDir)
		os.Exit(code)
	}))
}

var buildOnce = sync.OnceValues(func() (string, error) {
	path := filepath.Join(echoDir, "chandler-plugin-echo")
	out, err := exec.Command("go", "build", "-o", path, "./testdata/echo").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, err
})

func buildEcho(t *testing.T) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// running is the echo plugin as a process.
type running struct {
	pluginpb.PluginClient
	client   *hplugin.Client
	lifeline *os.File
	pid      int
}

func start(t *testing.T, binary string) *running {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	dir, err := os.MkdirTemp("", "pt")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, plugin.LifelineEnv + "=3"}
	cmd.ExtraFiles = []*os.File{read}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	propagator := propagation.TraceContext{}
	client := hplugin.NewClient(&hplugin.ClientConfig{
		HandshakeConfig:  plugin.Handshake,
		VersionedPlugins: plugin.PluginSets(),
		AllowedProtocols: []hplugin.Protocol{hplugin.ProtocolGRPC},
		Cmd:              cmd,
		AutoMTLS:         true,
		SkipHostEnv:      true,
		Logger:           hclog.NewNullLogger(),
		GRPCDialOptions:  []grpc.DialOption{grpc.WithStatsHandler(otelgrpc.NewClientHandler(otelgrpc.WithPropagators(propagator)))},
	})
	t.Cleanup(func() {
		if cmd.Process != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
		client.Kill()
		write.Close()
		os.RemoveAll(dir)
	})
	protocol, err := client.Client()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := protocol.Dispense(plugin.ServiceName)
	if err != nil {
		t.Fatal(err)
	}
	return &running{PluginClient: raw.(pluginpb.PluginClient), client: client, lifeline: write, pid: cmd.Process.Pid}
}

func (r *running) provision(t *testing.T, ctx context.Context, inputs string) (first *pluginpb.Event, rest func() (*pluginpb.Event, error)) {
	t.Helper()
	stream, err := r.Provision(ctx, &pluginpb.InstanceRequest{InstanceId: "i", OperationId: "o", Inputs: []byte(inputs), Seed: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	first, err = stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return first, stream.Recv
}

// eventually polls, since it is another process that must do something.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("in vain: %s", what)
		}
	}
}

// members lists the live processes of a group.
func members(pgid int) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if fields[2] == strconv.Itoa(pgid) && fields[0] != "Z" {
			pids = append(pids, string(raw[:bytes.LastIndexByte(raw, ')')+1]))
		}
	}
	return pids
}

// The trace that the broker is in goes on in the plugin.
func TestServeTrace(t *testing.T) {
	p := start(t, buildEcho(t))
	id := trace.TraceID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
	}))
	event, _ := p.provision(t, ctx, `{}`)
	if got := string(event.GetDone().GetOutputs()); !strings.Contains(got, id.String()) {
		t.Errorf("outputs %s; expected the trace %s", got, id)
	}
}

// A request carries several documents of 1 MiB each, more than gRPC's default of 4 MiB.
func TestServeLargeRequest(t *testing.T) {
	p := start(t, buildEcho(t))
	document := fmt.Appendf(nil, `{"blob": %q}`, strings.Repeat("x", plugin.MaxDocument-12))
	var attempts []*pluginpb.Attempt
	for range 4 {
		attempts = append(attempts, &pluginpb.Attempt{OperationId: "a", Verb: "update", Inputs: document})
	}
	stream, err := p.Provision(t.Context(), &pluginpb.InstanceRequest{InstanceId: "i", OperationId: "o", Inputs: document,
		Applied: &pluginpb.Applied{Inputs: document, Outputs: document}, Attempted: attempts})
	if err != nil {
		t.Fatal(err)
	}
	event, err := stream.Recv()
	if err != nil || !strings.Contains(string(event.GetDone().GetOutputs()), strconv.Itoa(2*len(document))) {
		t.Errorf("got %v, %v", event, err)
	}
}

// SIGTERM lets a running call finish and lets no new one in.
func TestServeTerminate(t *testing.T) {
	p := start(t, buildEcho(t))
	first, rest := p.provision(t, t.Context(), `{"sleep": 1000}`)
	if first.GetProgress().GetText() != "sleeping" {
		t.Fatalf("got %v", first)
	}
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	refused := func() bool {
		stream, err := p.Unbind(t.Context(), &pluginpb.BindingRequest{InstanceId: "i", BindingId: "b"})
		if err == nil {
			_, err = stream.Recv()
		}
		return status.Code(err) == codes.Unavailable
	}
	eventually(t, "new calls are refused", refused)
	if last, err := rest(); err != nil || last.GetDone() == nil {
		t.Errorf("the running call ended with %v, %v; expected done", last, err)
	}
	eventually(t, "the process ends", func() bool { return p.client.Exited() })
}

// A terminal's SIGINT is not for the plugin.
func TestServeInterrupt(t *testing.T) {
	p := start(t, buildEcho(t))
	_, rest := p.provision(t, t.Context(), `{"sleep": 200}`)
	for range 3 {
		if err := syscall.Kill(p.pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
	}
	if last, err := rest(); err != nil || last.GetDone() == nil {
		t.Errorf("the running call ended with %v, %v; expected done", last, err)
	}
}

// Whatever ends the broker: the end of the lifeline ends the plugin and what it
// forked, even what ignores SIGTERM.
func TestServeLifeline(t *testing.T) {
	p := start(t, buildEcho(t))
	p.provision(t, t.Context(), `{"fork": true}`)
	eventually(t, "the child runs", func() bool { return len(members(p.pid)) >= 3 }) // plugin, sh, sleep
	if err := p.lifeline.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all of the process group end", func() bool { return len(members(p.pid)) == 0 })
}

// A person who starts the executable is told what it is.
func TestServeByHand(t *testing.T) {
	binary := buildEcho(t)
	for name, c := range map[string]struct {
		env  []string
		want string
	}{
		"no handshake":   {nil, "echo 1.0.0 is a plugin of the Chandler service broker"},
		"wrong lifeline": {[]string{plugin.Handshake.MagicCookieKey + "=" + plugin.Handshake.MagicCookieValue, plugin.LifelineEnv + "=x"}, "file descriptor"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(binary)
			cmd.Env = c.env
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !asExit(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), c.want) {
				t.Errorf("got %v and %q; expected status 1 and %q", err, out, c.want)
			}
		})
	}
}

func asExit(err error, exit **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*exit = e
	return ok
}
