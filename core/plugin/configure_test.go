package plugin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// Configure has two answers to a configuration that cannot be used.
func TestConfigure(t *testing.T) {
	d := description()
	d.Config = json.RawMessage(`{"type": "object", "required": ["endpoint"], "properties": {"endpoint": {"type": "string"}, "token": {"type": "string", "writeOnly": true}}}`)
	for name, c := range map[string]struct {
		config string
		err    error
		code   codes.Code
		text   string
	}{
		"good":        {`{"endpoint": "e", "token": "t0ken t0ken"}`, nil, codes.OK, ""},
		"schema":      {`{}`, errors.New("not called"), codes.InvalidArgument, "/endpoint: missing"},
		"unknown key": {`{"endpoint": "e", "x": 1}`, nil, codes.InvalidArgument, "/x"},
		"invalid":     {`{"endpoint": "e"}`, plugin.InvalidInput("/endpoint", "no URL"), codes.InvalidArgument, "/endpoint: no URL"},
		"unavailable": {`{"endpoint": "e"}`, plugin.Unavailable(0, "down").WithDetail("refused"), codes.Unavailable, "down (refused)"},
		"foreign":     {`{"endpoint": "e", "token": "t0ken t0ken"}`, errors.New("dial with t0ken t0ken"), codes.Unavailable, "dial with (secret)"},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, d, configurable{configure: func(_ context.Context, r *plugin.ConfigureRequest) error {
				var config struct{ Endpoint, Token string }
				if err := r.Config.Decode(&config); err != nil {
					return err
				}
				if r.Backend != "b" || r.DataDirectory != "/d" {
					return errors.New("backend and directory did not arrive")
				}
				r.SetIsolated(true)
				return c.err
			}})
			in := &pluginpb.ConfigureRequest{Backend: "b", Config: []byte(c.config), DataDirectory: "/d"}
			got, err := client.Configure(t.Context(), in)
			if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.text) {
				t.Fatalf("got %v; expected %v with %q", err, c.code, c.text)
			}
			_, verb := events(client.Provision(t.Context(), request(`{}`)))
			if c.code != codes.OK {
				if status.Code(verb) != codes.FailedPrecondition {
					t.Errorf("a verb of a plugin that is not configured: %v", verb)
				}
				return
			}
			if !got.GetIsolated() || verb != nil {
				t.Errorf("got %v; then %v", got, verb)
			}
			if _, err := client.Configure(t.Context(), in); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("a second time: %v", err)
			}
		})
	}
}

// A plugin without configuration takes none.
func TestConfigureNothing(t *testing.T) {
	client, _ := serve(t, description(), author{})
	if _, err := client.Configure(t.Context(), &pluginpb.ConfigureRequest{Config: []byte(`{"a": 1}`)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
	if got, err := client.Configure(t.Context(), &pluginpb.ConfigureRequest{}); err != nil || got.Isolated != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// Describe repeats what the author said.
func TestDescribe(t *testing.T) {
	d := description()
	d.MaxConcurrency, d.SerializeInstance, d.Isolated, d.RequiresConfiguration = 7, true, true, true
	client, _ := serve(t, d, author{})
	got, err := client.Describe(t.Context(), &pluginpb.DescribeRequest{})
	want := &pluginpb.DescribeResponse{
		Name: "test", Version: "1.2.0", ProvisionInputsSchema: d.ProvisionInputs, BindInputsSchema: d.BindInputs,
		InstanceOutputsSchema: d.InstanceOutputs, BindingOutputsSchema: d.BindingOutputs, MaxConcurrency: 7,
		SerializeInstance: true, Isolated: true, RequiresConfiguration: true, ReadsVersions: []string{"1."},
	}
	if err != nil || !proto.Equal(want, got) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got, protocmp.Transform()))
	}
	if _, err := client.Health(t.Context(), &pluginpb.HealthRequest{}); err != nil {
		t.Errorf("Health: %v", err)
	}
}

// A wrong description is refused with everything that is wrong.
func TestWrongDescription(t *testing.T) {
	_, err := plugin.NewServer(plugin.ServeConfig{Description: plugin.Description{
		Name: "Not A Name", Version: "v1", MaxConcurrency: -1, Config: json.RawMessage(`{}`),
		ProvisionInputs: json.RawMessage(`{"type": 12}`), BindInputs: json.RawMessage(`{`), InstanceOutputs: json.RawMessage(`[]`),
		BindingOutputs: json.RawMessage(`{"$ref": "https://schemas.example.org/x"}`),
	}, Plugin: author{}}, io.Discard)
	for _, want := range []string{"Not A Name", `"v1"`, "MaxConcurrency", "no method Configure", "provision inputs", "bind inputs", "instance outputs", "binding outputs", "another document"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if _, err := plugin.NewServer(plugin.ServeConfig{Description: description()}, io.Discard); err == nil {
		t.Error("expected an error without a Plugin")
	}
}
