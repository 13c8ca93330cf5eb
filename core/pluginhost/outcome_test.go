package pluginhost

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/chandler-broker/chandler/core"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// FuzzEvent: whatever a plugin sends, its translation keeps the contract or is an error.
func FuzzEvent(f *testing.F) {
	add := func(e *pluginpb.Event) {
		raw, err := proto.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint8(0))
		f.Add(raw, uint8(2))
	}
	percent := uint32(400)
	add(&pluginpb.Event{})
	add(&pluginpb.Event{Event: &pluginpb.Event_Progress{Progress: &pluginpb.Progress{Text: "50\x00 %", Percent: &percent}}})
	add(&pluginpb.Event{Event: &pluginpb.Event_Pending{Pending: &pluginpb.Pending{Handle: []byte("h"), RetryAfter: &durationpb.Duration{Seconds: -1 << 62, Nanos: 5}}}})
	for _, outputs := range []string{``, `{}`, `{"a":1e999}`, `[`, `{"a":1}{`, "\xff", ` {"a":"\ud800"} `, `null`} {
		add(&pluginpb.Event{Event: &pluginpb.Event_Done{Done: &pluginpb.Done{Outputs: []byte(outputs), Labels: []byte(outputs), Left: []string{"a bucket"}, DashboardUrl: "https://x"}}})
	}
	add(&pluginpb.Event{Event: &pluginpb.Event_Error{Error: &pluginpb.Error{Code: 77, Message: strings.Repeat("é", 20), Pointer: "/a"}}})
	f.Fuzz(func(t *testing.T, raw []byte, verb uint8) {
		var e pluginpb.Event
		if proto.Unmarshal(raw, &e) != nil {
			return
		}
		if p := progressOf(&e); p != nil {
			if p.Percent < -1 || p.Percent > 100 || len(p.Text) > maxText+3 || !utf8.ValidString(p.Text) {
				t.Errorf("progress %+v", p)
			}
			return
		}
		checkOutcome(t, core.Verbs[int(verb)%len(core.Verbs)], outcomeOf(core.Verbs[int(verb)%len(core.Verbs)], &e))
	})
}

func checkOutcome(t *testing.T, verb core.Verb, out outcome) {
	t.Helper()
	if e := out.err; e != nil {
		if e.Message == "" || !e.Backend || len(e.Message) > maxText+3 || !utf8.ValidString(e.Error()) || e.RetryAfter < 0 || e.RetryAfter > maxRetryAfter {
			t.Errorf("error %+v", e)
		}
		switch e.Code {
		case core.CodeInvalid, core.CodeConflict, core.CodeNotFound, core.CodeUnavailable, core.CodeFailed:
		default:
			t.Errorf("code %s", e.Code)
		}
		if diff := cmp.Diff(core.Result{}, out.result); diff != "" {
			t.Errorf("an error with a result: %s", diff)
		}
		return
	}
	if p := out.result.Pending; p != nil {
		if len(p.Handle) > MaxJSON || p.RetryAfter < 0 || p.RetryAfter > maxRetryAfter {
			t.Errorf("pending %+v", p)
		}
		return
	}
	hasOutputs := verb != core.VerbDeprovision && verb != core.VerbUnbind
	if hasOutputs != (out.result.Outputs != nil) {
		t.Errorf("%s with outputs %q", verb, out.result.Outputs)
	}
	if hasOutputs {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(out.result.Outputs, &m); err != nil || m == nil || len(out.result.Outputs) > MaxJSON {
			t.Errorf("outputs %q: %v", out.result.Outputs, err)
		}
	}
	for _, m := range []map[string]any{out.result.Labels, out.result.Attributes} {
		if _, err := core.CanonicalJSON(m); err != nil {
			t.Error(err)
		}
	}
	if len(out.result.Left) > maxLeft+1 {
		t.Errorf("%d left", len(out.result.Left))
	}
}
