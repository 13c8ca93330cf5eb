package osbapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/osbapi"
)

// plugins holds the demo plugin's executable, built once for all tests.
var plugins struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if plugins.dir != "" {
		if err := os.RemoveAll(plugins.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// pluginDir gives a directory with chandler-plugin-demo in it.
func pluginDir(t *testing.T) string {
	t.Helper()
	plugins.once.Do(func() {
		if plugins.dir, plugins.err = os.MkdirTemp("", "osbapi"); plugins.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", filepath.Join(plugins.dir, "chandler-plugin-demo"), "../../plugins/demo")
		if out, err := cmd.CombinedOutput(); err != nil {
			plugins.err = fmt.Errorf("build plugins/demo: %w: %s", err, out)
		}
	})
	if plugins.err != nil {
		t.Fatal(plugins.err)
	}
	return plugins.dir
}

// world is a broker as a platform sees it: real HTTP, the real core.Broker, the
// SQLite store, a YAML catalog and the demo plugin's process.
type world struct {
	url    string
	broker *core.Broker
	parts  *parts
}

// The users of a world.
const (
	platformUser, platformPassword = "platform", "platform-password"
	operatorUser, operatorPassword = "operator", "operator-password"
)

// newWorld starts a broker. Without a change, a request with accepts_incomplete is
// never answered synchronously, so that a test knows what it gets.
func newWorld(t *testing.T, change ...func(*core.Config)) *world {
	t.Helper()
	return newWorldIn(t, t.TempDir(), change...)
}

// newWorldIn starts a broker over the state in dir, which may be an earlier world's.
func newWorldIn(t *testing.T, dir string, change ...func(*core.Config)) *world {
	t.Helper()
	w := &world{parts: startParts(t, dir, func(c *core.Config) {
		c.FastAnswer, c.SyncBudget = -1, 30*time.Second
		c.BackoffMin, c.BackoffMax = 10*time.Millisecond, 50*time.Millisecond
		for _, f := range change {
			f(c)
		}
	})}
	w.broker = w.parts.broker
	users, err := osbapi.NewUsers([]osbapi.User{
		{Name: platformUser, Passwords: []string{platformPassword}},
		{Name: operatorUser, Passwords: []string{operatorPassword}, Roles: []osbapi.Role{osbapi.RoleOperator}},
	})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := osbapi.New(osbapi.Config{Broker: w.broker, Authenticator: users})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.Config = osbapi.Server(osbapi.ServerConfig{Handler: handler})
	server.Start()
	w.url = server.URL
	w.parts.onClose(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	t.Cleanup(w.close)
	return w
}

// close stops everything, as the end of a process would; the state stays.
func (w *world) close() { w.parts.close() }

// answer is one answer, read to its end and held against what every answer must be.
type answer struct {
	method string
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

// do sends a request in version 2.17; headers are pairs, of which an empty value removes one.
func (w *world) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(platformUser, platformPassword)
	req.Header.Set("X-Broker-API-Version", "2.17")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Del(headers[i])
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{method: method, status: res.StatusCode, header: res.Header, raw: raw}
	a.check(t)
	return a
}

// fields are all fields of all answers of the specification at their first level.
var fields = strings.Fields(`services dashboard_url operation metadata state description instance_usable update_repeatable
	service_id plan_id parameters maintenance_info credentials syslog_drain_url route_service_url volume_mounts endpoints error`)

var camelCase = regexp.MustCompile(`^[A-Z][A-Za-z]*$`)

// check holds an answer against A-1, CT-01, EXT-02, ERR-01 to ERR-06 and ORP-02,
// which every answer of the OSB API must meet.
func (a *answer) check(t *testing.T) {
	t.Helper()
	if a.status == http.StatusNotModified {
		return
	}
	if err := json.Unmarshal(a.raw, &a.body); err != nil || a.body == nil {
		t.Fatalf("A-1: %d with a body that is not a JSON object: %q", a.status, a.raw)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("CT-01: Content-Type %q", got)
	}
	if a.status/100 == 2 && !slices.Contains([]int{200, 201, 202}, a.status) {
		t.Errorf("ORP-02: status %d", a.status)
	}
	word, isError := a.body["error"]
	if isError != (a.status >= 400) {
		t.Errorf("status %d with %s", a.status, a.raw)
	}
	if isError {
		if s, _ := word.(string); !camelCase.MatchString(s) {
			t.Errorf("ERR-03: error is %v", word)
		}
		if a.text("description") == "" {
			t.Errorf("ERR-04: no description: %s", a.raw)
		}
		if _, there := a.body["instance_usable"]; there && a.method != "PATCH" && a.method != "DELETE" {
			t.Errorf("ERR-05: %s", a.raw)
		}
		if _, there := a.body["update_repeatable"]; there && a.method != "PATCH" {
			t.Errorf("ERR-06: %s", a.raw)
		}
	}
}

// strict checks that the answer has no fields but the specification's.
func (a answer) strict(t *testing.T) {
	t.Helper()
	for name := range a.body {
		if !slices.Contains(fields, name) && !strings.HasPrefix(name, "chandler_") {
			t.Errorf("EXT-02: the field %q is not the specification's: %s", name, a.raw)
		}
	}
}

func (a answer) is(t *testing.T, status int) {
	t.Helper()
	a.strict(t)
	if a.status != status {
		t.Fatalf("got %d %s, want %d", a.status, a.raw, status)
	}
}

// begun fails unless work that is bound to fail was accepted. A failure that is there
// before the broker could answer 202 is answered itself.
func (a answer) begun(t *testing.T) {
	t.Helper()
	if a.status == 500 {
		a.strict(t)
		return
	}
	a.is(t, 202)
}

// made fails unless a creation was accepted, or done before the broker could answer 202.
func (a answer) made(t *testing.T) {
	t.Helper()
	if a.status != 201 {
		a.is(t, 202)
		return
	}
	a.strict(t)
}

// deleted fails unless a deletion was accepted, or done before the broker could answer 202.
func (a answer) deleted(t *testing.T) {
	t.Helper()
	if a.status != 200 {
		a.is(t, 202)
	}
}

// lookup gives the value at a path of keys and indexes; nil if there is none.
func (a answer) lookup(path string) any {
	var v any = a.body
	for _, key := range strings.Split(path, "/") {
		switch container := v.(type) {
		case map[string]any:
			v = container[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(container) {
				return nil
			}
			v = container[i]
		default:
			return nil
		}
	}
	return v
}

func (a answer) text(path string) string {
	s, _ := a.lookup(path).(string)
	return s
}

func (a answer) has(t *testing.T, path string, want any) {
	t.Helper()
	if diff := cmp.Diff(want, a.lookup(path)); diff != "" {
		t.Errorf("%s of %s: -want +got:\n%s", path, a.raw, diff)
	}
}

func (a answer) lacks(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if a.lookup(path) != nil {
			t.Errorf("%s must not be in %s", path, a.raw)
		}
	}
}

func (a answer) says(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(a.text("description"), part) {
			t.Errorf("the description does not say %q: %q", part, a.text("description"))
		}
	}
}

func (a answer) equal(t *testing.T, other answer) {
	t.Helper()
	if !bytes.Equal(a.raw, other.raw) {
		t.Errorf("got %s, want %s", a.raw, other.raw)
	}
}

// unreserved is what may be in ids that the broker makes.
var unreserved = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

// operation gives the operation of a 202.
func (a answer) operation(t *testing.T) string {
	t.Helper()
	op := a.text("operation")
	if !unreserved.MatchString(op) || len(op) > 10_000 {
		t.Fatalf("OPK-01, URL-02: the operation is %q", op)
	}
	return op
}

// Requests. An id is escaped already, and may have a query behind it.

func instancePath(id string) string {
	id, query, _ := strings.Cut(id, "?")
	if query != "" {
		query = "?" + query
	}
	return "/v2/service_instances/" + id + query
}

func bindingPath(instance, id string) string {
	return "/v2/service_instances/" + instance + strings.Replace(instancePath(id), "/v2/service_instances/", "/service_bindings/", 1)
}

func (w *world) put(t *testing.T, id, body string, headers ...string) answer {
	t.Helper()
	return w.do(t, "PUT", instancePath(id), body, headers...)
}

func (w *world) patch(t *testing.T, id, body string, headers ...string) answer {
	t.Helper()
	return w.do(t, "PATCH", instancePath(id), body, headers...)
}

func (w *world) get(t *testing.T, id string, headers ...string) answer {
	t.Helper()
	a := w.do(t, "GET", instancePath(id), "", headers...)
	a.strict(t)
	return a
}

func (w *world) remove(t *testing.T, id, service, plan string, headers ...string) answer {
	t.Helper()
	return w.do(t, "DELETE", withIDs(instancePath(id), service, plan), "", headers...)
}

func (w *world) bind(t *testing.T, instance, id, body string, headers ...string) answer {
	t.Helper()
	return w.do(t, "PUT", bindingPath(instance, id), body, headers...)
}

func (w *world) unbind(t *testing.T, instance, id, service, plan string, headers ...string) answer {
	t.Helper()
	return w.do(t, "DELETE", withIDs(bindingPath(instance, id), service, plan), "", headers...)
}

func (w *world) getBinding(t *testing.T, instance, id string, headers ...string) answer {
	t.Helper()
	a := w.do(t, "GET", bindingPath(instance, id), "", headers...)
	a.strict(t)
	return a
}

func withIDs(path, service, plan string) string {
	ids := "service_id=" + service + "&plan_id=" + plan
	if strings.Contains(path, "?") {
		return path + "&" + ids
	}
	return path + "?" + ids
}

func (w *world) poll(t *testing.T, id string) answer {
	t.Helper()
	id, query, _ := strings.Cut(id, "?")
	a := w.do(t, "GET", "/v2/service_instances/"+id+"/last_operation?"+query, "")
	a.strict(t)
	return a
}

func (w *world) pollBinding(t *testing.T, instance, id string) answer {
	t.Helper()
	id, query, _ := strings.Cut(id, "?")
	a := w.do(t, "GET", "/v2/service_instances/"+instance+"/service_bindings/"+id+"/last_operation?"+query, "")
	a.strict(t)
	return a
}

// finish polls until the operation has ended.
func (w *world) finish(t *testing.T, id string) answer {
	t.Helper()
	return until(t, func() answer { return w.poll(t, id) })
}

func (w *world) finishBinding(t *testing.T, instance, id string) answer {
	t.Helper()
	return until(t, func() answer { return w.pollBinding(t, instance, id) })
}

// until asks again while the answer says that the work goes on, for at most half a minute.
func until(t *testing.T, ask func() answer) answer {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		a := ask()
		if a.text("state") != "in progress" {
			return a
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still in progress after half a minute: %s", a.raw)
		}
	}
}

// admin asks the operators' API.
func (w *world) admin(t *testing.T, method, path string) answer {
	t.Helper()
	req, err := http.NewRequest(method, w.url+"/admin/v1"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(operatorUser, operatorPassword)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{method: method, status: res.StatusCode, header: res.Header, raw: raw}
	if err := json.Unmarshal(raw, &a.body); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return a
}

// operations gives verb and state of every operation of an instance and its bindings, newest first.
func (w *world) operations(t *testing.T, instance string) []string {
	t.Helper()
	var list []string
	a := w.admin(t, "GET", "/operations?instance_id="+instance)
	rows, _ := a.lookup("operations").([]any)
	for i := range rows {
		list = append(list, a.text(fmt.Sprintf("operations/%d/verb", i))+" "+a.text(fmt.Sprintf("operations/%d/state", i)))
	}
	return list
}

// nothing checks that the broker has no trace of an instance.
func (w *world) nothing(t *testing.T, instance string) {
	t.Helper()
	if got := w.operations(t, instance); len(got) > 0 {
		t.Errorf("there are operations of %s: %v", instance, got)
	}
	w.get(t, instance).is(t, 404)
	w.poll(t, instance).is(t, 404)
	if a := w.admin(t, "GET", "/instances/"+instance); a.status != 404 {
		t.Errorf("the instance is there: %s", a.raw)
	}
}

// absent checks that an instance does not exist, whatever the journal remembers.
func (w *world) absent(t *testing.T, instance string) {
	t.Helper()
	w.get(t, instance).is(t, 404)
	if a := w.admin(t, "GET", "/instances/"+instance); a.status != 404 {
		t.Errorf("the instance is there: %s", a.raw)
	}
}

// data makes a binding, writes a key with its credentials, takes the binding away,
// and gives the service's status as text.
func (w *world) data(t *testing.T, instance string) string {
	t.Helper()
	b := w.bind(t, instance, "data-of-"+instance, bindBody("plan-plain", ""))
	b.is(t, 201)
	status := write(t, b.text("credentials/uri"))
	w.unbind(t, instance, "data-of-"+instance, "svc-main", "plan-plain").is(t, 200)
	return status
}

// write stores a key at the demo service with the credentials of uri and gives the status.
func write(t *testing.T, uri string) string {
	t.Helper()
	req, err := http.NewRequest("PUT", uri+"key", strings.NewReader("value"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return strconv.Itoa(res.StatusCode)
}

// Bodies; more are fields besides the smallest.

func provisionBody(plan, more string) string { return instanceBody("svc-main", plan, more) }
func slowBody(plan, more string) string      { return instanceBody("svc-slow", plan, more) }
func failingBody(plan, more string) string   { return instanceBody("svc-failing", plan, more) }

func instanceBody(service, plan, more string) string {
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"service_id":%q,"plan_id":%q,"organization_guid":"org","space_guid":"space"%s}`, service, plan, more)
}

func bindBody(plan, more string) string {
	service := "svc-main"
	if s, _, ok := strings.Cut(plan, ":"); ok {
		service, plan = s, strings.TrimPrefix(plan, s+":")
	}
	if more != "" {
		more = "," + more
	}
	return fmt.Sprintf(`{"service_id":%q,"plan_id":%q%s}`, service, plan, more)
}
