package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/core/plugin/plugintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// build compiles the plugin as an operator installs it.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chandler-plugin-demo")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// count looks into the directory: the record of an instance id, there or not.
func count(dir string) func(context.Context, string) (int, error) {
	return func(_ context.Context, id string) (int, error) {
		n := 0
		entries, err := os.ReadDir(filepath.Join(dir, "instances"))
		for _, e := range entries {
			raw, readErr := os.ReadFile(filepath.Join(dir, "instances", e.Name()))
			if readErr != nil || !strings.HasSuffix(e.Name(), ".json") {
				continue
			}
			var r record
			if err := json.Unmarshal(raw, &r); err != nil {
				return 0, err
			}
			if r.InstanceID == id {
				n++
			}
		}
		return n, err
	}
}

// loose writes data that nobody made an instance of.
func loose(dir string) func(context.Context, json.RawMessage) error {
	return func(_ context.Context, inputs json.RawMessage) error {
		var in instanceInputs
		if err := json.Unmarshal(inputs, &in); err != nil {
			return err
		}
		path := (&store{dir: dir}).loosePath(in.Name)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(`{"color":"blue"}`), 0o600))
	}
}

// live uses the credentials as an application does.
func live(ctx context.Context, _, outputs json.RawMessage) (bool, error) {
	var b bindingOutputs
	if err := json.Unmarshal(outputs, &b); err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URI, nil)
	if err != nil {
		return false, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK, nil
}

func TestConformance(t *testing.T) {
	binary := build(t)
	for name, c := range map[string]struct {
		why, provision, update, bind string
		withoutMTLS                  bool
	}{
		"synchronous": {
			why:       "everything in one call",
			provision: `{"name": "n-{id}", "size": 5}`,
			update:    `{"name": "n-{id}", "size": 6}`,
			bind:      `{"access": "read-only"}`,
		},
		"steps": {
			why:       "calls that end with pending, so that kills come between them; slow enough to be cancelled",
			provision: `{"name": "n-{id}", "steps": 2, "latency": "20ms"}`,
			update:    `{"steps": 1, "latency": "20ms"}`,
			bind:      `{"steps": 1, "latency": "20ms"}`,
		},
		"block, without mTLS": {
			why:         "calls that tell progress; the broker's mtls: false",
			provision:   `{"block": true, "steps": 2, "retryAfter": "10ms"}`,
			update:      `{"block": true, "steps": 2, "retryAfter": "10ms"}`,
			bind:        `{"block": true, "steps": 2, "retryAfter": "10ms"}`,
			withoutMTLS: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Log(c.why)
			dir := t.TempDir()
			config, err := json.Marshal(map[string]string{"directory": dir})
			if err != nil {
				t.Fatal(err)
			}
			plugintest.Run(t, plugintest.Config{
				Command:     []string{binary},
				WithoutMTLS: c.withoutMTLS,
				Config:      config,
				Provision:   json.RawMessage(c.provision),
				Update:      json.RawMessage(c.update),
				Bind:        json.RawMessage(c.bind),
				Live:        live,
				Count:       count(dir),
				Adopt:       json.RawMessage(`{"name": "loose-{id}", "size": 5}`),
				Unowned:     loose(dir),
			})
		})
	}
}
