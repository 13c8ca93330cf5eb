package pluginhost_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/chandler-broker/chandler/core"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

func inspectCall(t testing.TB, d do) core.InspectCall {
	t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return core.InspectCall{Backend: "test", InstanceID: "i-1", Secrets: []string{"s3cret-parameter"},
		Applied: core.Applied{Inputs: raw, Outputs: json.RawMessage(`{"password":"s3cret-output"}`)}}
}

func TestInspect(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{Inventory: true})
	b.start()
	ctx := context.Background()
	got, err := b.host.Inspect(ctx, inspectCall(t, do{Text: "s3cret-parameter, s3cret-output and a\x07bell"}))
	if err != nil {
		t.Fatal(err)
	}
	want := core.Inspection{Exists: true, Outputs: json.RawMessage(`{"password":"s3cret-output"}`)}
	if diff := cmp.Diff(want.Outputs, got.Outputs); diff != "" || !got.Exists || len(got.Drift) != 1 || got.Drift[0].Pointer != "/a" {
		t.Fatalf("got %+v", got)
	}
	if m := got.Drift[0].Message; strings.Contains(m, "s3cret") || !strings.HasSuffix(m, "and abell") {
		t.Errorf("the message is %q", m)
	}
	if got, err := b.host.Inspect(ctx, inspectCall(t, do{Do: "gone"})); err != nil || got.Exists || got.Outputs != nil {
		t.Errorf("of what is gone: %+v %v", got, err)
	}
	for name, tc := range map[string]struct {
		why    string
		do     do
		code   core.ErrorCode
		detail string
	}{
		"error in the details": {"it says more than a status", do{Do: "error", N: int(pluginpb.Error_CODE_CONFLICT), Text: "s3cret-parameter"}, core.CodeConflict, ""},
		"status unavailable":   {"plugins in other languages raise statuses", do{Do: "status", N: int(codes.Unavailable), Text: "down s3cret-output"}, core.CodeUnavailable, "down"},
		"status unimplemented": {"it announced what it does not have", do{Do: "status", N: int(codes.Unimplemented)}, core.CodeFailed, "Unimplemented"},
		"outputs no object":    {"outputs are objects", do{Do: "raw", Text: "[1]"}, core.CodeFailed, "must be a JSON object"},
		"too many differences": {"lists have bounds", do{Do: "many"}, core.CodeFailed, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.host.Inspect(ctx, inspectCall(t, tc.do))
			if e := wantError(t, err, tc.code); !strings.Contains(e.Detail, tc.detail) || strings.Contains(e.Error(), "s3cret") {
				t.Errorf("%s: %v", tc.why, e)
			}
		})
	}
	// Last, since what comes right after a death may still meet the dead process.
	if _, err := b.host.Inspect(ctx, inspectCall(t, do{Do: "die"})); core.CodeOf(err) != core.CodeUnavailable {
		t.Errorf("the process died in a question: %v", err)
	}
	huge := inspectCall(t, do{})
	huge.Applied.Outputs = json.RawMessage(`"` + strings.Repeat("x", pluginhost.MaxJSON) + `"`)
	if _, err := b.host.Inspect(ctx, huge); core.CodeOf(err) != core.CodeInvalid {
		t.Errorf("more than the contract allows: %v", err)
	}
}

func TestList(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{Inventory: true})
	b.start()
	ctx := context.Background()
	got, err := b.host.List(ctx, "test", "")
	if err != nil {
		t.Fatal(err)
	}
	want := core.FoundPage{Next: "next", Found: []core.Found{
		{Name: "photos", InstanceID: "i-1", Marked: true, Inputs: json.RawMessage(`{"bucket":"photos"}`), Attributes: json.RawMessage(`{"objects":3}`)},
		{Name: "bare"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for name, tc := range map[string]struct {
		why  string
		do   do
		code core.ErrorCode
	}{
		"a wrong token":     {"the plugin knows its tokens", do{Do: "error", N: int(pluginpb.Error_CODE_INVALID_INPUT), Text: "no such page"}, core.CodeInvalid},
		"too many things":   {"pages have bounds", do{Do: "many"}, core.CodeFailed},
		"inputs no object":  {"inputs are objects", do{Do: "raw", Text: "[1]"}, core.CodeFailed},
		"a token too long":  {"it goes into an address", do{Do: "token"}, core.CodeFailed},
		"an id that is not": {"ids are short", do{Do: "id"}, core.CodeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			page, _ := json.Marshal(tc.do) // a struct of texts and numbers
			if _, err := b.host.List(ctx, "test", string(page)); core.CodeOf(err) != tc.code {
				t.Errorf("%s: %v", tc.why, err)
			}
		})
	}
	if _, err := b.host.List(ctx, "none", ""); core.CodeOf(err) != core.CodeUnavailable {
		t.Errorf("an unknown backend: %v", err)
	}
}

// A question ends with its caller, and does not keep a slot.
func TestQuestionLimits(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{Inventory: true, MaxConcurrency: 1})
	b.start(pluginhost.BackendConfig{Name: "test", Plugin: "test", Limits: pluginhost.Limits{CallTimeout: 300 * time.Millisecond}})
	began := filepath.Join(b.state, "began")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := b.host.Inspect(ctx, inspectCall(t, do{Do: "wait", File: began}))
		done <- err
	}()
	until(t, "the question is asked", func() bool { return exists(began) })
	cancel()
	wantError(t, <-done, core.CodeCancelled)
	_, err := b.host.Inspect(context.Background(), inspectCall(t, do{Do: "wait"}))
	wantError(t, err, core.CodeUnavailable) // the backend's time-out
	b.ask("test", do{})
	if _, err := b.host.List(context.Background(), "test", ""); err != nil {
		t.Error(err)
	}
}

// Adopt goes the way of Provision: the same events, limits and cancellation.
func TestAdopt(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{Inventory: true})
	b.start()
	adopt := func(d do) core.Call {
		c := call("test", d)
		c.Verb = core.VerbAdopt
		return c
	}
	r, err := b.host.Call(context.Background(), adopt(do{Text: "mine"}), nil)
	if err != nil || decode(t, r).Text != "mine" {
		t.Fatalf("got %+v, %v", r, err)
	}
	b.fails(adopt(do{Do: "error", N: int(pluginpb.Error_CODE_CONFLICT), Text: "another's"}), core.CodeConflict)
	b.fails(adopt(do{Do: "raw", Text: `[1]`}), core.CodeFailed)
}

func TestWithoutInventory(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	ctx := context.Background()
	_, inspect := b.host.Inspect(ctx, inspectCall(t, do{}))
	_, list := b.host.List(ctx, "test", "")
	c := call("test", do{})
	c.Verb = core.VerbAdopt
	_, adopt := b.host.Call(ctx, c, nil)
	for verb, err := range map[string]error{"inspect": inspect, "list": list, "adopt": adopt} {
		if e := wantError(t, err, core.CodeUnprocessable); e.Message != `The plugin of the backend "test" cannot `+verb+"." {
			t.Errorf("%s: %v", verb, e)
		}
	}
}
