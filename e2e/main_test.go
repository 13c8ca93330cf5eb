package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/e2e/stack"
)

// bin holds the executables that TestMain builds.
var bin string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "chandler-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	for _, b := range []struct{ dir, out, pkg string }{
		{"..", "chandler", "./cmd/chandler"},
		{"..", "chandler-plugin-demo", "./plugins/demo"},
		{"..", "chandler-plugin-gluster-s3", "./plugins/gluster-s3"},
		{"s3gateway", "s3gateway", "."},
	} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, b.out), b.pkg)
		cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", b.out, err, out)
			return 1
		}
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// world is one stack on directories of its own.
type world struct {
	t       *testing.T
	ctx     context.Context
	gateway *stack.Gateway
	broker  *stack.Broker
	// catalog and plugins are copies that a test may edit.
	catalog, plugins string
	client           *http.Client
}

// newWorld starts gateway and broker; config is added to the broker's configuration.
func newWorld(t *testing.T, config string) *world {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, client: &http.Client{}}
	dir := t.TempDir()
	w.catalog, w.plugins = filepath.Join(dir, "catalog"), filepath.Join(dir, "plugins")
	copyFiles(t, "../catalog/*.yaml", w.catalog)
	copyFiles(t, filepath.Join(bin, "chandler-plugin-*"), w.plugins)
	templates, err := filepath.Abs("../templates")
	if err != nil {
		t.Fatal(err)
	}
	gatewayLog, err := os.Create(filepath.Join(dir, "gateway.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gatewayLog.Close() })
	w.gateway, err = stack.StartGateway(ctx, bin, filepath.Join(dir, "gateway"), gatewayLog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.gateway.Kill() })
	w.broker, err = stack.StartBroker(ctx, stack.BrokerOptions{Bin: bin, Plugins: w.plugins, Dir: filepath.Join(dir, "broker"),
		Catalog: w.catalog, Templates: templates, Gateway: w.gateway, Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.broker.Stop(time.Minute); err != nil {
			t.Errorf("stop the broker: %v", err)
		}
		w.client.CloseIdleConnections()
		if t.Failed() {
			if raw, err := os.ReadFile(w.broker.LogFile); err == nil {
				t.Logf("the broker's log ends:\n%s", raw[max(0, len(raw)-6000):])
			}
		}
	})
	return w
}

func copyFiles(t *testing.T, pattern, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing matches %s: %v", pattern, err)
	}
	for _, f := range files {
		copyFile(t, f, filepath.Join(to, filepath.Base(f)))
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, raw, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
}

// chandler runs the command line against the world's broker.
func (w *world) chandler(args ...string) (out string, status int) {
	w.t.Helper()
	cmd := exec.CommandContext(w.ctx, filepath.Join(bin, "chandler"), args...)
	cmd.Env = append(os.Environ(), w.broker.ClientEnv(true)...)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	_ = cmd.Run() // the status says it
	return both.String(), cmd.ProcessState.ExitCode()
}

// answer is an HTTP answer of the broker.
type answer struct {
	Status int
	Body   map[string]any
	Header http.Header
}

func (a answer) text(key string) string { s, _ := a.Body[key].(string); return s }

// try sends one OSB request; an error means that no answer came.
func (w *world) try(ctx context.Context, method, path string, body any) (answer, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return answer{}, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, w.broker.URL+path, reader)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("X-Broker-API-Version", "2.17")
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(w.broker.Operator, w.broker.Password)
	resp, err := w.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{Status: resp.StatusCode, Header: resp.Header}
	return a, json.NewDecoder(resp.Body).Decode(&a.Body)
}

// send is try for requests that must be answered.
func (w *world) send(method, path string, body any) answer {
	w.t.Helper()
	a, err := w.try(w.ctx, method, path, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// want fails the test unless the answer has one of the statuses.
func (w *world) want(a answer, doing string, statuses ...int) answer {
	w.t.Helper()
	for _, s := range statuses {
		if a.Status == s {
			return a
		}
	}
	w.t.Fatalf("%s: got %d %v, want %v", doing, a.Status, a.Body, statuses)
	return a
}

// plan is a service and plan of the shipped catalog.
type plan struct{ service, plan string }

var (
	bucketPlan = plan{"039b3dcf-d1f7-49f7-adb7-cb8121d89314", "9236a908-5b33-43b1-ae7e-ee07f1171e4d"}
	slowPlan   = plan{"a902fe73-8c98-4232-a752-a2f6a00e8242", "50498b79-612c-4190-b9b3-0e87063488d7"}
)

func (p plan) body(parameters map[string]any) map[string]any {
	return map[string]any{"service_id": p.service, "plan_id": p.plan, "organization_guid": "o", "space_guid": "s", "parameters": parameters}
}

func (p plan) query() string {
	return "?accepts_incomplete=true&service_id=" + p.service + "&plan_id=" + p.plan
}

func instance(id string) string { return "/v2/service_instances/" + url.PathEscape(id) }

func binding(instanceID, id string) string {
	return instance(instanceID) + "/service_bindings/" + url.PathEscape(id)
}

const async = "?accepts_incomplete=true"

// settled polls until the operation of an answer is no longer in progress. It goes
// on while the broker is down.
func (w *world) settled(path string, a answer) string {
	w.t.Helper()
	var state string
	w.until("the operation of "+path+" to end", func() bool {
		query := ""
		if op := a.text("operation"); op != "" {
			query = "?operation=" + url.QueryEscape(op)
		}
		got, err := w.try(w.ctx, http.MethodGet, path+"/last_operation"+query, nil)
		state = got.text("state")
		return err == nil && got.Status == http.StatusOK && state != "in progress"
	})
	return state
}

// until waits for a condition of other processes.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-w.ctx.Done():
			w.t.Fatalf("gave up waiting for %s", what)
		case <-tick.C:
		}
	}
}

// pluginPID gives the process of a backend, from the operators' API; 0 if none runs.
func (w *world) pluginPID(backend string) int {
	w.t.Helper()
	a, err := w.try(w.ctx, http.MethodGet, "/admin/v1/backends", nil)
	if err != nil {
		return 0
	}
	list, _ := a.Body["backends"].([]any)
	for _, e := range list {
		if b, _ := e.(map[string]any); b["name"] == backend {
			pid, _ := b["pid"].(float64)
			return int(pid)
		}
	}
	return 0
}

// contains is strings.Contains with a readable failure.
func (w *world) contains(text, part, what string) {
	w.t.Helper()
	if !strings.Contains(text, part) {
		w.t.Errorf("%s lacks %q:\n%s", what, part, text)
	}
}
