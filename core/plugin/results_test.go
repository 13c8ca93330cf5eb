package plugin_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// What an author returns, as it looks on the wire.
func TestResults(t *testing.T) {
	done := func(d *pluginpb.Done) *pluginpb.Event { return &pluginpb.Event{Event: &pluginpb.Event_Done{Done: d}} }
	failure := func(e *pluginpb.Error) *pluginpb.Event {
		return &pluginpb.Event{Event: &pluginpb.Event_Error{Error: e}}
	}
	for name, c := range map[string]struct {
		why    string
		result plugin.Result
		err    error
		want   *pluginpb.Event
	}{
		"done": {
			why:    "with everything that a done can carry",
			result: plugin.Done(map[string]any{"host": "h"}, plugin.WithDashboardURL("https://d"), plugin.WithLabels(map[string]any{"a": 1}), plugin.WithAttributes(map[string]any{"b": true})),
			want:   done(&pluginpb.Done{Outputs: []byte(`{"host":"h"}`), Labels: []byte(`{"a":1}`), Attributes: []byte(`{"b":true}`), DashboardUrl: "https://d"}),
		},
		"no outputs": {
			why: "the contract wants an object", result: plugin.Done(nil), want: done(&pluginpb.Done{Outputs: []byte(`{}`)}),
		},
		"pending": {
			why:    "the handle carries the plugin's version",
			result: plugin.Pending(map[string]string{"job": "7"}, 2*time.Second, "waiting"),
			want: &pluginpb.Event{Event: &pluginpb.Event_Pending{Pending: &pluginpb.Pending{
				Handle: []byte(`{"plugin":"1.2.0","handle":{"job":"7"}}`), RetryAfter: durationpb.New(2 * time.Second), Text: "waiting"}}},
		},
		"invalid input": {
			why: "the pointer arrives", err: plugin.InvalidInput("/bucket", "no %s", "good"),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_INVALID_INPUT, Message: "no good", Pointer: "/bucket"}),
		},
		"conflict": {
			why: "detail is apart from message", err: plugin.Conflict("taken").WithDetail("by %d", 7),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_CONFLICT, Message: "taken", Detail: "by 7"}),
		},
		"not found": {
			why: "a cause is for the operator", err: plugin.NotFound("no pool").WithCause(errors.New("404")),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_NOT_FOUND, Message: "no pool", Detail: "404"}),
		},
		"unavailable": {
			why: "with a time for the next call", err: plugin.Unavailable(time.Minute, "later"),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_UNAVAILABLE, Message: "later", RetryAfter: durationpb.New(time.Minute)}),
		},
		"failed": {
			why: "OSB's two flags", err: plugin.Failed("broken").InstanceUsable(false).UpdateRepeatable(false),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_FAILED, Message: "broken", InstanceUsable: new(false), UpdateRepeatable: new(false)}),
		},
		"wrapped": {
			why: "an Error is found inside of others", err: fmt.Errorf("while looking: %w", plugin.Conflict("taken")),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_CONFLICT, Message: "taken"}),
		},
		"foreign error": {
			why: "its text may hold anything, so the user does not see it", err: errors.New("dial 10.0.0.1: refused"),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_FAILED, Message: "The provision failed at the backend.", Detail: "dial 10.0.0.1: refused"}),
		},
		"outputs too large": {
			why: "1 MiB is the limit", result: plugin.Done(map[string]string{"host": strings.Repeat("x", plugin.MaxDocument)}),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_FAILED, Message: "The plugin gave a result that the broker cannot take.",
				Detail: "the outputs are 1048587 bytes; at most 1048576 are allowed"}),
		},
		"outputs no object": {
			why: "templates read names", result: plugin.Done([]int{1}),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_FAILED, Message: "The plugin gave a result that the broker cannot take.",
				Detail: "the outputs must be a JSON object, not a list"}),
		},
		"handle too large": {
			why: "1 MiB is the limit, version included", result: plugin.Pending(strings.Repeat("x", plugin.MaxDocument-2), 0, ""),
			want: failure(&pluginpb.Error{Code: pluginpb.Error_CODE_FAILED, Message: "The plugin gave a result that the broker cannot take.",
				Detail: "the handle is 1048604 bytes; at most 1048576 are allowed"}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := serve(t, description(), author{instance: func(context.Context, *plugin.InstanceRequest) (plugin.Result, error) {
				return c.result, c.err
			}})
			got, err := events(client.Provision(t.Context(), request(good)))
			if diff := cmp.Diff([]*pluginpb.Event{c.want}, got, protocmp.Transform()); err != nil || diff != "" {
				t.Errorf("%s: %v\n%s", c.why, err, diff)
			}
		})
	}
}

// it could make a thing twice.
func TestHandleVersions(t *testing.T) {
	for name, c := range map[string]struct {
		reads  []string
		handle string
		want   pluginpb.Error_Code // 0: done
	}{
		"own":               {nil, `{"plugin":"1.2.0","handle":1}`, 0},
		"same major":        {nil, `{"plugin":"1.9.0","handle":1}`, 0},
		"other major":       {nil, `{"plugin":"2.0.0","handle":1}`, pluginpb.Error_CODE_UNAVAILABLE},
		"listed":            {[]string{"0.9."}, `{"plugin":"0.9.7","handle":1}`, 0},
		"not listed":        {[]string{"0.9."}, `{"plugin":"1.1.0","handle":1}`, pluginpb.Error_CODE_UNAVAILABLE},
		"not of the plugin": {nil, `job 7`, pluginpb.Error_CODE_FAILED},
	} {
		t.Run(name, func(t *testing.T) {
			d := description()
			d.ReadsVersions = c.reads
			client, _ := serve(t, d, author{instance: func(context.Context, *plugin.InstanceRequest) (plugin.Result, error) {
				return plugin.Done(nil), nil
			}})
			in := request(good)
			in.Handle = []byte(c.handle)
			got, err := events(client.Provision(t.Context(), in))
			if err != nil || got[0].GetError().GetCode() != c.want {
				t.Errorf("got %v, %v; expected %v", got, err, c.want)
			}
		})
	}
}

// Outputs against the schema are found by plugintest; in service they are only logged, without values.
func TestOutputsAgainstSchema(t *testing.T) {
	client, l := serve(t, description(), author{binding: func(context.Context, *plugin.BindingRequest) (plugin.Result, error) {
		return plugin.Done(map[string]any{"user": 5, "password": "a secret word"}), nil
	}})
	got, err := events(client.Bind(t.Context(), bindRequest(`{}`)))
	if err != nil || got[0].GetDone() == nil {
		t.Errorf("got %v, %v", got, err)
	}
	if !strings.Contains(l.String(), "/user") || strings.Contains(l.String(), "a secret word") {
		t.Errorf("log: %s", l)
	}
}
