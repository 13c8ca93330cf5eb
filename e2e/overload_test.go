package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/e2e/stack"
)

// pendingCatalog is a service whose operations do not end while a test looks.
const pendingCatalog = `
id: 5d1c4f3a-6f0e-4d5c-9f43-2f1f6e4f8a01
name: pending-service
description: Never done while anybody looks.
backend: slow
bindable: false
timeouts: {provision: 5h, update: 5h, deprovision: 5h, bind: 5h, unbind: 5h}
schemas: {provision: {type: object, additionalProperties: true}}
plans:
- {id: waiting, name: waiting, description: Asks to be called again in an hour., provision: {steps: 3, retryAfter: 1h}, deprovision: {}}
- {id: blocking, name: blocking, description: Holds its call for an hour., provision: {latency: 1h}, deprovision: {}}
`

const pendingService = "5d1c4f3a-6f0e-4d5c-9f43-2f1f6e4f8a01"

// The figures that the overload test holds the broker to.
const (
	pendingOperations = 10_000
	rssLimit          = 256 << 20
)

// TestOverload: 10,000 operations pend on a slow backend at once, half of them between
// two calls and half in a call or waiting for one. The broker stays under 256 MiB,
// refuses the next one with 429, and serves another backend as if nothing was. All of
// them resume after a restart.
func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	// A sixteenth of the backend's share is kept for deletions.
	w := newOverloaded(t, fmt.Sprintf("maxUnfinished: 16000, maxUnfinishedPerUser: 16000, maxUnfinishedPerBackend: %d", pendingOperations+pendingOperations/15))
	began := time.Now()
	w.fill(pendingOperations)
	t.Logf("%d provisions accepted in %s", pendingOperations, time.Since(began).Round(time.Millisecond))
	w.counted(pendingOperations)
	w.underLimit("with all of them pending")

	a := w.put("one-more", pendingService, "waiting", true)
	if a.Status != http.StatusTooManyRequests || a.Header.Get("Retry-After") == "" || a.text("error") != "Overloaded" {
		t.Errorf("one more is answered %d %v, Retry-After %q", a.Status, a.Body, a.Header.Get("Retry-After"))
	}
	w.want(w.send(http.MethodGet, instance("one-more")+"/last_operation", nil), "poll what was refused", http.StatusNotFound)
	w.others("while the slow backend is full")

	if err := w.broker.Stop(time.Minute); err != nil {
		t.Errorf("stop: %v", err)
	}
	began = time.Now()
	if err := w.broker.Restart(w.ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready again with %d unfinished operations after %s", pendingOperations, time.Since(began).Round(time.Millisecond))
	w.counted(pendingOperations)
	w.others("after the restart")
	w.underLimit("after the restart")
}

// overloaded is a broker without a gateway, and with a backend "slow" besides "demo".
type overloaded struct{ *world }

