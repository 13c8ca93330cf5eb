package plugin_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// A panic of the author's code fails the call and nothing else; the stack is in the log only.
func TestPanic(t *testing.T) {
	panics := true
	client, l := serve(t, description(), author{instance: func(context.Context, *plugin.InstanceRequest) (plugin.Result, error) {
		if panics {
			panic("nil map")
		}
		return plugin.Done(nil), nil
	}})
	got, err := events(client.Provision(t.Context(), request(good)))
	if e := got[0].GetError(); err != nil || e.GetCode() != pluginpb.Error_CODE_FAILED || strings.Contains(e.GetMessage(), "nil map") ||
		e.GetDetail() != "panic: nil map" {
		t.Errorf("got %v, %v", got, err)
	}
	if !strings.Contains(l.String(), "server_test.go") || !strings.Contains(l.String(), `"instance_id":"instance-1"`) {
		t.Errorf("the stack and the instance are not in the log: %s", l)
	}
	panics = false
	if got, err := events(client.Provision(t.Context(), request(good))); err != nil || got[0].GetDone() == nil {
		t.Errorf("after the panic: %v, %v", got, err)
	}
}

// Declared secrets, and those that the SDK made, are in no log, text or error.
func TestSecretsAreHidden(t *testing.T) {
	var made string
	client, l := serve(t, description(), author{binding: func(ctx context.Context, r *plugin.BindingRequest) (plugin.Result, error) {
		made = r.Secret("password", 24)
		r.Hide("backend made this")
		all := made + ", root\"key root\"key, backend made this, admin admin admin"
		plugin.Logger(ctx).Info("working with "+all, "all", all)
		r.Progress("made "+all, 250)
		return plugin.Result{}, plugin.Failed("%s", all).WithDetail("%s", all)
	}})
	in := bindRequest(`{}`)
	in.Instance = &pluginpb.Applied{Inputs: []byte(`{"adminPassword": "admin admin admin"}`), Outputs: []byte(`{"rootKey": "root\"key root\"key"}`)}
	got, err := events(client.Bind(t.Context(), in))
	if err != nil || len(got) != 2 || got[0].GetProgress().GetPercent() != 100 {
		t.Fatalf("got %v, %v", got, err)
	}
	const want = "(secret), (secret), (secret), (secret)"
	for _, text := range []string{got[0].GetProgress().GetText(), got[1].GetError().GetMessage(), got[1].GetError().GetDetail(), l.String()} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not contain %q", text, want)
		}
	}
	line := l.String()
	for _, part := range []string{`"@message":"working with `, `"instance_id":"instance-1"`, `"binding_id":"binding-1"`, `"operation_id":"operation-1"`, `"verb":"bind"`} {
		if !strings.Contains(line, part) {
			t.Errorf("the log lacks %s: %s", part, line)
		}
	}
}

// has begun, and never when the id is another one's.
func TestCancel(t *testing.T) {
	started := make(chan struct{}, 1)
	client, _ := serve(t, description(), author{instance: func(ctx context.Context, r *plugin.InstanceRequest) (plugin.Result, error) {
		started <- struct{}{}
		<-ctx.Done()
		if r.OperationID == "own words" {
			return plugin.Result{}, plugin.Failed("stopped half-way").InstanceUsable(false)
		}
		return plugin.Result{}, ctx.Err()
	}})
	cancel := func(id string) {
		if _, err := client.Cancel(t.Context(), &pluginpb.CancelRequest{CallId: id}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("running", func(t *testing.T) {
		stream, err := client.Provision(t.Context(), request(good))
		<-started
		cancel("another one's")
		cancel("call-1")
		if got, err := events(stream, err); len(got) != 0 || status.Code(err) != codes.Canceled {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("not begun", func(t *testing.T) {
		in := request(good)
		in.CallId = "call-2"
		cancel("call-2")
		got, err := events(client.Provision(t.Context(), in))
		<-started
		if len(got) != 0 || status.Code(err) != codes.Canceled {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("with the author's own words", func(t *testing.T) {
		in := request(good)
		in.CallId, in.OperationId = "call-3", "own words"
		stream, err := client.Provision(t.Context(), in)
		<-started
		cancel("call-3")
		if got, err := events(stream, err); err != nil || got[0].GetError().GetMessage() != "stopped half-way" {
			t.Errorf("got %v, %v", got, err)
		}
	})
	t.Run("broken connection", func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		stream, err := client.Provision(ctx, request(good))
		<-started
		end()
		if _, err := events(stream, err); status.Code(err) != codes.Canceled {
			t.Errorf("got %v", err)
		}
	})
}

// Check is a method of its own, so that it cannot have an effect by mistake.
func TestCheck(t *testing.T) {
	in := request(good)
	in.Check = true
	client, _ := serve(t, description(), checking{author{}, func(_ context.Context, r *plugin.InstanceRequest) error {
		return plugin.Conflict("%s is not empty", r.InstanceID)
	}})
	got, err := events(client.Deprovision(t.Context(), in))
	if err != nil || got[0].GetError().GetMessage() != "instance-1 is not empty" {
		t.Errorf("got %v, %v", got, err)
	}
	d, err := client.Describe(t.Context(), &pluginpb.DescribeRequest{})
	if err != nil || !cmp.Equal(d.GetCapabilities(), []string{"check"}) {
		t.Errorf("got %v, %v", d, err)
	}
	client, _ = serve(t, description(), author{})
	if _, err := events(client.Deprovision(t.Context(), in)); status.Code(err) != codes.Unimplemented {
		t.Errorf("without the capability: %v", err)
	}
}
