package pluginhost_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/chandler-broker/chandler/core"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

func TestCallErrors(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	before := b.ask("test", do{}).Pid
	for _, c := range []struct {
		name, why  string
		do         do
		code       core.ErrorCode
		detail     string // part of it
		survives   bool   // the process
		violations []core.Violation
	}{
		{name: "invalid input", why: "the user can correct it: the pointer tells where", survives: true,
			do: do{Do: "error", N: int(pluginpb.Error_CODE_INVALID_INPUT), Text: "no such size"}, code: core.CodeInvalid, detail: "detail of no such size",
			violations: []core.Violation{{Pointer: "/bucket", Message: "no such size"}}},
		{name: "conflict", why: "a taken name", survives: true,
			do: do{Do: "error", N: int(pluginpb.Error_CODE_CONFLICT), Text: "taken"}, code: core.CodeConflict},
		{name: "not found", why: "something that the inputs name", survives: true,
			do: do{Do: "error", N: int(pluginpb.Error_CODE_NOT_FOUND), Text: "gone"}, code: core.CodeNotFound},
		{name: "unavailable", why: "core retries it", survives: true,
			do: do{Do: "error", N: int(pluginpb.Error_CODE_UNAVAILABLE), Text: "busy"}, code: core.CodeUnavailable},
		{name: "unspecified", why: "an author who forgot the code", survives: true,
			do: do{Do: "error", Text: "hm"}, code: core.CodeFailed},
		{name: "code of the future", why: "a plugin of a newer contract", survives: true,
			do: do{Do: "error", N: 99, Text: "hm"}, code: core.CodeFailed},
		{name: "status unavailable", why: "plugins in other languages raise statuses", survives: true,
			do: do{Do: "status", N: int(codes.Unavailable), Text: "down"}, code: core.CodeUnavailable, detail: "down"},
		{name: "status internal", why: "an uncaught exception", survives: true,
			do: do{Do: "status", N: int(codes.Internal), Text: "trace"}, code: core.CodeFailed, detail: "trace"},
		{name: "no result", why: "a stream that ends with nothing is no success", survives: true,
			do: do{Do: "nothing"}, code: core.CodeFailed, detail: "without a result"},
		{name: "outputs no JSON", why: "templates would read garbage", survives: true,
			do: do{Do: "raw", Text: `{"a":`}, code: core.CodeFailed, detail: "not valid JSON"},
		{name: "outputs no object", why: "outputs are objects", survives: true,
			do: do{Do: "raw", Text: `[1]`}, code: core.CodeFailed, detail: "must be a JSON object"},
		{name: "outputs too large", why: "semantics 6: at most 1 MiB", survives: true,
			do: do{Do: "big", N: pluginhost.MaxJSON + 1}, code: core.CodeFailed, detail: "at most 1048576"},
		{name: "panic", why: "the last words on stderr say why",
			do: do{Do: "panic", Text: "oh no"}, code: core.CodeUnavailable, detail: "panic: oh no"},
		{name: "exit", why: "exit status and last words are in the detail",
			do: do{Do: "die", Text: "I die"}, code: core.CodeUnavailable, detail: "exit status 7"},
		{name: "message beyond all bounds", why: "gRPC gives the stream up while the plugin goes on: only its death is an end",
			do: do{Do: "big", N: 20 << 20}, code: core.CodeUnavailable, detail: "stream of a call"},
		{name: "broken connection", why: "nobody can tell any more whether the call has returned",
			do: do{Do: "disconnect"}, code: core.CodeUnavailable},
		{name: "lingers after done", why: "the call has not returned until its handler has",
			do: do{Do: "linger"}, code: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := b.host.Call(context.Background(), call("test", c.do), nil)
			if core.CodeOf(err) != c.code {
				t.Fatalf("result %+v, error %v; want code %q: %s", r, err, c.code, c.why)
			}
			if err != nil {
				e := core.AsError(err)
				if !strings.Contains(e.Detail, c.detail) || e.Message == "" || !e.Backend {
					t.Errorf("error %+v; want %q in the detail: %s", e, c.detail, c.why)
				}
				if diff := cmp.Diff(c.violations, e.Violations); diff != "" {
					t.Error(diff)
				}
			}
			if now := b.askSoon("test").Pid; (now == before) != c.survives {
				t.Errorf("process %d, before %d; survives should be %v: %s", now, before, c.survives, c.why)
			} else {
				before = now
			}
		})
	}
}

// askSoon calls until the backend is available, as core does.
func (b *bed) askSoon(backend string) outputs {
	b.Helper()
	var o outputs
	until(b, backend+" answers", func() bool {
		r, err := b.host.Call(context.Background(), call(backend, do{}), nil)
		if err != nil {
			wantError(b, err, core.CodeUnavailable)
			return false
		}
		o = decode(b, r)
		return true
	})
	return o
}

