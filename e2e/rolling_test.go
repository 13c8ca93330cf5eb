package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/e2e/stack"
)

// The load of TestUpgradeBehindBalancer. A probe that says no takes a replica out at once; the
// replicas' timing.drain is long enough for that on a busy machine.
const (
	rollingWorkers = 6
	probeEvery     = 100 * time.Millisecond
	probeTimeout   = time.Second
	rollingConfig  = "timing: {fastAnswer: 100ms, syncBudget: 50s, drain: 2s, shutdown: 40s}\nbackends: {demo: {config: {directory: %q}}}\n"
)

// balancer spreads requests over the replicas that say they are ready, as a load balancer does.
type balancer struct {
	*world
	replicas []*balanced
	next     atomic.Int64
	answers  atomic.Int64
	refused  atomic.Int64 // 429, sent again
	probes   sync.WaitGroup

	mu       sync.Mutex
	failures []string
}

// balanced is one replica as the balancer sees it.
type balanced struct {
	*stack.Broker
	url   string
	ready atomic.Bool
}

// probe asks a replica again and again whether it is ready.
func (l *balancer) probe(ctx context.Context, r *balanced) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		r.ready.Store(l.isReady(ctx, r))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (l *balancer) isReady(ctx context.Context, r *balanced) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// pick gives the next replica that is ready; nil if there is none.
func (l *balancer) pick() *balanced {
	for range l.replicas {
		if r := l.replicas[int(l.next.Add(1))%len(l.replicas)]; r.ready.Load() {
			return r
		}
	}
	return nil
}

func (l *balancer) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// send sends a request to a ready replica, again after a 429. Everything else that is not
// in want is a failure; ok is false then.
func (l *balancer) send(method, path string, body any, want ...int) (a answer, ok bool) {
	for {
		r := l.pick()
		if r == nil {
			l.fail("%s %s: no replica is ready", method, path)
			return a, false
		}
		a, err := l.on(r.Broker).try(l.ctx, method, path, body)
		if err != nil {
			l.fail("%s %s at %s: %v", method, path, r.url, err)
			return a, false
		}
		l.answers.Add(1)
		for _, status := range want {
			if a.Status == status {
				return a, true
			}
		}
		if a.Status != http.StatusTooManyRequests {
			l.fail("%s %s at %s: %d %v, want %v", method, path, r.url, a.Status, a.Body, want)
			return a, false
		}
		l.refused.Add(1)
		if !l.pause() {
			return a, false
		}
	}
}

// pause is the time between two requests of one client.
func (l *balancer) pause() bool {
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		l.fail("the test's time is over")
		return false
	}
}

// does sends a request that begins something and waits until that has succeeded.
func (l *balancer) does(method, path, query string, body any) bool {
	a, ok := l.send(method, path+query, body, http.StatusOK, http.StatusCreated, http.StatusAccepted)
	if !ok || a.Status != http.StatusAccepted {
		return ok
	}
	poll := path + "/last_operation?operation=" + url.QueryEscape(a.text("operation"))
	want := []int{http.StatusOK}
	if method == http.MethodDelete {
		want = append(want, http.StatusGone)
	}
	for l.pause() {
		a, ok := l.send(http.MethodGet, poll, nil, want...)
		switch {
		case !ok:
			return false
		case a.Status == http.StatusGone, a.text("state") == "succeeded":
			return true
		case a.text("state") != "in progress":
			l.fail("%s %s: the operation ends with %v", method, path, a.Body)
			return false
		}
	}
	return false
}

// cycle makes an instance and a binding, and removes both unless they are kept. password is
// the binding's.
func (l *balancer) cycle(id string, p plan, query string, keep bool) (password string, ok bool) {
	if !l.does(http.MethodPut, instance(id), query, p.body(nil)) {
		return "", false
	}
	if _, ok := l.send(http.MethodGet, instance(id), nil, http.StatusOK); !ok {
		return "", false
	}
	if !l.does(http.MethodPut, binding(id, "b"), query, p.body(nil)) {
		return "", false
	}
	got, ok := l.send(http.MethodGet, binding(id, "b"), nil, http.StatusOK)
	if password = passwordOf(got); ok && password == "" {
		l.fail("%s: no password in %v", id, got.Body)
	}
	if !ok || keep {
		return password, ok
	}
	remove := "?service_id=" + p.service + "&plan_id=" + p.plan
	if query != "" {
		remove += "&accepts_incomplete=true"
	}
	if !l.does(http.MethodDelete, binding(id, "b"), remove, nil) || !l.does(http.MethodDelete, instance(id), remove, nil) {
		return "", false
	}
	_, ok = l.send(http.MethodGet, instance(id), nil, http.StatusNotFound)
	return "", ok
}

