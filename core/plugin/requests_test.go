package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// Inputs that the schema refuses never reach the author.
func TestInputs(t *testing.T) {
	never := author{
		instance: func(context.Context, *plugin.InstanceRequest) (plugin.Result, error) {
			return plugin.Done(nil), errors.New("called")
		},
		binding: func(context.Context, *plugin.BindingRequest) (plugin.Result, error) {
			return plugin.Done(nil), errors.New("called")
		},
	}
	client, _ := serve(t, description(), never)
	for name, c := range map[string]struct{ inputs, pointer, message string }{
		"missing":      {`{}`, "/bucket", "/bucket: missing"},
		"empty":        {``, "/bucket", "/bucket: missing"},
		"unknown":      {`{"bucket": "abc", "a/b": 1}`, "/a~1b", "not known here"},
		"nested":       {`{"bucket": "abc", "quota": {"max": "x"}}`, "/quota/max", "got string, want integer"},
		"all at once":  {`{"x": 1, "y": 2}`, "/bucket", "/bucket: missing; /x: not known here; /y: not known here"},
		"no JSON":      {`{`, "", "no JSON"},
		"too large":    {`{"bucket": "` + strings.Repeat("x", plugin.MaxDocument) + `"}`, "", "at most 1048576"},
		"secret value": {`{"bucket": "abc", "adminPassword": {"x": "hunter2hunter2"}}`, "/adminPassword", "got object"},
	} {
		t.Run(name, func(t *testing.T) {
			for verb, call := range map[string]func(context.Context, *pluginpb.InstanceRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[pluginpb.Event], error){
				"provision": client.Provision, "update": client.Update,
			} {
				got, err := events(call(t.Context(), request(c.inputs)))
				if err != nil || len(got) != 1 {
					t.Fatalf("%s: %v, %v", verb, got, err)
				}
				e := got[0].GetError()
				if e.GetCode() != pluginpb.Error_CODE_INVALID_INPUT || e.GetPointer() != c.pointer || !strings.Contains(e.GetMessage(), c.message) {
					t.Errorf("%s: got %v; expected %q at %q", verb, e, c.message, c.pointer)
				}
				if strings.Contains(e.String(), "hunter2") {
					t.Errorf("%s: a secret is in %v", verb, e)
				}
			}
		})
	}
	got, err := events(client.Bind(t.Context(), bindRequest(`{"access": "all"}`)))
	if err != nil || got[0].GetError().GetPointer() != "/access" {
		t.Errorf("bind: got %v, %v", got, err)
	}
}

// What removes takes inputs of any version: an old instance must not become undeletable.
func TestInputsOfRemovals(t *testing.T) {
	client, _ := serve(t, description(), author{
		instance: func(_ context.Context, r *plugin.InstanceRequest) (plugin.Result, error) {
			var in struct{ Bucket string }
			return plugin.Done(nil, plugin.WithLeft("logs of "+r.InstanceID)), r.Inputs.Decode(&in)
		},
		binding: func(_ context.Context, r *plugin.BindingRequest) (plugin.Result, error) {
			var in struct{ Access string }
			return plugin.Done(nil), r.Inputs.Decode(&in)
		},
	})
	got, err := events(client.Deprovision(t.Context(), request(`{"key": "of another version"}`)))
	want := []*pluginpb.Event{{Event: &pluginpb.Event_Done{Done: &pluginpb.Done{Left: []string{"logs of instance-1"}}}}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("deprovision: %v\n%s", err, diff)
	}
	got, err = events(client.Unbind(t.Context(), bindRequest(`{"key": "of another version"}`)))
	want = []*pluginpb.Event{{Event: &pluginpb.Event_Done{Done: &pluginpb.Done{}}}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("unbind: %v\n%s", err, diff)
	}
}

