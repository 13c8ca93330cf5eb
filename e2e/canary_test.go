package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
	"github.com/chandler-broker/chandler/e2e/stack"
)

// bird begins every canary. What is in the clear in any spelling holds it in that
// spelling: looking for it finds all of them, and what was masked by half.
const bird = "c4n4ry-"

// magpie is in the originating identity, which operators may see.
const magpie = "m4gp13-identity"

// canary is a secret whose characters look different in every spelling.
func canary(place string) string { return bird + place + `-"q<&>/+= %` }

// spellings are the ways in which a text can be found inside of others: as it is, in
// hexadecimal, and in base64 at each of three alignments.
func spellings(text string) [][]byte {
	list := [][]byte{[]byte(text), []byte(hex.EncodeToString([]byte(text)))}
	for k := range 3 {
		for _, alphabet := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := alphabet.EncodeToString(append(make([]byte, k), text...))
			list = append(list, []byte(encoded[(k*8+5)/6:(k+len(text))*8/6]))
		}
	}
	return list
}

// leaks shows what of the secrets is in data, and what stands around it.
func leaks(data []byte, secrets ...string) []string {
	var found []string
	for _, secret := range append(secrets, bird) {
		for _, s := range spellings(secret) {
			if i := bytes.Index(data, s); i >= 0 {
				found = append(found, fmt.Sprintf("%q", data[max(0, i-80):min(len(data), i+80)]))
			}
		}
	}
	return found
}

const leakyService = "6f1c5a52-0a5e-4d3c-8d6e-5a8b6a1f0c01"
const leakyPlan = "6f1c5a52-0a5e-4d3c-8d6e-5a8b6a1f0c02"

const leakyCatalog = `
id: ` + leakyService + `
name: leaky-service
description: Tells everything.
backend: leaky
bindable: true
instancesRetrievable: true
bindingsRetrievable: true
planUpdateable: true
schemas:
  provision: &parameters
    type: object
    properties:
      password: {title: P, description: P., type: string, writeOnly: true, maxLength: 60}
      note: {title: N, description: N., type: string}
      fail: {title: F, description: F., type: boolean, default: false}
  update: *parameters
  bind: *parameters
provision: {password: "{{ .parameters.password }}", stable: '{{ instanceSecret "admin" 24 }}', fail: "{{ .parameters.fail }}"}
bind: {password: "{{ .parameters.password }}", stable: '{{ instanceSecret "admin" 24 }}', fail: "{{ .parameters.fail }}"}
credentials: {password: "{{ .binding.outputs.password }}", stable: "{{ .binding.outputs.stable }}"}
timeouts: {provision: 1m, update: 1m, deprovision: 1m, bind: 1m, unbind: 1m}
plans:
- {id: ` + leakyPlan + `, name: default, description: The only one., free: true}
`

// cage is a broker with the leaky plugin, and everything that it answered.
type cage struct {
	*world
	stable string // the stable secret of the instance "i"
	said   []said
}

// said is an answer that must not hold a secret.
type said struct{ what, text string }

// newCage starts a broker whose secrets are canaries wherever there can be some.
func newCage(t *testing.T, dsn, config string) *cage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	dir := t.TempDir()
	plugins, catalog := filepath.Join(dir, "plugins"), filepath.Join(dir, "catalog")
	for _, d := range []string{plugins, catalog} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-o", filepath.Join(plugins, "chandler-plugin-leaky"), "./testdata/leaky")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(catalog, "leaky.yaml"), []byte(leakyCatalog), 0o600); err != nil {
		t.Fatal(err)
	}
	templates, err := filepath.Abs("../templates")
	if err != nil {
		t.Fatal(err)
	}
	literal, err := json.Marshal(canary("literal"))
	if err != nil {
		t.Fatal(err)
	}
	c := &cage{world: &world{t: t, ctx: ctx, client: &http.Client{}}}
	c.broker, err = stack.StartBroker(ctx, stack.BrokerOptions{Bin: bin, Plugins: plugins, Dir: filepath.Join(dir, "broker"),
		Catalog: catalog, Templates: templates, DSN: dsn, Env: []string{"CANARY_CONFIG=" + canary("config"), "CANARY_ENV=" + canary("env")},
		Config: "backends:\n  leaky: {plugin: leaky, config: {password: '${env:CANARY_CONFIG}', literal: " + string(literal) +
			"}, env: {SECRET: '${env:CANARY_ENV}'}}\nlog: {level: debug}\ntiming: {fastAnswer: 1ms, backoffMin: 20ms}\n" + config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.broker.Kill()
		c.client.CloseIdleConnections()
	})
	return c
}

