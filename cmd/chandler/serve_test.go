package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A broker that is shut down while an operation runs hands it over to its next start.
func TestShutdownHandsOver(t *testing.T) {
	t.Parallel()
	r := newRig(t, "timing: {fastAnswer: 1ms, pollInterval: 1s}\n")
	for id, plan := range map[string]string{"between": "wait", "within": "slow"} {
		r.ok("provision", "rig", plan, id, "--no-wait")
	}
	r.until("both to run", func() bool { return strings.Count(r.ok("operation", "list"), "pending") == 2 })
	r.end()
	if text := r.log.String(); strings.Contains(text, `"level":"ERROR"`) {
		t.Errorf("a shutdown is no error:\n%s", text)
	}
	if owners, err := filepath.Glob("/proc/[0-9]*/exe"); err == nil {
		for _, exe := range owners {
			if to, err := os.Readlink(exe); err == nil && strings.HasPrefix(to, r.dir) {
				t.Errorf("%s outlived the broker: %s", to, exe)
			}
		}
	}
	r.start()
	resumed := map[any]bool{}
	r.until("both to resume", func() bool {
		for _, l := range r.log.lines() {
			if l["msg"] == "operation resumes" {
				resumed[l["instance_id"]] = true
			}
		}
		return resumed["between"] && resumed["within"]
	})
	r.until("the slow one to succeed", func() bool {
		return strings.Contains(r.ok("operation", "list", "--instance", "within"), "succeeded")
	})
	if got := r.ok("operation", "list", "--instance", "between"); !strings.Contains(got, "pending") {
		t.Errorf("what waits for an hour must go on waiting:\n%s", got)
	}
}

// A second broker on the same state refuses to start, and the first goes on.
func TestOneBrokerPerState(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	got := chandler(t.Context(), "serve", "--config", r.file)
	if got.status != exitFailed || !strings.Contains(got.err, "chandler: ") {
		t.Errorf("status %d: %s", got.status, got.err)
	}
	r.ok("marketplace")
}

// What a start cannot do without ends it, with the reason in one line.
func TestStartFails(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	const free = "127.0.0.1:0"
	for _, c := range []struct{ why, listen, config, want string }{
		{"another process serves there", taken.Addr().String(), "", "listen: "},
		{"a certificate that is not there", free, "tls: {certificate: nope.pem, key: nope.pem}\n", "TLS certificate"},
		{"a prefix that the operators' API has", free, "prefixes: [/admin]\n", "is taken"},
	} {
		dir := t.TempDir()
		file := write1(t, dir, "chandler.yaml", fmt.Sprintf("listen: %s\nstate: %q\ncatalog: testdata/catalog\ntemplates: ../../templates\nplugins: {directory: %q}\nencryption: {disabled: true}\n%s",
			c.listen, filepath.Join(dir, "state"), dir, c.config))
		got := chandler(t.Context(), "serve", "--config", file)
		last := got.err[strings.LastIndex(strings.TrimSpace(got.err), "\n")+1:]
		if got.status == exitOK || !strings.Contains(last, c.want) || !strings.HasPrefix(last, "chandler: ") {
			t.Errorf("%s: status %d, %q", c.why, got.status, last)
		}
	}
}

