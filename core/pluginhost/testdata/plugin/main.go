// The plugin of the host's tests: written against the wire, not with the SDK, so that
// it can be as unkind as a plugin can be. What kind of plugin it is is appended to the
// executable as one line of JSON (so variants need no compiler); what a call does is in its inputs.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// Marker begins the appended line.
const Marker = "\n#chandler-test-plugin:"

// variant is what is appended.
type variant struct {
	Name, Version   string
	Die             string `json:",omitempty"` // before the handshake, with these lines on stderr
	DieOnce         string `json:",omitempty"` // the same, unless this file exists
	Garbage         bool   `json:",omitempty"` // as handshake
	Silent          bool   `json:",omitempty"` // no handshake at all
	Requires        bool   `json:",omitempty"`
	NoCancel        bool   `json:",omitempty"` // does not implement Cancel
	MaxConcurrency  uint32 `json:",omitempty"`
	BadDescription  bool   `json:",omitempty"`
	Isolated        bool   `json:",omitempty"`
	DieInDescribe   bool   `json:",omitempty"`
	HangInDescribe  bool   `json:",omitempty"`
	DieInConfigure  bool   `json:",omitempty"`
	FloodBeforehand int    `json:",omitempty"` // lines on stderr before the handshake
	// Offerings are what it brings, YAML by name, if Offers; see offerings.go.
	Inventory       bool
	Offers          bool              `json:",omitempty"`
	Offerings       map[string]string `json:",omitempty"`
	OfferingsFail   string            `json:",omitempty"` // with this text
	HangInOfferings bool              `json:",omitempty"`
}

func ownVariant() variant {
	v := variant{Name: "test", Version: "1.0.0"}
	raw, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	if i := bytes.LastIndex(raw, []byte(Marker)); i >= 0 && json.Unmarshal(raw[i+len(Marker):], &v) != nil {
		return variant{Name: "test", Version: "1.0.0"} // the constant itself
	}
	return v
}

func main() {
	v := ownVariant()
	for i := range v.FloodBeforehand {
		fmt.Fprintf(os.Stderr, "flood before the handshake, line %d %s\n", i, strings.Repeat("x", 200))
	}
	if v.DieOnce != "" {
		if _, err := os.Stat(v.DieOnce); err != nil {
			fmt.Fprintln(os.Stderr, "not yet")
			os.Exit(4)
		}
	}
	switch {
	case v.Die != "":
		fmt.Fprintln(os.Stderr, v.Die)
		os.Exit(3)
	case v.Garbage:
		fmt.Println("hello, I am no plugin")
		time.Sleep(time.Hour)
	case v.Silent:
		time.Sleep(time.Hour)
	}
	s := &server{v: v, calls: map[string]context.CancelFunc{}}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: plugin.Handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{
			plugin.ProtocolVersion: {plugin.ServiceName: &plugin.GRPCPlugin{Impl: s}},
		},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(plugin.MaxMessage))...)
		},
	})
}

type server struct {
	pluginpb.UnimplementedPluginServer
	v       variant
	backend string
	running atomic.Int32
	peak    atomic.Int32

	mu    sync.Mutex
	calls map[string]context.CancelFunc
}

func (s *server) Describe(context.Context, *pluginpb.DescribeRequest) (*pluginpb.DescribeResponse, error) {
	switch {
	case s.v.DieInDescribe:
		fmt.Fprintln(os.Stderr, "died in Describe")
		os.Exit(5)
	case s.v.HangInDescribe:
		time.Sleep(time.Hour)
	}
	r := &pluginpb.DescribeResponse{Name: s.v.Name, Version: s.v.Version, MaxConcurrency: s.v.MaxConcurrency,
		RequiresConfiguration: s.v.Requires, Isolated: s.v.Isolated, Capabilities: []string{"check", "future"},
		ConfigSchema:          []byte(`{"type":"object","properties":{"key":{"type":"string","writeOnly":true}}}`),
		InstanceOutputsSchema: []byte(`{"type":"object","properties":{"password":{"type":"string","writeOnly":true}}}`),
		BindingOutputsSchema:  []byte(`{"type":"object","properties":{"password":{"type":"string","writeOnly":true}}}`)}
	if s.v.Inventory {
		r.Capabilities = append(r.Capabilities, "inspect", "list", "adopt")
	}
	if s.v.Offers {
		r.Capabilities = append(r.Capabilities, "offerings")
	}
	if s.v.BadDescription {
		r.ConfigSchema = []byte(`[1,2`)
	}
	return r, nil
}