// ask sends a request with canaries in its headers, and remembers the answer where it must
// not hold any: errors, polls, and what operators see.
func (c *cage) ask(method, path string, body any, header ...string) answer {
	c.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.ctx, method, c.broker.URL+path, bytes.NewReader(raw))
	if err != nil {
		c.t.Fatal(err)
	}
	req.SetBasicAuth(c.broker.Operator, c.broker.Password)
	who := fmt.Sprintf(`{"user_id":"me","note":%q}`, magpie)
	for name, value := range map[string]string{"X-Broker-API-Version": "2.17", "Content-Type": "application/json",
		"X-Canary": bird + "header", "Cookie": bird + "cookie", "User-Agent": bird + "agent", "Referer": bird + "referer",
		"X-Broker-API-Originating-Identity": "cloudfoundry " + base64.StdEncoding.EncodeToString([]byte(who))} {
		req.Header.Set(name, value)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := answer{Status: resp.StatusCode, Header: resp.Header}
	_ = json.Unmarshal(text, &a.Body) // /metrics is no JSON
	if a.Status >= 400 || strings.Contains(path, "last_operation") || !strings.HasPrefix(path, "/v2") {
		c.said = append(c.said, said{fmt.Sprintf("%s %s: %d", method, path, a.Status), string(text)})
	}
	return a
}

// run asks for an operation and polls until it has ended.
func (c *cage) run(method, path string, body map[string]any, want string) {
	c.t.Helper()
	query := async
	if method == http.MethodDelete {
		query += "&service_id=" + leakyService + "&plan_id=" + leakyPlan
		body = nil
	}
	if a := c.want(c.ask(method, path+query, body), method+" "+path, 200, 201, 202); a.Status != 202 && want == "succeeded" {
		return
	}
	state := ""
	c.until(path, func() bool {
		a := c.ask(http.MethodGet, path+"/last_operation", nil)
		state = a.text("state")
		return a.Status != 200 || state != "in progress"
	})
	if state != want && want != "" {
		c.t.Fatalf("%s %s: %s, want %s", method, path, state, want)
	}
}

func body(place string, fail bool) map[string]any {
	return map[string]any{"service_id": leakyService, "plan_id": leakyPlan, "organization_guid": "o", "space_guid": "s",
		"context":    map[string]any{"platform": "cloudfoundry", "secret": canary("context-" + place)},
		"parameters": map[string]any{"password": canary("parameter-" + place), "note": canary("note-" + place), "fail": fail}}
}

// live lets secrets through every channel there is.
func (c *cage) live() {
	c.t.Helper()
	c.run(http.MethodPut, instance("i"), body("provision", false), "succeeded")
	bind := body("bind", false)
	bind["bind_resource"] = map[string]any{"app_guid": canary("resource")}
	c.run(http.MethodPut, binding("i", "b"), bind, "succeeded")
	credentials, _ := c.want(c.ask(http.MethodGet, binding("i", "b"), nil), "fetch", 200).Body["credentials"].(map[string]any)
	c.stable, _ = credentials["stable"].(string)
	if len(c.stable) != 24 || !strings.HasPrefix(fmt.Sprint(credentials["password"]), bird) {
		c.t.Fatalf("credentials: %v", credentials)
	}
	c.want(c.ask(http.MethodGet, instance("i"), nil), "fetch", 200)
	c.run(http.MethodPatch, instance("i"), body("update", false), "succeeded")
	c.run(http.MethodPatch, instance("i"), body("failed-update", true), "failed")
	c.run(http.MethodPut, instance("f"), body("failed-provision", true), "failed")
	c.run(http.MethodPut, binding("i", "f"), body("failed-bind", true), "failed")
	c.run(http.MethodPut, instance("gone"), body("gone", false), "succeeded")
	c.run(http.MethodDelete, instance("gone"), nil, "")
	c.refused()
	for _, path := range []string{"/metrics", "/readyz", "/admin/v1/operations", "/admin/v1/backends", "/admin/v1/status", "/admin/v1/catalog"} {
		c.want(c.ask(http.MethodGet, path, nil), path, 200)
	}
	list, _ := c.ask(http.MethodGet, "/admin/v1/operations", nil).Body["operations"].([]any)
	for _, o := range list {
		id, _ := o.(map[string]any)["id"].(string)
		c.want(c.ask(http.MethodGet, "/admin/v1/operations/"+id, nil), "timeline", 200)
	}
}

