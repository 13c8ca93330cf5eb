package plugin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

func TestDecode(t *testing.T) {
	type target struct {
		Bucket string `json:"bucket"`
		Quota  struct {
			Max int `json:"max"`
		} `json:"quota"`
	}
	for name, c := range map[string]struct {
		why, raw, pointer string
		wrong             bool
	}{
		"good":         {why: "all keys are known", raw: `{"bucket": "b", "quota": {"max": 5}}`},
		"unknown key":  {why: "a mistake in a template must not be ignored", raw: `{"bucket": "b", "bukcet": 1}`, pointer: "/bukcet", wrong: true},
		"wrong type":   {why: "the user is told where", raw: `{"quota": {"max": "5"}}`, pointer: "/quota/max", wrong: true},
		"wrong whole":  {why: "inputs are an object", raw: `[]`, pointer: "", wrong: true},
		"odd key":      {why: "pointers escape / and ~", raw: `{"a/b~c": 1}`, pointer: "/a~1b~0c", wrong: true},
		"secret value": {why: "values may be secrets", raw: `{"bucket": 123456789}`, pointer: "/bucket", wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			var in target
			err := plugin.JSON(c.raw).Decode(&in)
			if !c.wrong {
				if err != nil || in.Quota.Max != 5 {
					t.Errorf("%s: %v, %+v", c.why, err, in)
				}
				return
			}
			var e *plugin.Error
			if !errors.As(err, &e) || e.Code != plugin.CodeInvalidInput || e.Pointer != c.pointer {
				t.Errorf("%s: got %v; expected invalid_input at %q", c.why, err, c.pointer)
			}
			if strings.Contains(err.Error(), "123456789") {
				t.Errorf("%s: %v", c.why, err)
			}
		})
	}
}

func TestDocumentEmpty(t *testing.T) {
	in := struct{ A int }{A: 7}
	if err := (plugin.Document{}).Decode(&in); err != nil || in.A != 7 {
		t.Errorf("an empty document leaves the target alone: %v, %+v", err, in)
	}
	if !(plugin.Document{}).Empty() || plugin.JSON(`{}`).Empty() {
		t.Error("only no document at all is empty")
	}
}

// What a result holds can be looked at in a unit test, without a broker.
func TestResultAccessors(t *testing.T) {
	var job struct{ Job int }
	pending := plugin.Pending(map[string]int{"job": 7}, 0, "")
	if err := pending.Handle().Decode(&job); err != nil || job.Job != 7 || !pending.IsPending() || !pending.Outputs().Empty() {
		t.Errorf("pending: %v, %+v", err, job)
	}
	var out struct{ Host string }
	done := plugin.Done(map[string]string{"host": "h", "more": "x"}, plugin.WithLeft("a", "b"))
	if err := done.Outputs().Decode(&out); err != nil || out.Host != "h" || done.IsPending() || !done.Handle().Empty() {
		t.Errorf("done: %v, %+v", err, out)
	}
	if diff := cmp.Diff([]string{"a", "b"}, done.Left()); diff != "" {
		t.Error(diff)
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("connection refused")
	err := plugin.Unavailable(0, "The gateway is down.").WithDetail("host %s", "a").WithCause(cause)
	if !errors.Is(err, cause) || plugin.CodeOf(err) != plugin.CodeUnavailable {
		t.Errorf("got %v", err)
	}
	if want := "unavailable: The gateway is down. (host a; connection refused)"; err.Error() != want {
		t.Errorf("got %q; expected %q", err, want)
	}
	if plugin.CodeOf(nil) != "" || plugin.CodeOf(cause) != plugin.CodeFailed {
		t.Error("CodeOf of nil and of foreign errors")
	}
}

func TestSecret(t *testing.T) {
	seed := []byte("0123456789abcdef0123456789abcdef")
	r := &plugin.BindingRequest{Seed: seed}
	// Secrets of running operations must survive an upgrade of the plugin, so this never changes.
	if got, want := r.Secret("password", 24), "8WRR7ycKZ7YhAcziLEliziuZ"; got != want {
		t.Errorf("got %q; expected %q", got, want)
	}
	if a, b := r.Secret("password", 24), (&plugin.InstanceRequest{Seed: seed}).Secret("password", 24); a != b || len(a) != 24 {
		t.Errorf("the same seed, name and length give %q and %q", a, b)
	}
	others := map[string]bool{}
	for _, s := range []string{
		r.Secret("password", 24), r.Secret("other", 24), r.Secret("password", 25)[:24],
		(&plugin.BindingRequest{Seed: []byte("another seed of thirty-two bytes")}).Secret("password", 24),
	} {
		others[s] = true
	}
	if len(others) != 4 {
		t.Errorf("seed, name and length must each make a difference: %v", others)
	}
}

// Every character of the alphabet is as likely as any other.
func TestSecretIsUnbiased(t *testing.T) {
	counts := map[rune]int{}
	const secrets = 200
	for i := range secrets {
		seed := make([]byte, 32)
		seed[0] = byte(i)
		s := (&plugin.BindingRequest{Seed: seed}).Secret("x", plugin.MaxSecret)
		if len(s) != plugin.MaxSecret {
			t.Fatalf("%d characters", len(s))
		}
		for _, r := range s {
			counts[r]++
		}
	}
	if len(counts) != 62 {
		t.Errorf("%d different characters", len(counts))
	}
	expected := float64(secrets*plugin.MaxSecret) / 62
	chi := 0.0
	for _, n := range counts {
		d := float64(n) - expected
		chi += d * d / expected
	}
	if chi > 120 { // 61 degrees of freedom: one in 100,000, and the seeds are fixed
		t.Errorf("chi-squared %.1f", chi)
	}
}

func TestSecretBounds(t *testing.T) {
	for name, f := range map[string]func(){
		"too short": func() { (&plugin.BindingRequest{Seed: make([]byte, 32)}).Secret("x", 0) },
		"too long":  func() { (&plugin.BindingRequest{Seed: make([]byte, 32)}).Secret("x", plugin.MaxSecret+1) },
		"no seed":   func() { (&plugin.BindingRequest{}).Secret("x", 8) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("expected a panic: it is a mistake of the caller")
				}
			}()
			f()
		})
	}
}

