package plugintest_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/core/plugin/plugintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chandler-plugin-faulty")
	if out, err := exec.Command("go", "build", "-o", path, "./testdata/faulty").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// backend looks at the faulty plugin's directory.
type backend struct{ dir string }

func (b backend) instance(id string) string {
	sum := sha256.Sum256([]byte(id))
	return filepath.Join(b.dir, hex.EncodeToString(sum[:8]))
}

func (b backend) count(_ context.Context, id string) (int, error) {
	entries, err := os.ReadDir(b.instance(id))
	if os.IsNotExist(err) {
		return 0, nil
	}
	n := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "object") || e.Name() == "half" {
			n++
		}
	}
	return n, err
}

func (b backend) live(_ context.Context, _, outputs json.RawMessage) (bool, error) {
	var want, got struct{ Password string }
	if err := json.Unmarshal(outputs, &want); err != nil {
		return false, err
	}
	files, err := filepath.Glob(filepath.Join(b.dir, "*", "binding-*"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return false, err
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return false, err
		}
		if got.Password == want.Password {
			return true, nil
		}
	}
	return false, err
}

func config(t *testing.T, binary, fault string) plugintest.Config {
	// The plugin keeps its data in FAULTY_DIR where the hooks find it.
	b := backend{filepath.Join(t.TempDir(), "faulty")}
	return plugintest.Config{
		Command:      []string{binary},
		Env:          map[string]string{"FAULT": fault, "FAULTY_DIR": b.dir},
		Config:       json.RawMessage(`{"token": "a token of the backend"}`),
		Provision:    json.RawMessage(`{"size": 1}`),
		Update:       json.RawMessage(`{"size": 2}`),
		Bind:         json.RawMessage(`{"access": "ro"}`),
		Timeout:      20 * time.Second,
		CancelWithin: 500 * time.Millisecond,
		EndWithin:    2 * time.Second,
		Live:         b.live,
		Count:        b.count,
		Adopt:        json.RawMessage(`{"size": 7}`),
		Unowned: func(context.Context, json.RawMessage) error {
			return errors.Join(os.MkdirAll(b.dir, 0o700), os.WriteFile(filepath.Join(b.dir, "unowned"), nil, 0o600))
		},
	}
}

// A plugin that keeps every promise passes everything.
func TestFaultless(t *testing.T) {
	c := config(t, build(t), "")
	c.CancelWithin, c.EndWithin = 0, 0 // the defaults: a busy machine is no fault
	plugintest.Run(t, c)
}