// refused sends requests that are answered with errors.
func (c *cage) refused() {
	c.t.Helper()
	long := body("long", false)
	long["parameters"].(map[string]any)["password"] = strings.Repeat(canary("long"), 5)
	wrong := body("wrong", false)
	wrong["parameters"].(map[string]any)["password"] = []string{canary("wrong")}
	for why, bad := range map[string]map[string]any{"a password over its length": long, "a password of another type": wrong} {
		c.want(c.ask(http.MethodPut, instance("new")+async, bad), why, 400)
	}
	c.want(c.ask(http.MethodPut, instance("i")+async, body("other", false)), "the same id with another password", 409)
	c.want(c.ask(http.MethodGet, "/v2/catalog", nil, "Authorization", "Bearer "+bird+"token"), "a wrong token", 401)
	c.want(c.ask(http.MethodGet, "/v2/catalog?x="+url.QueryEscape(canary("query")), nil, "Authorization",
		"Basic "+base64.StdEncoding.EncodeToString([]byte("operator:"+canary("password")))), "a wrong password", 401)
}

// arguments are the command lines of all processes.
func arguments(t *testing.T) []byte {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, f := range files {
		if raw, err := os.ReadFile(f); err == nil { // it may have ended
			all = append(append(all, raw...), '\n')
		}
	}
	return all
}

// findInFiles looks into all files below dir but those below without.
func findInFiles(t *testing.T, dir, without string, secrets ...string) (found []string) {
	t.Helper()
	read := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == without {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		raw, err := os.ReadFile(path)
		read++
		for _, l := range leaks(raw, secrets...) {
			found = append(found, path+": "+l)
		}
		return err
	})
	if err != nil || read == 0 {
		t.Fatalf("%d files read: %v", read, err)
	}
	return found
}

// stores gives for each kind of store its address, "" for SQLite, and where its files are, if not in the state.
var stores = map[string]func(t *testing.T) (dsn, files string){
	"sqlite": func(*testing.T) (string, string) { return "", "" },
	"postgres": func(t *testing.T) (string, string) {
		dir, err := os.MkdirTemp("", "pg")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		if err := os.Chmod(dir, 0o755); err != nil { // the server is another user where we are root
			t.Fatal(err)
		}
		s, err := postgres.Start(dir)
		if errors.Is(err, postgres.ErrNotInstalled) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
		return s.DSN(), dir
	},
}

// Whatever a plugin says and a platform sends: what the core knows as a secret is in no
// log line, metric, error, audit record or argument list, and no secret and no context
// is in a file of the store, also in the middle of its work.
func TestCanaries(t *testing.T) {
	for name, start := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn, files := start(t)
			c := newCage(t, dsn, "")
			c.live()
			if found := leaks(arguments(t), c.stable, c.broker.Password); len(found) > 0 {
				t.Errorf("in arguments: %s", strings.Join(found, "\n"))
			}
			c.broker.Kill() // with its write-ahead log
			log, err := os.ReadFile(c.broker.LogFile)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(log) {
				if found := leaks(line, c.stable, c.broker.Password, magpie); len(found) > 0 {
					t.Errorf("in the log: %s", strings.Join(found, "\n"))
				}
			}
			if !bytes.Contains(log, []byte("working on")) && !bytes.Contains(log, []byte("stderr:")) {
				t.Errorf("the plugin was silent:\n%s", log)
			}
			for _, s := range c.said {
				if found := leaks([]byte(s.text), c.stable, c.broker.Password); len(found) > 0 {
					t.Errorf("%s: %s", s.what, strings.Join(found, "\n"))
				}
			}
			state := filepath.Join(filepath.Dir(c.broker.ConfigFile), "state")
			for _, dir := range []string{state, files} {
				if dir == "" {
					continue
				}
				// In state/plugins are executables, and the leaky one has canaries of its own.
				for _, l := range findInFiles(t, dir, filepath.Join(state, "plugins"), c.stable, c.broker.Password, magpie) {
					t.Errorf("in a file: %s", l)
				}
			}
		})
	}
}

// The search finds what there is to find: without encryption the store is full of canaries.
func TestCanariesAreFound(t *testing.T) {
	for name, start := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn, files := start(t)
			c := newCage(t, dsn, "encryption: {disabled: true}\n")
			c.live()
			c.broker.Kill()
			state := filepath.Join(filepath.Dir(c.broker.ConfigFile), "state")
			if files == "" {
				files = state
			}
			for _, secret := range []string{bird + "parameter-provision", bird + "context-bind", bird + "note-update",
				bird + "resource", bird + "token", bird + "bound", magpie, c.stable} {
				if !strings.Contains(strings.Join(findInFiles(t, files, filepath.Join(state, "plugins"), secret), "\n"), secret) {
					t.Errorf("%s is not found in a store in the clear", secret)
				}
			}
		})
	}
}
