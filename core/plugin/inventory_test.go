package plugin_test

import (
	"context"
	"fmt"
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

// stocktaker is a plugin with the optional parts of an inventory.
type stocktaker struct {
	author
	inspect func(context.Context, *plugin.InspectRequest) (plugin.Inspection, error)
	list    func(context.Context, *plugin.ListRequest) (plugin.Page, error)
	adopt   func(context.Context, *plugin.InstanceRequest) (plugin.Result, error)
}

func (s stocktaker) Inspect(ctx context.Context, r *plugin.InspectRequest) (plugin.Inspection, error) {
	return s.inspect(ctx, r)
}
func (s stocktaker) List(ctx context.Context, r *plugin.ListRequest) (plugin.Page, error) {
	return s.list(ctx, r)
}
func (s stocktaker) Adopt(ctx context.Context, r *plugin.InstanceRequest) (plugin.Result, error) {
	return s.adopt(ctx, r)
}

func TestInventoryCapabilities(t *testing.T) {
	client, _ := serve(t, description(), stocktaker{})
	d, err := client.Describe(t.Context(), &pluginpb.DescribeRequest{})
	if err != nil || !cmp.Equal(d.GetCapabilities(), []string{"inspect", "list", "adopt"}) {
		t.Errorf("got %v, %v", d, err)
	}
	client, _ = serve(t, description(), author{})
	_, inspect := client.Inspect(t.Context(), &pluginpb.InspectRequest{InstanceId: "i"})
	_, list := client.List(t.Context(), &pluginpb.ListRequest{})
	_, adopt := events(client.Adopt(t.Context(), request(good)))
	for _, err := range []error{inspect, list, adopt} {
		if status.Code(err) != codes.Unimplemented {
			t.Errorf("without the capability: %v", err)
		}
	}
}

func TestInspect(t *testing.T) {
	applied := &pluginpb.Applied{Inputs: []byte(`{"bucket":"photos","adminPassword":"s3cret-input"}`), Outputs: []byte(`{"rootKey":"s3cret-output"}`)}
	for name, tc := range map[string]struct {
		why    string
		answer func(*plugin.InspectRequest) (plugin.Inspection, error)
		want   *pluginpb.InspectResponse
		code   codes.Code
		detail pluginpb.Error_Code
		warned bool
	}{
		"all is well": {
			why: "the request says what was applied",
			answer: func(r *plugin.InspectRequest) (plugin.Inspection, error) {
				return plugin.Inspection{Exists: true, Outputs: map[string]string{"host": r.InstanceID}}, nil
			},
			want: &pluginpb.InspectResponse{Exists: true, Outputs: []byte(`{"host":"instance-1"}`)},
		},
		"gone": {
			why: "what does not exist has no outputs",
			answer: func(*plugin.InspectRequest) (plugin.Inspection, error) {
				return plugin.Inspection{Outputs: "ignored"}, nil
			},
			want: &pluginpb.InspectResponse{},
		},
		"drift": {
			why: "declared secrets of what was applied are not told",
			answer: func(r *plugin.InspectRequest) (plugin.Inspection, error) {
				return plugin.Inspection{Exists: true, Drift: []plugin.Drift{{Pointer: "/adminPassword", Message: "s3cret-input and s3cret-output are wrong"}}}, nil
			},
			want: &pluginpb.InspectResponse{Exists: true, Outputs: []byte(`{}`),
				Drift: []*pluginpb.Drift{{Pointer: "/adminPassword", Message: "(secret) and (secret) are wrong"}}},
		},
		"outputs against the schema": {
			why: "they are only logged, as those of a verb",
			answer: func(*plugin.InspectRequest) (plugin.Inspection, error) {
				return plugin.Inspection{Exists: true, Outputs: map[string]int{"host": 1}}, nil
			},
			want: &pluginpb.InspectResponse{Exists: true, Outputs: []byte(`{"host":1}`)}, warned: true,
		},
		"outputs that are no object": {
			why: "the contract has objects only",
			answer: func(*plugin.InspectRequest) (plugin.Inspection, error) {
				return plugin.Inspection{Exists: true, Outputs: 1}, nil
			},
			code: codes.Internal, detail: pluginpb.Error_CODE_FAILED,
		},
		"unavailable": {
			why: "the author's error is in the details",
			answer: func(*plugin.InspectRequest) (plugin.Inspection, error) {
				return plugin.Inspection{}, plugin.Unavailable(0, "The backend sleeps.")
			},
			code: codes.Unavailable, detail: pluginpb.Error_CODE_UNAVAILABLE,
		},
		"panic": {
			why:    "a mistake of the author does not end the process",
			answer: func(*plugin.InspectRequest) (plugin.Inspection, error) { panic("s3cret-output") },
			code:   codes.Internal, detail: pluginpb.Error_CODE_FAILED,
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, log := serve(t, description(), stocktaker{inspect: func(_ context.Context, r *plugin.InspectRequest) (plugin.Inspection, error) {
				if string(r.Applied.Inputs.Raw()) != string(applied.Inputs) {
					t.Errorf("the request is %+v", r)
				}
				return tc.answer(r)
			}})
			got, err := client.Inspect(t.Context(), &pluginpb.InspectRequest{InstanceId: "instance-1", Applied: applied})
			fails(t, tc.why, err, tc.code, tc.detail)
			if diff := cmp.Diff(tc.want, got, protocmp.Transform()); tc.code == codes.OK && diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
			if warned := strings.Contains(log.String(), "do not satisfy"); warned != tc.warned || strings.Contains(log.String(), "s3cret") {
				t.Errorf("the log is %s", log)
			}
		})
	}
	client, _ := serve(t, description(), stocktaker{})
	if _, err := client.Inspect(t.Context(), &pluginpb.InspectRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("without an id: %v", err)
	}
}

