package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// configured gives the plugin over a fresh directory.
func configured(t *testing.T, config string) (*demo, string) {
	t.Helper()
	d, dir := &demo{}, t.TempDir()
	t.Cleanup(d.close)
	if err := d.Configure(t.Context(), &plugin.ConfigureRequest{Backend: "demo", Config: plugin.JSON(config), DataDirectory: dir}); err != nil {
		t.Fatal(err)
	}
	return d, dir
}

var fence int64

func instance(id, inputs string) *plugin.InstanceRequest {
	fence++
	return &plugin.InstanceRequest{InstanceID: id, OperationID: "op-" + strconv.FormatInt(fence, 10), Inputs: plugin.JSON(inputs), Fence: fence, Seed: make([]byte, 32)}
}

func bind(id, bindingID, inputs string) *plugin.BindingRequest {
	fence++
	return &plugin.BindingRequest{InstanceID: id, BindingID: bindingID, OperationID: "op-" + strconv.FormatInt(fence, 10), Inputs: plugin.JSON(inputs),
		Fence: fence, Seed: bytes.Repeat([]byte{byte(fence)}, 32)}
}

func must(t *testing.T, r plugin.Result, err error) plugin.Document {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return r.Outputs()
}

// mustBind binds and gives the outputs.
func mustBind(t *testing.T, d *demo, id, bindingID, inputs string) (out bindingOutputs) {
	t.Helper()
	r, err := d.Bind(t.Context(), bind(id, bindingID, inputs))
	if err := must(t, r, err).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Each code of the contract can be injected into each verb.
func TestFaults(t *testing.T) {
	for _, verb := range []string{"provision", "update", "deprovision", "bind", "unbind"} {
		for _, code := range []plugin.Code{plugin.CodeInvalidInput, plugin.CodeConflict, plugin.CodeNotFound, plugin.CodeUnavailable, plugin.CodeFailed} {
			t.Run(verb+" "+string(code), func(t *testing.T) {
				d, _ := configured(t, `{}`)
				if verb != "provision" {
					r, err := d.Provision(t.Context(), instance("i", `{}`))
					must(t, r, err)
				}
				fail := `{"fail": [{"verb": "` + verb + `", "code": "` + string(code) + `", "times": 2, "pointer": "/x", "instanceUsable": false, "updateRepeatable": false}]}`
				call := verbOf(d, verb, fail)
				for range 2 {
					_, err := call(t.Context())
					var e *plugin.Error
					if !errors.As(err, &e) || e.Code != code || *e.Usable || *e.Repeatable || (code == plugin.CodeInvalidInput) != (e.Pointer == "/x") {
						t.Fatalf("got %#v; expected %s", err, code)
					}
				}
				if _, err := call(t.Context()); err != nil {
					t.Errorf("a third call: %v", err)
				}
			})
		}
	}
}

// verbOf gives repeated calls of one operation.
func verbOf(d *demo, verb, inputs string) func(context.Context) (plugin.Result, error) {
	i, b := instance("i", inputs), bind("i", "b", inputs)
	switch verb {
	case "provision":
		return func(ctx context.Context) (plugin.Result, error) { return d.Provision(ctx, i) }
	case "update":
		return func(ctx context.Context) (plugin.Result, error) { return d.Update(ctx, i) }
	case "deprovision":
		return func(ctx context.Context) (plugin.Result, error) { return d.Deprovision(ctx, i) }
	case "bind":
		return func(ctx context.Context) (plugin.Result, error) { return d.Bind(ctx, b) }
	}
	return func(ctx context.Context) (plugin.Result, error) { return d.Unbind(ctx, b) }
}

// Failures of the instance's inputs hold for its bindings too; one after the work leaves its traces.
func TestFaultsOfTheInstance(t *testing.T) {
	d, _ := configured(t, `{}`)
	r, err := d.Provision(t.Context(), instance("i", `{}`))
	must(t, r, err)
	req := bind("i", "b", `{}`)
	req.Instance.Inputs = plugin.JSON(`{"fail": [{"verb": "bind", "code": "failed", "after": true, "message": "too late"}]}`)
	if _, err := d.Bind(t.Context(), req); err == nil || !strings.Contains(err.Error(), "too late") {
		t.Errorf("got %v", err)
	}
	rec, err := d.store.read(key("i"))
	if err != nil || len(rec.Bindings) != 1 {
		t.Errorf("got %+v, %v; expected the binding to be there", rec, err)
	}
}

// The record is what README.md says, and holds no password.
func TestRecord(t *testing.T) {
	d, dir := configured(t, `{}`)
	provision := instance("i", `{"name": "photos"}`)
	r, err := d.Provision(t.Context(), provision)
	must(t, r, err)
	out := mustBind(t, d, "i", "b", `{}`)
	raw, err := os.ReadFile(filepath.Join(dir, "instances", key("i")+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var got record
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := record{Format: 1, Plugin: version, InstanceID: "i", State: "ready", Name: "photos", Created: mark{provision.OperationID, provision.Fence}, Fence: fence,
		Inputs: got.Inputs, Data: map[string]string{}, Bindings: map[string]bindingRecord{
			"b": {Username: out.Username, PasswordSHA256: hash(out.Password), Access: "read-write", Created: mark{"op-" + strconv.FormatInt(fence, 10), fence}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var readme, keys map[string]any
	_, block, _ := strings.Cut(readFile(t, "README.md"), "```json\n")
	block, _, _ = strings.Cut(block, "```")
	if err := errors.Join(json.Unmarshal([]byte(block), &readme), json.Unmarshal(raw, &keys)); err != nil {
		t.Fatal(err)
	}
	for k := range keys {
		if _, ok := readme[k]; !ok {
			t.Errorf("README.md does not show the key %s", k)
		}
	}
	if bytes.Contains(raw, []byte(out.Password)) {
		t.Error("the record holds the password")
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// README.md names every key of every schema.
func TestReadme(t *testing.T) {
	text := readFile(t, "README.md")
	for _, schema := range [][]byte{configSchema, provisionSchema, bindSchema, instanceOutputsSchema, bindingOutputsSchema} {
		var s struct{ Properties map[string]any }
		if err := json.Unmarshal(schema, &s); err != nil {
			t.Fatal(err)
		}
		for name := range s.Properties {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("README.md does not name %s", name)
			}
		}
	}
}

// What changes nothing and what is refused.
func TestConflicts(t *testing.T) {
	d, _ := configured(t, `{}`)
	r, err := d.Provision(t.Context(), instance("a", `{"name": "photos", "onDelete": "refuse"}`))
	must(t, r, err)
	stale := instance("a", `{}`)
	stale.Fence = 0
	out := mustBind(t, d, "a", "b", `{}`)
	do(t, "PUT", out.URI+"x", "1")
	for name, c := range map[string]struct {
		why  string
		call func() (plugin.Result, error)
		want plugin.Code
	}{
		"name": {"taken by another instance", func() (plugin.Result, error) {
			return d.Provision(t.Context(), instance("b", `{"name": "photos"}`))
		}, plugin.CodeConflict},
		"not empty": {"onDelete is refuse", func() (plugin.Result, error) {
			return d.Deprovision(t.Context(), instance("a", `{"onDelete": "refuse"}`))
		}, plugin.CodeConflict},
		"check": {"says the same beforehand", func() (plugin.Result, error) {
			return plugin.Done(nil), d.Check(t.Context(), instance("a", `{"onDelete": "refuse"}`))
		}, plugin.CodeConflict},
		"overtaken": {"a lower fence undoes nothing", func() (plugin.Result, error) { return d.Deprovision(t.Context(), stale) }, plugin.CodeFailed},
		"gone":      {"bind of what was removed behind the broker", func() (plugin.Result, error) { return d.Bind(t.Context(), bind("c", "b", `{}`)) }, plugin.CodeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.call(); plugin.CodeOf(err) != c.want {
				t.Errorf("%s: got %v; expected %s", c.why, err, c.want)
			}
		})
	}
	if status, answer := do(t, "GET", out.URI+"x", ""); status != 200 || answer != "1" {
		t.Errorf("after all this: %d %q", status, answer)
	}
}

// The broker's side: pending, progress and a panic, through the SDK.
func TestEvents(t *testing.T) {
	d, _ := configured(t, `{}`)
	server, err := plugin.NewServer(plugin.ServeConfig{Description: plugin.Description{Name: "demo", Version: version,
		ProvisionInputs: provisionSchema, InstanceOutputs: instanceOutputsSchema}, Plugin: struct{ plugin.Plugin }{d}}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	pluginpb.RegisterPluginServer(g, server)
	served := make(chan struct{})
	go func() { defer close(served); _ = g.Serve(l) }()
	defer func() { g.Stop(); <-served }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, c := range map[string]struct{ inputs, want string }{
		"steps":        {`{"steps": 2, "retryAfter": "1s"}`, "pending step 1 of 2 1s"},
		"block":        {`{"steps": 2, "block": true}`, "progress step 1 of 2 33, progress step 2 of 2 66, done"},
		"panic":        {`{"fail": [{"verb": "provision", "code": "panic"}]}`, "error CODE_FAILED"},
		"bad duration": {`{"latency": "soon"}`, "error CODE_INVALID_INPUT /latency"},
	} {
		t.Run(name, func(t *testing.T) {
			stream, err := pluginpb.NewPluginClient(conn).Provision(t.Context(), &pluginpb.InstanceRequest{InstanceId: name, OperationId: "o", Inputs: []byte(c.inputs)})
			var got []string
			for err == nil {
				var e *pluginpb.Event
				if e, err = stream.Recv(); err == nil {
					got = append(got, describe(e))
				}
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("got %q; expected %q", s, c.want)
			}
		})
	}
}

func describe(e *pluginpb.Event) string {
	switch e := e.GetEvent().(type) {
	case *pluginpb.Event_Progress:
		return "progress " + e.Progress.GetText() + " " + strconv.Itoa(int(e.Progress.GetPercent()))
	case *pluginpb.Event_Pending:
		return "pending " + e.Pending.GetText() + " " + e.Pending.GetRetryAfter().AsDuration().String()
	case *pluginpb.Event_Error:
		return strings.TrimSpace("error " + e.Error.GetCode().String() + " " + e.Error.GetPointer())
	}
	return "done"
}
