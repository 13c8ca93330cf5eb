package pluginhost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core/pluginhost"
)

func TestPluginLogs(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start(pluginhost.BackendConfig{Name: "test", Config: []byte(`{"key":"configured-secret"}`), Secrets: []string{"from-env"},
		Env: map[string]string{"API_TOKEN": "token-in-env"}})
	say := func(d do, secrets ...string) {
		t.Helper()
		c := call("test", d)
		c.Secrets = secrets
		c.Instance.Outputs = []byte(`{"password":"stored-output"}`)
		if _, err := b.host.Call(context.Background(), c, nil); err != nil {
			t.Fatal(err)
		}
	}
	record := func(text string) map[string]any {
		t.Helper()
		var found []map[string]any
		until(t, "the log has "+text, func() bool { found = b.log.records(text); return len(found) > 0 })
		return found[0]
	}
	t.Run("plain lines", func(t *testing.T) {
		say(do{Do: "stderr", Text: "a plain line"})
		r := record("a plain line")
		if r["backend"] != "test" || r["operation_id"] != "op-1" || r["instance_id"] != "i-1" || r["stream"] != "stderr" {
			t.Errorf("record %v", r)
		}
	})
	t.Run("hclog lines", func(t *testing.T) {
		say(do{Do: "stderr", Text: `{"@level":"warn","@message":"look out","@timestamp":"x","operation_id":"op-9","n":3,"backend":"mine","deep":{"p":["s3cret-value"]}}`}, "s3cret-value")
		r := record("look out")
		want := map[string]any{"level": "WARN", "msg": "look out", "backend": "test", "plugin": "test", "operation_id": "op-9", "n": 3.0,
			"plugin_backend": "mine", "deep": map[string]any{"p": []any{"•••"}}, "time": r["time"]}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("stdout after the handshake", func(t *testing.T) {
		say(do{Do: "stdout", Text: "printed"})
		until(t, "both ways arrive", func() bool { return len(b.log.records("printed")) >= 2 })
		if r := record("printed"); r["stream"] != "stdout" {
			t.Errorf("record %v", r)
		}
	})
	t.Run("secrets", func(t *testing.T) {
		multi := "-----BEGIN KEY-----\nabcdefgh12345678\n-----END KEY-----"
		say(do{Do: "stderr", Text: "S: configured-secret from-env token-in-env of-the-call stored-output quo\"ted BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc= abcdefgh12345678."},
			"of-the-call", `quo"ted`, multi, "of")
		if msg := record("S: ")["msg"].(string); msg != "S: ••• ••• ••• ••• ••• ••• ••• •••." {
			t.Errorf("message %q", msg)
		}
		say(do{Do: "secret", Text: "made-just-now"})
		say(do{Do: "stderr", Text: "T: made-just-now"})
		if msg := record("T: ")["msg"]; msg != "T: •••" {
			t.Errorf("message %q", msg)
		}
	})
	t.Run("a secret at the end of what is kept of a long line", func(t *testing.T) {
		say(do{Do: "stderr", Text: "L: " + strings.Repeat("x", 64<<10-10) + "a-secret-that-is-cut"}, "a-secret-that-is-cut")
		if msg := record("L: ")["msg"].(string); strings.Contains(msg, "a-sec") {
			t.Error("a part of the secret is in the log")
		}
	})
	t.Run("a flood does not keep the plugin waiting", func(t *testing.T) {
		say(do{Do: "stderr", N: 50000, Text: strings.Repeat("y", 500)})
		say(do{})
		until(t, "the loss is reported", func() bool { return len(b.log.records("lines were dropped")) > 0 })
		if n := strings.Count(b.log.String(), "yyyy\""); n > 20000 {
			t.Errorf("%d lines reached the log", n)
		}
		if s := b.status("test"); len(s.Stderr) == 0 || len(s.Stderr) > 20 {
			t.Errorf("%d last lines", len(s.Stderr))
		}
	})
	for _, secret := range []string{"configured-secret", "from-env", "token-in-env", "of-the-call", "stored-output", "made-just-now", "s3cret-value"} {
		if strings.Contains(b.log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}

// logBuffer keeps the log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// records gives the log's records that hold text.
func (l *logBuffer) records(text string) []map[string]any {
	var out []map[string]any
	for _, line := range strings.Split(l.String(), "\n") {
		if !strings.Contains(line, text) {
			continue
		}
		var r map[string]any
		if json.Unmarshal([]byte(line), &r) == nil {
			out = append(out, r)
		}
	}
	return out
}
