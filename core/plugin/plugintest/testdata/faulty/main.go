// Command faulty is a plugin that breaks one promise of the contract at a time: the
// one that the environment variable FAULT names. Without it, it breaks none.
package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	hplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

var fault = os.Getenv("FAULT")

const (
	configSchema    = `{"type":"object","additionalProperties":false,"properties":{"token":{"type":"string","writeOnly":true}}}`
	provisionSchema = `{"type":"object","additionalProperties":false,"required":["size"],"properties":{"size":{"type":"integer"}}}`
	bindSchema      = `{"type":"object","additionalProperties":false,"properties":{"access":{"enum":["ro","rw"]}}}`
	instanceSchema  = `{"type":"object","required":["database"],"properties":{"database":{"type":"string"}}}`
	bindingSchema   = `{"type":"object","required":["username","password"],"properties":{"username":{"type":"string"},"password":{"type":"string","writeOnly":true}}}`
)

func main() {
	if fault == "dies" {
		os.Exit(3)
	}
	open := []byte(`{}`) // the server below tells other schemas than those that the SDK checks
	impl, err := plugin.NewServer(plugin.ServeConfig{
		Description: plugin.Description{Name: "faulty", Version: "1.0.0", Config: open, ProvisionInputs: open, BindInputs: open,
			InstanceOutputs: open, BindingOutputs: open},
		Plugin: &author{},
	}, os.Stderr)
	if err != nil {
		panic(err)
	}
	watch()
	hplugin.Serve(&hplugin.ServeConfig{
		HandshakeConfig: plugin.Handshake,
		VersionedPlugins: map[int]hplugin.PluginSet{plugin.ProtocolVersion: {
			plugin.ServiceName: &plugin.GRPCPlugin{Impl: &server{PluginServer: impl}},
		}},
		GRPCServer: hplugin.DefaultGRPCServer,
	})
	if fault == "ignores-terminate" {
		select {}
	}
}

// watch ends the process when the broker ends, and reacts to signals, or does not.
func watch() {
	switch fault {
	case "dies-on-interrupt":
		c := make(chan os.Signal, 1)
		signal.Notify(c, os.Interrupt)
		go func() {
			<-c
			os.Exit(1)
		}()
	case "ignores-terminate":
		signal.Ignore(syscall.SIGTERM)
	case "outlives-broker":
		return
	case "leaves-child":
		if err := exec.Command("sleep", "60").Start(); err != nil {
			panic(err)
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(3, "lifeline"))
		if fault == "leaves-child" {
			os.Exit(1)
		}
		_ = syscall.Kill(0, syscall.SIGKILL)
	}()
}

// server breaks promises that the SDK would keep.
type server struct{ pluginpb.PluginServer }

func (s *server) Describe(ctx context.Context, in *pluginpb.DescribeRequest) (*pluginpb.DescribeResponse, error) {
	d, err := s.PluginServer.Describe(ctx, in)
	if err != nil {
		return nil, err
	}
	d.ConfigSchema, d.ProvisionInputsSchema, d.BindInputsSchema = []byte(configSchema), []byte(provisionSchema), []byte(bindSchema)
	d.InstanceOutputsSchema, d.BindingOutputsSchema, d.Isolated = []byte(instanceSchema), []byte(bindingSchema), true
	switch fault {
	case "name":
		d.Name = "something-else"
	case "version":
		d.Version = "1.0"
	case "schema":
		d.BindingOutputsSchema = []byte(`{"type": 12}`)
	case "schema-reference":
		d.BindingOutputsSchema = []byte(`{"$ref": "https://schemas.example.org/x.json"}`)
	case "describe-changes":
		d.MaxConcurrency = uint32(os.Getpid())
	}
	return d, nil
}

func (s *server) Offerings(ctx context.Context, in *pluginpb.OfferingsRequest) (*pluginpb.OfferingsResponse, error) {
	r, err := s.PluginServer.Offerings(ctx, in)
	if err == nil && fault == "offering-path" {
		r.Offerings[0].Name = "../faulty.yaml"
	}
	return r, err
}

func (s *server) Health(ctx context.Context, in *pluginpb.HealthRequest) (*pluginpb.HealthResponse, error) {
	if fault == "no-health" {
		return nil, status.Error(codes.Unimplemented, "no Health")
	}
	return s.PluginServer.Health(ctx, in)
}

func (s *server) Cancel(ctx context.Context, in *pluginpb.CancelRequest) (*pluginpb.CancelResponse, error) {
	if fault == "no-cancel" {
		return nil, status.Error(codes.Unimplemented, "no Cancel")
	}
	return s.PluginServer.Cancel(ctx, in)
}

func (s *server) Provision(in *pluginpb.InstanceRequest, out grpc.ServerStreamingServer[pluginpb.Event]) error {
	done := &pluginpb.Event{Event: &pluginpb.Event_Done{Done: &pluginpb.Done{Outputs: []byte(`{"database":"x"}`)}}}
	switch fault {
	case "two-ends":
		if err := out.Send(done); err != nil {
			return err
		}
	case "no-end":
		return nil
	case "status-after-end":
		if err := out.Send(done); err != nil {
			return err
		}
		return status.Error(codes.Internal, "after the end")
	case "percent":
		percent := uint32(101)
		p := &pluginpb.Progress{Text: "more than all", Percent: &percent}
		if err := out.Send(&pluginpb.Event{Event: &pluginpb.Event_Progress{Progress: p}}); err != nil {
			return err
		}
	}
	return s.PluginServer.Provision(in, out)
}