// /readyz shows what is broken and stays 200: requests are served.
func TestReadiness(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	checks := func() map[string]string {
		status, body := r.get("/readyz", "")
		var report struct {
			Ready  bool
			Checks []struct {
				Name     string
				OK       bool
				Messages []string
			}
		}
		if err := json.Unmarshal([]byte(body), &report); err != nil || status != 200 || !report.Ready {
			t.Fatalf("%d %s", status, body)
		}
		bad := map[string]string{}
		for _, c := range report.Checks {
			if !c.OK {
				bad[c.Name] = strings.Join(c.Messages, "\n")
			}
		}
		return bad
	}
	if bad := checks(); len(bad) != 0 {
		t.Fatalf("a fresh broker: %v", bad)
	}
	if status, _ := r.get("/healthz", ""); status != 200 {
		t.Errorf("/healthz: %d", status)
	}
	write1(t, r.dir, "catalog/broken.yaml", "id: x\nnmae: broken\n")
	r.until("the broken file to be seen", func() bool { return strings.Contains(checks()["catalog"], "broken.yaml:2:1") })
	if got := r.chandler("catalog", "status"); got.status != exitInvalid || !strings.Contains(got.out, `did you mean "name"`) && !strings.Contains(got.out, "did you mean name") {
		t.Errorf("catalog status of a broken file: status %d\n%s%s", got.status, got.out, got.err)
	}
	if got := r.ok("marketplace"); !strings.Contains(got, "quick") {
		t.Errorf("the last good catalog must stay:\n%s", got)
	}
	if err := os.Remove(filepath.Join(r.dir, "catalog/broken.yaml")); err != nil {
		t.Fatal(err)
	}
	write1(t, r.dir, "plugins/chandler-plugin-broken", "#!/bin/sh\nexit 1\n")
	if err := os.Chmod(filepath.Join(r.dir, "plugins/chandler-plugin-broken"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.configure("backends:\n  broken: {plugin: broken}\n")
	r.until("the broken backend to be seen", func() bool { return strings.Contains(checks()["backend:broken"], "chandler plugin list") })
	r.until("the mended catalog", func() bool { return checks()["catalog"] == "" })
	if got := r.ok("plugin", "list"); !strings.Contains(got, "broken") {
		t.Errorf("plugin list hides the broken backend:\n%s", got)
	}
	r.ok("provision", "rig", "quick", "i") // the others go on
}

// The metrics that docs/operations.md lists are those that /metrics shows.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.ok("provision", "rig", "quick", "i")
	r.ok("deprovision", "i")
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := r.get("/metrics", ""); status != 401 {
		t.Errorf("/metrics without credentials: %d", status)
	}
	if status, _ := r.get("/metrics", "platform"); status != 403 {
		t.Errorf("/metrics for a platform: %d", status)
	}
	_, body := r.get("/metrics", "operator")
	names := func(pattern, text string) []string {
		var list []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	shown := names(`(?m)^# TYPE (chandler_\w+)`, body)
	documented := names("`(chandler_\\w+)`", string(doc))
	if !slices.Equal(shown, documented) {
		t.Errorf("/metrics has %v\ndocs/operations.md has %v", shown, documented)
	}
	for _, want := range []string{`chandler_operation_duration_seconds_count{backend="demo",code="",verb="provision"} 1`,
		`chandler_backend_up{backend="demo"} 1`, `chandler_instances 0`, `route="/v2/service_instances/:instance_id"`} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// Log lines and audit records have the keys that docs/operations.md names, and no secret.
func TestLogAndAudit(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.ok("provision", "rig", "quick", "i")
	password := r.object("bind", "i", "b")["credentials"].(map[string]any)["password"].(string)
	r.chandler("provision", "rig", "fail", "f")
	r.ok("instance", "purge", "f", "--yes")

	audit := func(match map[string]any) map[string]any {
		return r.awaitLog("audit", func(l map[string]any) bool {
			for k, v := range match {
				if l[k] != v {
					return false
				}
			}
			return true
		})
	}
	asked := audit(map[string]any{"event": "request", "verb": "bind", "instance_id": "i", "binding_id": "b", "user": "operator", "result": "created"})
	audit(map[string]any{"event": "finished", "operation_id": asked["operation_id"], "result": "succeeded", "request_id": asked["request_id"]})
	audit(map[string]any{"event": "finished", "verb": "provision", "instance_id": "f", "result": "failed"})
	audit(map[string]any{"event": "operator", "verb": "purge", "instance_id": "f", "user": "operator", "result": "done"})
	r.awaitLog("request", func(l map[string]any) bool { return l["request_id"] == asked["request_id"] && l["instance_id"] == "i" })

	text := r.log.String()
	for _, secret := range []string{password, "operator-password", "platform-password"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has a secret (%.4s…)", secret)
		}
	}
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"request_id", "operation_id", "instance_id", "binding_id", "backend", "event", "result"} {
		if !strings.Contains(string(doc), "`"+key+"`") || !strings.Contains(text, `"`+key+`":`) {
			t.Errorf("the key %s must be in the log and in docs/operations.md", key)
		}
	}
}

// Values of the configuration that came from files or the environment are masked,
// also in what the configuration's own errors quote.
func TestServeMasksSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	write1(t, r.dir, "secret", `pa"ss&<word>`)
	r.configure("backends:\n  second: {plugin: demo, config: {listen: '${file:secret}'}}\n")
	r.until("the backend's fate", func() bool { return strings.Contains(r.log.String(), "second") })
	r.end()
	for _, form := range []string{`pa"ss&<word>`, `pa\"ss&<word>`, `ss\u0026`} {
		if strings.Contains(r.log.String(), form) {
			t.Errorf("the log has the secret as %s", form)
		}
	}
}

// serve ends by itself when its context does, even before it serves.
func TestServeInterruptedAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	file := write1(t, dir, "chandler.yaml", "listen: 127.0.0.1:0\nstate: "+filepath.Join(dir, "state")+"\ncatalog: testdata/catalog\ntemplates: ../../templates\nplugins: {directory: "+bin+"}\nencryption: {disabled: true}\n")
	var log logBuffer
	_ = run(ctx, []string{"serve", "--config", file}, streams{Out: &log, Err: &log}) // it ends; goleak looks for what is left
}