func TestSecretValues(t *testing.T) {
	const schema = `{"type": "object", "properties": {
		"plain": {"type": "string"},
		"password": {"type": "string", "writeOnly": true},
		"pin": {"type": "integer", "writeOnly": true},
		"key": {"$ref": "#/$defs/key"},
		"list": {"type": "array", "items": {"$ref": "#/$defs/key"}},
		"tuple": {"prefixItems": [{"type": "string"}, {"writeOnly": true}]},
		"one": {"oneOf": [{"type": "string", "writeOnly": true}, {"type": "object"}]},
		"whole": {"type": "object", "writeOnly": true}
	}, "additionalProperties": {"properties": {"token": {"writeOnly": true}}},
	"$defs": {"key": {"type": "object", "properties": {"id": {"type": "string"}, "secret": {"type": "string", "writeOnly": true}, "next": {"$ref": "#/$defs/key"}}}}}`
	for name, c := range map[string]struct {
		document string
		want     []string
	}{
		"plain":      {`{"plain": "a"}`, nil},
		"direct":     {`{"plain": "a", "password": "b"}`, []string{"b"}},
		"number":     {`{"pin": 12345678901234567890}`, []string{"12345678901234567890"}},
		"reference":  {`{"key": {"id": "a", "secret": "b"}}`, []string{"b"}},
		"list":       {`{"list": [{"secret": "a"}, {"secret": "b", "next": {"secret": "c"}}]}`, []string{"a", "b", "c"}},
		"tuple":      {`{"tuple": ["a", "b"]}`, []string{"b"}},
		"one of":     {`{"one": "a"}`, []string{"a"}},
		"whole":      {`{"whole": {"a": ["b"]}}`, []string{"b"}},
		"additional": {`{"other": {"token": "a"}}`, []string{"a"}},
		"no JSON":    {`{`, nil},
		"no object":  {`[1]`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := plugin.SecretValues([]byte(schema), []byte(c.document))
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	// A schema that refers to itself for ever must end.
	plugin.SecretValues([]byte(`{"$ref": "#"}`), []byte(`{"a": 1}`))
}

func TestViolations(t *testing.T) {
	got, err := plugin.Violations(nil, []byte(`{"a": 1}`))
	if diff := cmp.Diff([]plugin.Violation{{Pointer: "/a", Message: "not known here"}}, got); err != nil || diff != "" {
		t.Errorf("no schema declares nothing: %v\n%s", err, diff)
	}
	if got, err := plugin.Violations(nil, []byte(`{}`)); err != nil || got != nil {
		t.Errorf("got %v, %v", got, err)
	}
	// Draft 4 says exclusiveMinimum as a boolean.
	draft4 := []byte(`{"$schema": "http://json-schema.org/draft-04/schema#", "properties": {"n": {"minimum": 1, "exclusiveMinimum": true}}}`)
	got, err = plugin.Violations(draft4, []byte(`{"n": 1}`))
	if err != nil || len(got) != 1 || got[0].Pointer != "/n" {
		t.Errorf("draft 4: %v, %v", got, err)
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte(good), []byte(`{"plugin":"1.2.0","handle":{"job":7}}`), []byte(`{"host":"h"}`))
	f.Add([]byte(`{"a/b":[1,{"x":null}]}`), []byte(`null`), []byte(`"x"`))
	f.Add([]byte{0xff}, []byte{}, []byte(`{`))
	d := description()
	client, _ := serve(f, d, author{instance: func(_ context.Context, r *plugin.InstanceRequest) (plugin.Result, error) {
		var in struct{ Bucket string }
		var out map[string]any
		var handle any
		err := errors.Join(r.Inputs.Decode(&in), r.Applied.Outputs.Decode(&out), r.Handle.Decode(&handle))
		if err != nil {
			return plugin.Result{}, err
		}
		if !r.Handle.Empty() {
			return plugin.Pending(handle, 0, in.Bucket), nil
		}
		return plugin.Done(out), nil
	}})
	f.Fuzz(func(t *testing.T, inputs, handle, outputs []byte) {
		got, err := events(client.Update(t.Context(), &pluginpb.InstanceRequest{InstanceId: "i", Inputs: inputs, Handle: handle,
			Applied: &pluginpb.Applied{Inputs: inputs, Outputs: outputs}, Seed: make([]byte, 32)}))
		if err != nil || len(got) != 1 {
			t.Fatalf("every request is answered by one event: %v, %v", got, err)
		}
		if e := got[0].GetError(); e != nil && strings.Contains(e.GetDetail(), "panic") {
			t.Fatalf("panic: %v", e)
		}
	})
}

func FuzzSecretValues(f *testing.F) {
	f.Add([]byte(`{"properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"writeOnly":true}}}`), []byte(`{"a":"x"}`))
	f.Add([]byte(`{"items":[{"writeOnly":true}],"allOf":[{"$ref":"#"}]}`), []byte(`["x"]`))
	f.Fuzz(func(t *testing.T, schema, document []byte) {
		for _, s := range plugin.SecretValues(schema, document) {
			_ = s
		}
	})
}