func newOverloaded(t *testing.T, limits string) *overloaded {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	dir := t.TempDir()
	w := &world{t: t, ctx: ctx, catalog: filepath.Join(dir, "catalog"), plugins: filepath.Join(dir, "plugins"),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	copyFiles(t, "../catalog/demo.yaml", w.catalog)
	if err := os.WriteFile(filepath.Join(w.catalog, "pending.yaml"), []byte(pendingCatalog), 0o644); err != nil {
		t.Fatal(err)
	}
	copyFiles(t, filepath.Join(bin, "chandler-plugin-demo"), w.plugins)
	templates, err := filepath.Abs("../templates")
	if err != nil {
		t.Fatal(err)
	}
	w.broker, err = stack.StartBroker(ctx, stack.BrokerOptions{Bin: bin, Plugins: w.plugins, Dir: filepath.Join(dir, "broker"),
		Catalog: w.catalog, Templates: templates, Config: "backends: {slow: {plugin: demo}}\ntiming: {fastAnswer: 1ms}\nlimits: {" + limits + "}\n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.broker.Kill()
		w.client.CloseIdleConnections()
		if t.Failed() {
			if raw, err := os.ReadFile(w.broker.LogFile); err == nil {
				t.Logf("the broker's log ends:\n%s", raw[max(0, len(raw)-6000):])
			}
		}
	})
	return &overloaded{w}
}

// put provisions an instance.
func (w *overloaded) put(id, service, plan string, async bool) answer {
	w.t.Helper()
	path := instance(id)
	if async {
		path += "?accepts_incomplete=true"
	}
	return w.send(http.MethodPut, path, map[string]any{"service_id": service, "plan_id": plan, "organization_guid": "o", "space_guid": "s",
		"parameters": map[string]any{}})
}

// fill makes n operations that stay pending, 32 clients side by side.
func (w *overloaded) fill(n int) {
	w.t.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for {
				i := int(next.Add(1))
				if i > n || w.t.Failed() {
					return
				}
				plan := "waiting"
				if i%2 == 0 {
					plan = "blocking"
				}
				if err := w.accepted(fmt.Sprintf("pending-%d", i), plan); err != nil {
					w.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// accepted provisions an instance that is to be answered 202.
func (w *overloaded) accepted(id, plan string) error {
	raw, err := json.Marshal(map[string]any{"service_id": pendingService, "plan_id": plan, "organization_guid": "o", "space_guid": "s"})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPut, w.broker.URL+instance(id)+async, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	req.Header.Set("X-Broker-API-Version", "2.17")
	req.SetBasicAuth(w.broker.User, w.broker.Password)
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: answered %d: %s (%w)", id, resp.StatusCode, body, err)
	}
	return nil
}

// counted checks the number of unfinished provisions in the metrics.
func (w *overloaded) counted(n int) {
	w.t.Helper()
	want := fmt.Sprintf(`chandler_unfinished_operations{verb="provision"} %d`, n)
	var got string
	w.until(want, func() bool {
		req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, w.broker.URL+"/metrics", nil)
		if err != nil {
			return false
		}
		req.SetBasicAuth(w.broker.Operator, w.broker.Password)
		resp, err := w.client.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		got = string(raw)
		return err == nil && strings.Contains(strings.ReplaceAll(got, "1e+04", "10000"), want)
	})
}

// underLimit checks the broker's memory, at its highest so far and now.
func (w *overloaded) underLimit(when string) {
	w.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.broker.PID()))
	if err != nil {
		w.t.Skipf("no /proc here: %v", err)
	}
	size := map[string]int{}
	for line := range strings.Lines(string(raw)) {
		name, rest, _ := strings.Cut(line, ":")
		if fields := strings.Fields(rest); len(fields) == 2 && fields[1] == "kB" {
			size[name], _ = strconv.Atoi(fields[0])
		}
	}
	w.t.Logf("%s: RSS %d MiB, at most %d MiB", when, size["VmRSS"]>>10, size["VmHWM"]>>10)
	if size["VmHWM"] == 0 || size["VmHWM"]<<10 > rssLimit {
		w.t.Errorf("%s the broker has had %d MiB, more than %d", when, size["VmHWM"]>>10, rssLimit>>20)
	}
}

// others goes through a whole life at the other backend.
func (w *overloaded) others(when string) {
	w.t.Helper()
	const demo, plan = "a902fe73-8c98-4232-a752-a2f6a00e8242", "41ecaf2e-160d-4998-9fcf-0d515c372f87"
	query := "?service_id=" + demo + "&plan_id=" + plan
	began := time.Now()
	w.want(w.put("quick", demo, plan, false), "provision "+when, http.StatusCreated)
	w.want(w.send(http.MethodPut, binding("quick", "b"), map[string]any{"service_id": demo, "plan_id": plan}), "bind "+when, http.StatusCreated)
	w.want(w.send(http.MethodDelete, binding("quick", "b")+query, nil), "unbind "+when, http.StatusOK)
	w.want(w.send(http.MethodDelete, instance("quick")+query, nil), "deprovision "+when, http.StatusOK)
	w.t.Logf("a whole life at another backend %s: %s", when, time.Since(began).Round(time.Millisecond))
}