func (s *server) Configure(_ context.Context, r *pluginpb.ConfigureRequest) (*pluginpb.ConfigureResponse, error) {
	if s.v.DieInConfigure {
		fmt.Fprintln(os.Stderr, "died in Configure")
		os.Exit(6)
	}
	var c struct{ Invalid, Needs, Key string }
	if err := json.Unmarshal(r.GetConfig(), &c); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	s.backend = r.GetBackend()
	if c.Invalid != "" {
		return nil, status.Error(codes.InvalidArgument, c.Invalid+c.Key)
	}
	if c.Needs != "" {
		if _, err := os.Stat(c.Needs); err != nil {
			return nil, status.Error(codes.Unavailable, "the backend is not there")
		}
	}
	return &pluginpb.ConfigureResponse{}, nil
}

func (s *server) Health(context.Context, *pluginpb.HealthRequest) (*pluginpb.HealthResponse, error) {
	return &pluginpb.HealthResponse{}, nil
}

func (s *server) Cancel(_ context.Context, r *pluginpb.CancelRequest) (*pluginpb.CancelResponse, error) {
	if s.v.NoCancel {
		return nil, status.Error(codes.Unimplemented, "no Cancel")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel := s.calls[r.GetCallId()]; cancel != nil {
		cancel()
	}
	return &pluginpb.CancelResponse{}, nil
}

type stream = grpc.ServerStreamingServer[pluginpb.Event]

func (s *server) Provision(r *pluginpb.InstanceRequest, st stream) error {
	return s.verb(r.GetCallId(), r.GetInputs(), r, st)
}
func (s *server) Update(r *pluginpb.InstanceRequest, st stream) error {
	return s.verb(r.GetCallId(), r.GetInputs(), r, st)
}
func (s *server) Deprovision(r *pluginpb.InstanceRequest, st stream) error {
	return s.verb(r.GetCallId(), r.GetInputs(), r, st)
}
func (s *server) Bind(r *pluginpb.BindingRequest, st stream) error {
	return s.verb(r.GetCallId(), r.GetInputs(), r, st)
}
func (s *server) Unbind(r *pluginpb.BindingRequest, st stream) error {
	return s.verb(r.GetCallId(), r.GetInputs(), r, st)
}

// inputs say what a call does.
type inputs struct {
	Do   string
	Text string
	N    int
	Ms   int
	File string
}

func (s *server) verb(id string, raw []byte, request any, st stream) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.mu.Lock()
	s.calls[id] = cancel
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.calls, id)
		s.mu.Unlock()
	}()
	for n := s.running.Add(1); ; {
		p := s.peak.Load()
		if n <= p || s.peak.CompareAndSwap(p, n) {
			break
		}
	}
	defer s.running.Add(-1)
	var in inputs
	if err := json.Unmarshal(raw, &in); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return s.do(ctx, in, request, st)
}

func done(outputs any) *pluginpb.Event {
	raw, err := json.Marshal(outputs)
	if err != nil {
		panic(err)
	}
	return doneRaw(raw)
}

func doneRaw(raw []byte) *pluginpb.Event {
	return &pluginpb.Event{Event: &pluginpb.Event_Done{Done: &pluginpb.Done{Outputs: raw}}}
}

func failure(code pluginpb.Error_Code, text string) *pluginpb.Event {
	return &pluginpb.Event{Event: &pluginpb.Event_Error{Error: &pluginpb.Error{Code: code, Message: text, Detail: "detail of " + text, Pointer: "/bucket"}}}
}

func progress(text string) *pluginpb.Event {
	return &pluginpb.Event{Event: &pluginpb.Event_Progress{Progress: &pluginpb.Progress{Text: text}}}
}

