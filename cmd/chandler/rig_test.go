package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// bin holds the plugin executables that TestMain builds.
var bin string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	for _, name := range []string{"URL", "USER", "PASSWORD", "TOKEN", "CATALOG", "TEMPLATES", "PLUGINS", "CONFIG", "CA", "CERT", "KEY", "STORE", "STORE_DSN"} {
		_ = os.Unsetenv("CHANDLER_" + name) // of whoever runs the tests
	}
	dir, err := os.MkdirTemp("", "chandler-cmd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	for _, name := range []string{"demo", "gluster-s3"} {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, "chandler-plugin-"+name), "./plugins/"+name)
		build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build plugins/%s: %v\n%s", name, err, out)
			return 1
		}
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left after every broker has ended:", err)
		return 1
	}
	return code
}

// rig is `chandler serve` in this process, with real plugins, on directories of its own.
type rig struct {
	t                        *testing.T
	dir                      string // catalog, plugins, chandler.yaml
	url                      string
	log                      *logBuffer
	stop                     context.CancelFunc
	ended                    chan int
	extra                    string   // YAML added to the configuration
	client                   []string // flags that say how to connect
	operator, platform, file string
}

// newRig starts a broker; extra is added to its configuration.
func newRig(t *testing.T, extra string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), extra: extra}
	for _, d := range []string{"catalog", "plugins"} {
		if err := os.Mkdir(filepath.Join(r.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.copy("testdata/catalog/rig.yaml", "catalog/rig.yaml")
	if err := os.Link(filepath.Join(bin, "chandler-plugin-demo"), filepath.Join(r.dir, "plugins/chandler-plugin-demo")); err != nil {
		t.Fatal(err)
	}
	r.operator = write1(t, r.dir, "operator", "operator-password\n")
	r.platform = write1(t, r.dir, "platform", "platform-password\n")
	if got := chandler(t.Context(), "keys", "create", filepath.Join(r.dir, "master.key")); got.status != exitOK {
		t.Fatal(got.err)
	}
	r.configure(extra)
	r.start()
	t.Cleanup(r.end)
	return r
}

func (r *rig) copy(from, to string) {
	r.t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		r.t.Fatal(err)
	}
	write1(r.t, r.dir, to, string(raw))
}

const rigUsers = `users:
- {name: platform, passwords: ["${file:platform}"]}
- {name: operator, passwords: ["${file:operator}"], role: operator}
`

// configure writes the configuration. Users, times and master keys are extra's if it has them.
func (r *rig) configure(extra string) {
	r.t.Helper()
	templates, err := filepath.Abs("../../templates")
	if err != nil {
		r.t.Fatal(err)
	}
	text := fmt.Sprintf("listen: 127.0.0.1:0\nstate: %q\ncatalog: %q\ntemplates: %q\nplugins: {directory: %q}\n",
		filepath.Join(r.dir, "state"), filepath.Join(r.dir, "catalog"), templates, filepath.Join(r.dir, "plugins"))
	for key, usual := range map[string]string{
		"users:":      rigUsers,
		"timing:":     "timing: {fastAnswer: 30s, pollInterval: 1s}\n",
		"encryption:": "encryption: {masterKeys: ['${file:master.key}']}\n",
	} {
		if !strings.HasPrefix(extra, key) && !strings.Contains(extra, "\n"+key) {
			text += usual
		}
	}
	// Written beside and renamed, so that a reload never sees half of it.
	r.file = filepath.Join(r.dir, "chandler.yaml")
	write1(r.t, r.dir, "chandler.yaml.new", text+extra)
	if err := os.Rename(r.file+".new", r.file); err != nil {
		r.t.Fatal(err)
	}
}

// start runs the broker until end and waits until it serves.
func (r *rig) start() {
	r.t.Helper()
	r.begin()
	r.awaitLog("serving", nil)
}

// begin runs the broker until end and waits until it listens.
func (r *rig) begin() {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r.log, r.stop, r.ended = &logBuffer{}, cancel, make(chan int, 1)
	go func() { r.ended <- run(ctx, []string{"serve", "--config", r.file}, streams{Out: r.log, Err: r.log}) }()
	r.url, _ = r.awaitLog("listening", nil)["url"].(string)
	r.client = []string{"--url", r.url, "--user", "operator", "--password-file", r.operator}
}

// end shuts the broker down, as SIGTERM does; a second end does nothing.
func (r *rig) end() {
	r.stop()
	select {
	case code, ok := <-r.ended:
		if ok && code != exitOK {
			r.t.Errorf("serve ended with status %d:\n%s", code, r.log.tail())
		}
		if ok {
			close(r.ended)
		}
	case <-time.After(time.Minute):
		r.t.Fatalf("serve did not end:\n%s", r.log.tail())
	}
	if r.t.Failed() {
		r.t.Logf("the broker's log ends:\n%s", r.log.tail())
	}
}

// result is what one command line did.
type result struct {
	status   int
	out, err string
}

// chandler runs a command line that talks to the rig's broker.
func (r *rig) chandler(args ...string) result {
	return chandler(r.t.Context(), append(args, r.client...)...)
}

// chandler runs any command line in this process.
func chandler(parent context.Context, args ...string) result {
	ctx, cancel := context.WithTimeout(parent, time.Minute)
	defer cancel() // closes the client's connections
	var out, err bytes.Buffer
	status := run(ctx, args, streams{In: strings.NewReader(""), Out: &out, Err: &err})
	return result{status, out.String(), err.String()}
}

// ok runs a command line that must succeed and gives its standard output.
func (r *rig) ok(args ...string) string {
	r.t.Helper()
	got := r.chandler(args...)
	if got.status != exitOK {
		r.t.Fatalf("chandler %s: status %d\n%s%s", strings.Join(args, " "), got.status, got.out, got.err)
	}
	return got.out
}

// object decodes a command's -o json.
func (r *rig) object(args ...string) map[string]any {
	r.t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(r.ok(append(args, "-o", "json")...)), &v); err != nil {
		r.t.Fatalf("chandler %s: %v", strings.Join(args, " "), err)
	}
	return v
}

// get is a plain GET, with Accept of nothing in particular.
func (r *rig) get(path string, user string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	if user != "" {
		req.SetBasicAuth(user, user+"-password")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, body.String()
}

// until waits for a condition of the broker's goroutines and processes.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	tick, limit := time.NewTicker(20*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !ok() {
		select {
		case <-limit:
			r.t.Fatalf("gave up waiting for %s; the log ends:\n%s", what, r.log.tail())
		case <-tick.C:
		}
	}
}

// awaitLog waits for a log line with that message for which match holds.
func (r *rig) awaitLog(msg string, match func(map[string]any) bool) map[string]any {
	r.t.Helper()
	var found map[string]any
	r.until("the log line "+msg, func() bool {
		for _, l := range r.log.lines() {
			if l["msg"] == msg && (match == nil || match(l)) {
				found = l
				return true
			}
		}
		select {
		case code := <-r.ended:
			r.ended <- code
			r.t.Fatalf("serve ended with status %d:\n%s", code, r.log.tail())
		default:
		}
		return false
	})
	return found
}