// newVersion builds chandler as another executable, without the version that the tests' own is
// stamped with where they run in a repository.
func newVersion(t *testing.T, to string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags=-s", "-o", to, "./cmd/chandler")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the new version: %v\n%s", err, out)
	}
}

// Three replicas behind a load balancer are replaced one after the other by a new executable
// while clients go on: no request fails, and what was acknowledged is so at every replica.
func TestUpgradeBehindBalancer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	dsn, _ := stores["postgres"](t)
	w, o := newPlainWorld(t)
	w.ctx = ctx
	dir := t.TempDir()
	newVersion(t, filepath.Join(dir, "new"))
	o.DSN, o.Plugins, o.MasterKey, o.Config = dsn, bin, filepath.Join(dir, "master.key"), fmt.Sprintf(rollingConfig, filepath.Join(dir, "demo"))
	w.client.Transport = &http.Transport{MaxIdleConnsPerHost: rollingWorkers} // its own connections
	l := &balancer{world: w}
	for i := range 3 {
		o.Dir = filepath.Join(dir, fmt.Sprint("broker", i))
		o.Bin = filepath.Join(o.Dir, "bin")
		if err := os.MkdirAll(o.Bin, 0o700); err != nil {
			t.Fatal(err)
		}
		copyFile(t, filepath.Join(bin, "chandler"), filepath.Join(o.Bin, "chandler"))
		b, err := stack.StartBroker(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		r := &balanced{Broker: b, url: b.URL}
		t.Cleanup(func() { b.Kill() })
		l.replicas = append(l.replicas, r)
	}
	probing, stopProbing := context.WithCancel(ctx)
	defer l.probes.Wait()
	defer stopProbing()
	for _, r := range l.replicas {
		l.probes.Go(func() { l.probe(probing, r) })
		w.until("the balancer knows the replica", r.ready.Load)
	}

	kept, removed := l.load(func() {
		for _, r := range l.replicas {
			l.served(30)
			if err := r.Stop(time.Minute); err != nil {
				t.Error(err) // killed, or status other than 0
			}
			program := filepath.Join(filepath.Dir(r.ConfigFile), "bin", "chandler")
			if err := os.Remove(program); err != nil {
				t.Fatal(err)
			}
			copyFile(t, filepath.Join(dir, "new"), program)
			if err := r.Restart(ctx); err != nil {
				t.Fatal(err)
			}
			w.until("the balancer has the replica again", r.ready.Load)
		}
		l.served(30)
	})
	t.Logf("%d answers, %d of them 429 and sent again, %d instances kept and %d removed", l.answers.Load(), l.refused.Load(), len(kept), len(removed))
	for _, f := range l.failures {
		t.Error(f)
	}
	if len(kept) == 0 || len(removed) == 0 {
		t.Error("the load did nothing")
	}
	for _, r := range l.replicas {
		at := w.on(r.Broker)
		for id, password := range kept {
			if got := passwordOf(at.want(at.send(http.MethodGet, binding(id, "b"), nil), "fetch "+id, 200)); got != password {
				t.Errorf("%s: the password is another one", id)
			}
		}
		for _, id := range removed {
			at.want(at.send(http.MethodGet, instance(id), nil), "fetch "+id+", which was removed", 404)
		}
	}
}

// served waits until so many more requests were answered, or one failed.
func (l *balancer) served(n int64) {
	l.t.Helper()
	enough := l.answers.Load() + n
	l.until("more answers", func() bool { return l.answers.Load() >= enough || l.failed() })
}

func (l *balancer) failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failures) > 0
}

// load runs clients for as long as meanwhile takes, and until each has finished what it began.
// It gives the passwords of the instances that were kept, and the others.
func (l *balancer) load(meanwhile func()) (kept map[string]string, removed []string) {
	kept = map[string]string{}
	plans := []plan{quickPlan, slowPlan, {quickPlan.service, "02242760-2d4b-421b-828f-9bf221c11894"}}
	var mu sync.Mutex
	var enough atomic.Bool
	var clients sync.WaitGroup
	for c := range rollingWorkers {
		clients.Go(func() { // each plan has a client that waits and one that polls
			query := []string{"", async}[c/len(plans)]
			for n := 0; !enough.Load(); n++ {
				id, keep := fmt.Sprintf("client%d-%d", c, n), n%4 == 0
				password, ok := l.cycle(id, plans[c%len(plans)], query, keep)
				if !ok {
					return
				}
				mu.Lock()
				if keep {
					kept[id] = password
				} else {
					removed = append(removed, id)
				}
				mu.Unlock()
				if !l.pause() {
					return
				}
			}
		})
	}
	defer clients.Wait() // also where meanwhile fails the test; the results are complete after it
	defer enough.Store(true)
	meanwhile()
	return kept, removed
}