// fails checks the status of a question and the Error in its details.
func fails(t *testing.T, why string, err error, code codes.Code, detail pluginpb.Error_Code) {
	t.Helper()
	s := status.Convert(err)
	if s.Code() != code {
		t.Fatalf("%s: the status is %v", why, err)
	}
	if detail == pluginpb.Error_CODE_UNSPECIFIED {
		return
	}
	if len(s.Details()) != 1 {
		t.Fatalf("%s: the details are %v", why, s.Details())
	}
	if e, ok := s.Details()[0].(*pluginpb.Error); !ok || e.GetCode() != detail || e.GetMessage() != s.Message() {
		t.Errorf("%s: the details are %v", why, s.Details())
	}
}

func TestList(t *testing.T) {
	things := func(n int) []plugin.Found {
		var list []plugin.Found
		for i := range n {
			list = append(list, plugin.Found{Name: fmt.Sprint(i)})
		}
		return list
	}
	for name, tc := range map[string]struct {
		why    string
		page   plugin.Page
		err    error
		want   proto.Message
		code   codes.Code
		detail pluginpb.Error_Code
	}{
		"a page": {
			why: "an instance id is a mark; inputs and attributes are objects",
			page: plugin.Page{Next: "more", Found: []plugin.Found{
				{Name: "photos", InstanceID: "i", Inputs: map[string]string{"bucket": "photos"}, Attributes: map[string]any{"objects": 3}},
				{Name: "films", Marked: true}, {Name: "nobody's"}}},
			want: &pluginpb.ListResponse{NextPageToken: "more", Found: []*pluginpb.Found{
				{Name: "photos", InstanceId: "i", Marked: true, Inputs: []byte(`{"bucket":"photos"}`), Attributes: []byte(`{"objects":3}`)},
				{Name: "films", Marked: true}, {Name: "nobody's"}}},
		},
		"nothing":        {why: "an empty page can be the last one", want: &pluginpb.ListResponse{}},
		"too many":       {why: "a page has bounds", page: plugin.Page{Found: things(plugin.MaxPage + 1)}, code: codes.Internal, detail: pluginpb.Error_CODE_FAILED},
		"a long token":   {why: "a token has bounds", page: plugin.Page{Next: strings.Repeat("x", plugin.MaxPageToken+1)}, code: codes.Internal, detail: pluginpb.Error_CODE_FAILED},
		"no object":      {why: "inputs are an object", page: plugin.Page{Found: []plugin.Found{{Inputs: "photos"}}}, code: codes.Internal, detail: pluginpb.Error_CODE_FAILED},
		"a wrong token":  {why: "the author refuses it", err: plugin.InvalidInput("", "There is no such page."), code: codes.InvalidArgument, detail: pluginpb.Error_CODE_INVALID_INPUT},
		"another error":  {why: "its text is for operators only", err: fmt.Errorf("dial"), code: codes.Internal, detail: pluginpb.Error_CODE_FAILED},
		"not configured": {why: "questions need a configuration, as verbs do", code: codes.FailedPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			var p plugin.Plugin = stocktaker{list: func(_ context.Context, r *plugin.ListRequest) (plugin.Page, error) {
				if r.PageToken != "token" || r.PageSize != plugin.MaxPage {
					t.Errorf("the request is %+v", r)
				}
				return tc.page, tc.err
			}}
			if name == "not configured" {
				p = struct {
					stocktaker
					plugin.Configurer
				}{}
			}
			client, _ := serve(t, description(), p)
			got, err := client.List(t.Context(), &pluginpb.ListRequest{PageToken: "token", PageSize: 1 << 30})
			fails(t, tc.why, err, tc.code, tc.detail)
			if diff := cmp.Diff(tc.want, proto.Message(got), protocmp.Transform()); tc.code == codes.OK && diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.why, diff)
			}
		})
	}
}

// TestAdopt: it is a verb with the checks of Provision.
func TestAdopt(t *testing.T) {
	client, _ := serve(t, description(), stocktaker{adopt: func(_ context.Context, r *plugin.InstanceRequest) (plugin.Result, error) {
		r.Progress("looking", -1)
		if r.Handle.Empty() {
			return plugin.Pending("found", 0, ""), nil
		}
		return plugin.Done(map[string]string{"host": "h"}), nil
	}})
	got, err := events(client.Adopt(t.Context(), request(good)))
	if err != nil || len(got) != 2 || got[1].GetPending() == nil {
		t.Fatalf("got %v, %v", got, err)
	}
	in := request(good)
	in.Handle = got[1].GetPending().GetHandle()
	in.Attempted = []*pluginpb.Attempt{{OperationId: "before", Verb: "adopt"}}
	if got, err = events(client.Adopt(t.Context(), in)); err != nil || string(got[1].GetDone().GetOutputs()) != `{"host":"h"}` {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = events(client.Adopt(t.Context(), request(`{"bucket": 1}`)))
	if err != nil || got[0].GetError().GetCode() != pluginpb.Error_CODE_INVALID_INPUT || got[0].GetError().GetPointer() != "/bucket" {
		t.Errorf("inputs against the schema: %v, %v", got, err)
	}
}
