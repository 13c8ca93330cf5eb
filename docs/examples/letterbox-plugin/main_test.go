package main

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chandler-broker/chandler/core/plugin/plugintest"
)

func TestContract(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "chandler-plugin-letterbox")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	plugintest.Run(t, plugintest.Config{
		Command:   []string{binary},
		Provision: json.RawMessage(`{"label": "box {id}"}`),
		Update:    json.RawMessage(`{"label": "better {id}"}`),
		Bind:      json.RawMessage(`{}`),
	})
}