// Everything of a request arrives at the author.
func TestRequests(t *testing.T) {
	type seen struct {
		Instance, Binding, Operation, Bucket, Host, User, Job, Version, Verb, Attempt string
		Outputs                                                                       string // versions
		Fence                                                                         int64
		Seed                                                                          int
	}
	var got seen
	decode := func(errs ...error) error { return errors.Join(errs...) }
	client, _ := serve(t, description(), author{
		instance: func(_ context.Context, r *plugin.InstanceRequest) (plugin.Result, error) {
			var in, out, attempt, handle map[string]any
			err := decode(r.Applied.Inputs.Decode(&in), r.Applied.Outputs.Decode(&out), r.Handle.Decode(&handle), r.Attempted[0].Handle.Decode(&attempt))
			got = seen{Instance: r.InstanceID, Operation: r.OperationID, Bucket: fmt.Sprint(in["bucket"]), Host: fmt.Sprint(out["host"]),
				Job: fmt.Sprint(handle["job"]), Version: r.Handle.Version, Verb: r.Attempted[0].Verb, Attempt: fmt.Sprint(attempt["job"]),
				Fence: r.Fence, Seed: len(r.Seed), Outputs: r.Applied.Version}
			return plugin.Done(nil), err
		},
		binding: func(_ context.Context, r *plugin.BindingRequest) (plugin.Result, error) {
			var in, out, user map[string]any
			err := decode(r.Instance.Inputs.Decode(&in), r.Instance.Outputs.Decode(&out), r.Applied.Outputs.Decode(&user))
			got = seen{Instance: r.InstanceID, Binding: r.BindingID, Operation: r.OperationID, Bucket: fmt.Sprint(in["bucket"]),
				Host: fmt.Sprint(out["host"]), User: fmt.Sprint(user["user"]), Fence: r.Fence, Seed: len(r.Seed),
				Outputs: r.Instance.Version + " " + r.Applied.Version}
			return plugin.Done(nil), err
		},
	})
	applied := &pluginpb.Applied{Inputs: []byte(`{"bucket": "old"}`), Outputs: []byte(`{"host": "h"}`), PluginVersion: "1.0.2"}
	handle := []byte(`{"plugin":"1.0.3","handle":{"job":7}}`)
	in := request(good)
	in.Applied, in.Handle = applied, handle
	in.Attempted = []*pluginpb.Attempt{{OperationId: "o", Verb: "update", Inputs: []byte(good), Handle: handle}}
	if e, err := events(client.Update(t.Context(), in)); err != nil || e[0].GetDone() == nil {
		t.Fatalf("update: %v, %v", e, err)
	}
	if diff := cmp.Diff(seen{Instance: "instance-1", Operation: "operation-1", Bucket: "old", Host: "h", Job: "7", Version: "1.0.3",
		Verb: "update", Attempt: "7", Fence: 3, Seed: 32, Outputs: "1.0.2"}, got); diff != "" {
		t.Errorf("update:\n%s", diff)
	}
	bind := bindRequest(`{}`)
	bind.Instance, bind.Applied = applied, &pluginpb.Applied{Outputs: []byte(`{"user": "u"}`), PluginVersion: "1.0.1"}
	if e, err := events(client.Bind(t.Context(), bind)); err != nil || e[0].GetDone() == nil {
		t.Fatalf("bind: %v, %v", e, err)
	}
	if diff := cmp.Diff(seen{Instance: "instance-1", Binding: "binding-1", Operation: "operation-1", Bucket: "old", Host: "h", User: "u",
		Fence: 3, Seed: 32, Outputs: "1.0.2 1.0.1"}, got); diff != "" {
		t.Errorf("bind:\n%s", diff)
	}
}

// Requests that no broker may send are its mistake, not the user's.
func TestBrokenRequests(t *testing.T) {
	client, _ := serve(t, description(), author{})
	noInstance, badSeed, noBinding := request(good), request(good), bindRequest(`{}`)
	noInstance.InstanceId, badSeed.Seed, noBinding.BindingId = "", []byte("short"), ""
	for name, call := range map[string]func() ([]*pluginpb.Event, error){
		"no instance id": func() ([]*pluginpb.Event, error) { return events(client.Provision(t.Context(), noInstance)) },
		"wrong seed":     func() ([]*pluginpb.Event, error) { return events(client.Provision(t.Context(), badSeed)) },
		"no binding id":  func() ([]*pluginpb.Event, error) { return events(client.Bind(t.Context(), noBinding)) },
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := call(); status.Code(err) != codes.InvalidArgument {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