func TestResults(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	t.Run("pending", func(t *testing.T) {
		r, err := b.host.Call(context.Background(), call("test", do{Do: "pending", Text: "handle", Ms: 1500}), nil)
		want := core.Result{Pending: &core.Pending{Handle: []byte("handle"), RetryAfter: 1500 * time.Millisecond, Text: "later"}, Version: "1.0.0"}
		if diff := cmp.Diff(want, r); diff != "" || err != nil {
			t.Error(err, diff)
		}
	})
	t.Run("the largest outputs", func(t *testing.T) {
		r, err := b.host.Call(context.Background(), call("test", do{Do: "big", N: pluginhost.MaxJSON}), nil)
		if err != nil || len(r.Outputs) != pluginhost.MaxJSON {
			t.Error(len(r.Outputs), err)
		}
	})
	t.Run("the first of two ends counts", func(t *testing.T) {
		r, err := b.host.Call(context.Background(), call("test", do{Do: "twice"}), nil)
		if err != nil || string(r.Outputs) != `{"n":1}` {
			t.Error(string(r.Outputs), err)
		}
	})
	t.Run("outputs of a deprovision are dropped", func(t *testing.T) {
		c := call("test", do{})
		c.Verb = core.VerbDeprovision
		r, err := b.host.Call(context.Background(), c, nil)
		if err != nil || r.Outputs != nil {
			t.Error(string(r.Outputs), err)
		}
	})
	t.Run("the plugin sees everything of the call", func(t *testing.T) {
		c := call("test", do{Do: "request"})
		c.Verb, c.BindingID, c.Handle, c.Fence = core.VerbBind, "b-1", []byte("the-handle"), 42
		c.Instance = core.Applied{Inputs: []byte(`{"x":1}`), Outputs: []byte(`{"y":2}`), Version: "0.9.0"}
		c.Attempted = []core.Attempt{{Operation: "op-0", Verb: core.VerbBind, Inputs: []byte(`{"z":3}`), Handle: []byte("old-handle")}}
		r, err := b.host.Call(context.Background(), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := decode(t, r).Request
		for _, want := range []string{`instance_id:"i-1"`, `binding_id:"b-1"`, `operation_id:"op-1"`, `fence:42`, `handle:"the-handle"`,
			`inputs:"{\"x\":1}"`, `outputs:"{\"y\":2}"`, `plugin_version:"0.9.0"`, `operation_id:"op-0"`, `handle:"old-handle"`, `verb:"bind"`, `call_id:`, `seed:`} {
			if !strings.Contains(strings.ReplaceAll(got, ":  ", ":"), want) {
				t.Errorf("the request lacks %s: %s", want, got)
			}
		}
	})
}

func TestRequestsBeyondTheContractAreNotSent(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	big := []byte(`{"a":"` + strings.Repeat("x", pluginhost.MaxJSON) + `"}`)
	for _, c := range []struct {
		name   string
		change func(*core.Call)
		code   core.ErrorCode
	}{
		{"inputs too large", func(c *core.Call) { c.Inputs = big }, core.CodeInvalid},
		{"inputs no object", func(c *core.Call) { c.Inputs = []byte(`"x"`) }, core.CodeFailed},
		{"applied outputs too large", func(c *core.Call) { c.Instance.Outputs = big }, core.CodeInvalid},
		{"attempt too large", func(c *core.Call) { c.Attempted = []core.Attempt{{Inputs: big}} }, core.CodeInvalid},
		{"handle too large", func(c *core.Call) { c.Handle = big }, core.CodeFailed},
		{"unknown verb", func(c *core.Call) { c.Verb = "dance" }, core.CodeFailed},
		{"unknown backend", func(c *core.Call) { c.Backend = "nobody" }, core.CodeUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := call("test", do{})
			c.change(&bad)
			b.fails(bad, c.code)
		})
	}
	if s := b.status("test"); s.Restarts != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestProgressIsThrottledAndTheLastOneArrives(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start()
	var got []string
	_, err := b.host.Call(context.Background(), call("test", do{Do: "progress", Text: "step", N: 200, Ms: 1}), func(p core.Progress) {
		got = append(got, p.Text)
		if p.Percent != -1 {
			t.Errorf("percent %d", p.Percent)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < 2 || len(got) > 100 || got[0] != "step 1" || got[len(got)-1] != "step 200" {
		t.Errorf("%d events: %v", len(got), got)
	}
}

func TestLimits(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{MaxConcurrency: 4})
	b.start()
	hold, release := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			_, err := b.host.Call(hold, call("test", do{Do: "wait"}), nil)
			wantError(t, err, core.CodeCancelled)
		})
	}
	until(t, "three run, seven wait", func() bool { s := b.status("test"); return s.Running == 3 && s.Waiting == 7 })
	t.Run("binds do not starve", func(t *testing.T) {
		c := call("test", do{})
		c.Verb, c.BindingID = core.VerbBind, "b"
		if _, err := b.host.Call(context.Background(), c, nil); err != nil {
			t.Error(err)
		}
	})
	t.Run("waiting respects the context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		_, err := b.host.Call(ctx, call("test", do{}), nil)
		if e := wantError(t, err, core.CodeCancelled); !strings.Contains(e.Detail, "slot") {
			t.Error(e)
		}
	})
	release()
	calls.Wait()
	if peak := b.ask("test", do{}).Peak; peak > 4 {
		t.Errorf("%d calls at once; the plugin takes 4", peak)
	}
}