// Every check can fail: a plugin that breaks one promise fails the check for it.
func TestFaults(t *testing.T) {
	binary := build(t)
	covered := map[string]bool{}
	for _, c := range []struct {
		check, fault string
		want         string // part of a problem
		withoutHooks bool
	}{
		{check: "handshake", fault: "dies", want: "did not start"},
		{check: "handshake", fault: "no-health", want: "no Health"},
		{check: "describe", fault: "name", want: `"something-else"`},
		{check: "describe", fault: "version", want: `"1.0"`},
		{check: "describe", fault: "schema", want: "binding_outputs_schema"},
		{check: "describe", fault: "schema-reference", want: "another document"},
		{check: "describe", fault: "describe-changes", want: "differently"},
		{check: "configure", fault: "config-unchecked", want: "InvalidArgument, got <nil>"},
		{check: "configure", fault: "config-unavailable", want: "later, perhaps"},
		{check: "offerings", fault: "offerings-fail", want: "no offerings today"},
		{check: "offerings", fault: "offerings-change", want: "something else"},
		{check: "offerings", fault: "offering-path", want: `"../faulty.yaml"`},
		{check: "offerings", fault: "offering-no-yaml", want: "faulty.yaml is no mapping of YAML"},
		{check: "offerings", fault: "offering-no-id", want: "faulty.yaml needs a text as its id"},
		{check: "offerings", fault: "offering-no-plans", want: "faulty.yaml has no list of plans"},
		{check: "offerings", fault: "offering-same-id", want: "plans[0] has the id of faulty.yaml"},
		{check: "offerings", fault: "offering-same-plan", want: "plans[1] has the name of another plan"},
		{check: "offerings", fault: "offering-twice", want: "more.yaml has the service name of faulty.yaml"},
		{check: "offerings", fault: "offering-backend", want: "names the backend faulty"},
		{check: "offerings", fault: "offering-template-file", want: "credentials are inline"},
		{check: "provision", fault: "twice", want: "3 instances at the backend"},
		{check: "provision", fault: "outputs-differ", want: "differ in database"},
		{check: "provision", fault: "undeclared-output", want: `"surprise" is not declared`},
		{check: "provision", fault: "outputs-against-schema", want: `"/database"`},
		{check: "provision", fault: "two-ends", want: "an event follows the last one"},
		{check: "provision", fault: "no-end", want: "without done, pending or error"},
		{check: "provision", fault: "status-after-end", want: "after its last event"},
		{check: "provision", fault: "percent", want: "101 percent"},
		{check: "inspect", fault: "inspect-drift", want: `a difference at "/size"`},
		{check: "inspect", fault: "inspect-deletes", want: "does not exist"},
		{check: "inspect", fault: "inspect-outputs", want: "differ in database"},
		{check: "inspect", fault: "inspect-believes", want: "after deprovision says that the instance exists"},
		{check: "list", fault: "list-forgets", want: "does not contain"},
		{check: "list", fault: "list-remembers", want: "was deprovisioned"},
		{check: "list", fault: "list-for-ever", want: "never ends"},
		{check: "list", fault: "list-too-much", want: "were asked for"},
		{check: "adopt", fault: "adopt-takes", want: "expected CODE_CONFLICT, got done"},
		{check: "adopt", fault: "adopt-marks", want: "1 instances at the backend after a refused Adopt"},
		{check: "adopt", fault: "adopt-nothing", want: "0 instances at the backend after Adopt"},
		{check: "adopt", fault: "adopt-nothing", want: "of what was adopted already: expected CODE_CONFLICT, got done", withoutHooks: true},
		{check: "adopt", fault: "adopt-outputs", want: "adopt again with the same operation gives other outputs"},
		{check: "adopt", fault: "list-hides", want: "what can be adopted"},
		{check: "versions", fault: "own-outputs-only", want: `outputs of version ""`},
		{check: "update", fault: "update-differs", want: "differ in database"},
		{check: "update", fault: "update-once", want: "there was an attempt"},
		{check: "bind", fault: "random-password", want: "still work"},
		{check: "bind", fault: "random-password", want: "differ in password", withoutHooks: true},
		{check: "unbind", fault: "unbind-nothing", want: "still work"},
		{check: "unbind", fault: "unbind-all", want: "do not work after another binding was ended"},
		{check: "unbind", fault: "unbind-fails-again", want: "no such binding"},
		{check: "unbind", fault: "shared-password", want: "same secret"},
		{check: "deprovision", fault: "deprovision-nothing", want: "1 instances at the backend after deprovision"},
		{check: "deprovision", fault: "deprovision-strict", want: "with a key of another version"},
		{check: "unknown-ids", fault: "unknown-fails", want: "no such instance"},
		{check: "any-id", fault: "id-as-path", want: "with the id"},
		{check: "side-by-side", fault: "one-at-a-time", want: "busy"},
		{check: "bad-inputs", fault: "inputs-unchecked", want: "expected CODE_INVALID_INPUT at /size, got done"},
		{check: "bad-inputs", fault: "inputs-failed", want: "CODE_FAILED"},
		{check: "bad-inputs", fault: "inputs-no-pointer", want: `expected a pointer to /size, got ""`},
		{check: "check", fault: "check-deletes", want: "after a check"},
		{check: "fence", fault: "ignores-fence", want: "a lower fence"},
		{check: "cancel", fault: "ignores-cancel", want: "did not return"},
		{check: "cancel", fault: "no-cancel", want: "no Cancel"},
		{check: "cancel", fault: "cancel-for-ever", want: "it was cancelled"},
		{check: "kill", fault: "not-resumable", want: "somebody else began this"},
		{check: "kill-then-remove", fault: "half-stays", want: "was killed"},
		{check: "lost-handle", fault: "needs-handle", want: "it exists"},
		{check: "interrupt", fault: "dies-on-interrupt", want: "it ended"},
		{check: "terminate", fault: "ignores-terminate", want: "still run"},
		{check: "no-orphans", fault: "outlives-broker", want: "still run"},
		{check: "no-orphans", fault: "leaves-child", want: "(sleep)"},
		{check: "secrets", fault: "password-in-log", want: "standard error"},
		{check: "secrets", fault: "password-in-output", want: "standard output"},
		{check: "secrets", fault: "password-in-progress", want: "progress"},
		{check: "secrets", fault: "logs-config", want: "standard error"},
	} {
		covered[c.check] = true
		t.Run(c.check+"/"+c.fault, func(t *testing.T) {
			cfg := config(t, binary, c.fault)
			cfg.Only = []string{c.check}
			if c.check == "secrets" {
				cfg.Only = []string{"bind", "secrets"}
			}
			if c.withoutHooks {
				cfg.Live, cfg.Count = nil, nil
			}
			report, err := plugintest.Check(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			result := report.Results[len(report.Results)-1]
			if result.Verdict != plugintest.Failed || !strings.Contains(strings.Join(result.Problems, "\n"), c.want) {
				t.Errorf("check %s: %s: %q; expected it to fail with %q", result.Check, result.Verdict, result.Problems, c.want)
			}
			var text bytes.Buffer
			if err := report.Write(&text); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(text.String(), "FAIL  "+c.check) {
				t.Errorf("the report does not show the failure:\n%s", &text)
			}
		})
	}
	for _, name := range plugintest.Checks() {
		if !covered[name] {
			t.Errorf("no fault shows that the check %s can fail", name)
		}
	}
}

func TestDecodeConfig(t *testing.T) {
	c, err := plugintest.DecodeConfig([]byte(`{"config": {"a": 1}, "environment": {"A": "b"}, "mtls": false,
		"provision": {"name": "x-{id}"}, "update": {}, "bind": {}, "adopt": {"b": 2}, "freshCredentials": true, "timeout": "2m", "only": ["bind"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if !c.WithoutMTLS || !c.FreshCredentials || c.Timeout != 2*time.Minute || c.Env["A"] != "b" ||
		string(c.Provision) != `{"name": "x-{id}"}` || string(c.Adopt) != `{"b": 2}` || !slices.Equal(c.Only, []string{"bind"}) {
		t.Errorf("got %+v", c)
	}
	for name, raw := range map[string]string{
		"unknown key":    `{"provison": {}}`,
		"wrong duration": `{"timeout": "2 minutes"}`,
		"no object":      `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := plugintest.DecodeConfig([]byte(raw)); err == nil {
				t.Error("expected an error")
			}
		})
	}
}

// What cannot be checked at all is an error, not a report.
func TestWrongConfig(t *testing.T) {
	for name, c := range map[string]plugintest.Config{
		"no command":       {Provision: json.RawMessage(`{}`)},
		"no provision":     {Command: []string{"x"}},
		"not an object":    {Command: []string{"x"}, Provision: json.RawMessage(`[]`)},
		"an unknown check": {Command: []string{"x"}, Provision: json.RawMessage(`{}`), Only: []string{"bnid"}},
	} {
		t.Run(name, func(t *testing.T) {
			if report, err := plugintest.Check(t.Context(), c); err == nil {
				t.Errorf("expected an error, got %+v", report)
			}
		})
	}
}

// A file that is no plugin fails at the handshake, and the report says why.
func TestNoPlugin(t *testing.T) {
	report, err := plugintest.Check(t.Context(), plugintest.Config{
		Command: []string{"/bin/false"}, Provision: json.RawMessage(`{}`), Only: []string{"handshake", "provision"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.OK() || len(report.Results) != 2 {
		t.Errorf("got %+v", report)
	}
}