func (s *server) do(ctx context.Context, in inputs, request any, st stream) error {
	wait := time.Duration(in.Ms) * time.Millisecond
	switch in.Do {
	case "": // says who it is
		time.Sleep(wait)
		return st.Send(done(map[string]any{"version": s.v.Version, "pid": os.Getpid(), "backend": s.backend, "peak": s.peak.Load(), "text": in.Text}))
	case "request":
		return st.Send(done(map[string]any{"request": fmt.Sprint(request)}))
	case "wait": // until it is cancelled; says so in a file when it has really returned
		touch(in.File)
		<-ctx.Done()
		time.Sleep(wait)
		touch(in.Text)
		return st.Send(failure(pluginpb.Error_CODE_UNAVAILABLE, "gave up"))
	case "finish": // is done although it was cancelled
		touch(in.File)
		<-ctx.Done()
		return st.Send(done(map[string]any{"text": "finished anyway"}))
	case "ignore": // cancellation
		touch(in.File)
		time.Sleep(time.Hour)
	case "linger": // after the last event
		if err := st.Send(done(map[string]any{})); err != nil {
			return err
		}
		time.Sleep(time.Hour)
	case "stop":
		touch(in.File)
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		time.Sleep(time.Hour)
	case "die":
		fmt.Fprintln(os.Stderr, in.Text)
		os.Exit(7)
	case "panic":
		panic(in.Text)
	case "progress":
		for i := range in.N {
			if err := st.Send(progress(fmt.Sprintf("%s %d", in.Text, i+1))); err != nil {
				return err
			}
			time.Sleep(wait)
		}
		return st.Send(done(map[string]any{}))
	case "pending":
		return st.Send(&pluginpb.Event{Event: &pluginpb.Event_Pending{Pending: &pluginpb.Pending{Handle: []byte(in.Text), RetryAfter: durationpb.New(wait), Text: "later"}}})
	case "raw": // outputs as they are given
		return st.Send(doneRaw([]byte(in.Text)))
	case "big": // outputs of N bytes
		return st.Send(doneRaw([]byte(`{"a":"` + strings.Repeat("x", in.N-8) + `"}`)))
	case "twice":
		return errorsJoin(st.Send(done(map[string]any{"n": 1})), st.Send(failure(pluginpb.Error_CODE_FAILED, "second")))
	case "nothing":
		return nil
	case "error":
		return st.Send(failure(pluginpb.Error_Code(in.N), in.Text))
	case "status":
		return status.Error(codes.Code(in.N), in.Text)
	case "environment":
		return st.Send(done(map[string]any{"environment": os.Environ()}))
	case "stderr": // N lines, raw
		for range max(in.N, 1) {
			fmt.Fprintln(os.Stderr, in.Text)
			_, _ = syscall.Write(2, []byte(in.Text+"\n"))
		}
		return st.Send(done(map[string]any{}))
	case "stdout":
		fmt.Println(in.Text)
		_, _ = syscall.Write(1, []byte(in.Text+" raw\n"))
		return st.Send(done(map[string]any{}))
	case "fork", "daemon":
		return s.fork(in, st)
	case "disconnect": // closes its own connections, but goes on
		go closeSockets()
		time.Sleep(time.Hour)
	case "secret":
		return st.Send(done(map[string]any{"password": in.Text}))
	}
	return st.Send(failure(pluginpb.Error_CODE_INVALID_INPUT, "unknown: "+in.Do))
}

// fork leaves a sleeper behind: in the process group, or in a session of its own.
func (s *server) fork(in inputs, st stream) error {
	cmd := exec.Command("/bin/sleep", "3600")
	if in.Do == "daemon" {
		cmd = exec.Command("/bin/sh", "-c", "sleep 3600 & echo $!")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		cmd.Stdout = w
		if err := cmd.Run(); err != nil {
			return err
		}
		var pid int
		if _, err := fmt.Fscan(r, &pid); err != nil {
			return err
		}
		return st.Send(done(map[string]any{"sleeper": pid, "pid": os.Getpid()}))
	}
	cmd.Stderr = os.Stderr // holds the pipe open
	if err := cmd.Start(); err != nil {
		return err
	}
	return st.Send(done(map[string]any{"sleeper": cmd.Process.Pid, "pid": os.Getpid()}))
}

func touch(path string) {
	if path != "" {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			panic(err)
		}
	}
}

func closeSockets() {
	for fd := 3; fd < 100; fd++ {
		if sa, err := syscall.Getpeername(fd); err == nil {
			if _, ok := sa.(*syscall.SockaddrUnix); ok {
				_ = syscall.Shutdown(fd, syscall.SHUT_RDWR)
			}
		}
	}
}

func errorsJoin(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
