package plugin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// author is a plugin whose methods are given by the test.
type author struct {
	instance func(context.Context, *plugin.InstanceRequest) (plugin.Result, error)
	binding  func(context.Context, *plugin.BindingRequest) (plugin.Result, error)
}

func (a author) Provision(ctx context.Context, r *plugin.InstanceRequest) (plugin.Result, error) {
	return a.instance(ctx, r)
}
func (a author) Update(ctx context.Context, r *plugin.InstanceRequest) (plugin.Result, error) {
	return a.instance(ctx, r)
}
func (a author) Deprovision(ctx context.Context, r *plugin.InstanceRequest) (plugin.Result, error) {
	return a.instance(ctx, r)
}
func (a author) Bind(ctx context.Context, r *plugin.BindingRequest) (plugin.Result, error) {
	return a.binding(ctx, r)
}
func (a author) Unbind(ctx context.Context, r *plugin.BindingRequest) (plugin.Result, error) {
	return a.binding(ctx, r)
}

type configurable struct {
	author
	configure func(context.Context, *plugin.ConfigureRequest) error
}

func (c configurable) Configure(ctx context.Context, r *plugin.ConfigureRequest) error {
	return c.configure(ctx, r)
}

type checking struct {
	author
	check func(context.Context, *plugin.InstanceRequest) error
}

func (c checking) Check(ctx context.Context, r *plugin.InstanceRequest) error { return c.check(ctx, r) }

func description() plugin.Description {
	return plugin.Description{
		Name: "test", Version: "1.2.0",
		ProvisionInputs: json.RawMessage(`{"type": "object", "additionalProperties": false, "required": ["bucket"], "properties": {
			"bucket": {"type": "string", "minLength": 3}, "quota": {"type": "object", "properties": {"max": {"type": "integer"}}},
			"adminPassword": {"type": "string", "writeOnly": true}}}`),
		BindInputs:      json.RawMessage(`{"type": "object", "additionalProperties": false, "properties": {"access": {"enum": ["ro", "rw"]}}}`),
		InstanceOutputs: json.RawMessage(`{"type": "object", "properties": {"host": {"type": "string"}, "rootKey": {"type": "string", "writeOnly": true}}}`),
		BindingOutputs:  json.RawMessage(`{"type": "object", "properties": {"user": {"type": "string"}, "password": {"type": "string", "writeOnly": true}}}`),
	}
}

// log is what the plugin wrote to its standard error.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve gives a client of the plugin over a real connection.
func serve(t testing.TB, d plugin.Description, p plugin.Plugin) (pluginpb.PluginClient, *log) {
	t.Helper()
	l := &log{}
	server, err := plugin.NewServer(plugin.ServeConfig{Description: d, Plugin: p}, l)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.MaxRecvMsgSize(plugin.MaxMessage))
	pluginpb.RegisterPluginServer(g, server)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = g.Serve(listener)
	}()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		g.Stop()
		<-served
	})
	return pluginpb.NewPluginClient(conn), l
}

// events reads a stream to its end.
func events(stream grpc.ServerStreamingClient[pluginpb.Event], err error) ([]*pluginpb.Event, error) {
	var all []*pluginpb.Event
	for err == nil {
		var e *pluginpb.Event
		if e, err = stream.Recv(); err == nil {
			all = append(all, e)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return all, err
}

func request(inputs string) *pluginpb.InstanceRequest {
	return &pluginpb.InstanceRequest{InstanceId: "instance-1", OperationId: "operation-1", Inputs: []byte(inputs),
		Fence: 3, Seed: bytes.Repeat([]byte{7}, 32), CallId: "call-1"}
}

func bindRequest(inputs string) *pluginpb.BindingRequest {
	return &pluginpb.BindingRequest{InstanceId: "instance-1", BindingId: "binding-1", OperationId: "operation-1", Inputs: []byte(inputs),
		Fence: 3, Seed: bytes.Repeat([]byte{7}, 32), CallId: "call-1"}
}

const good = `{"bucket": "photos"}`
