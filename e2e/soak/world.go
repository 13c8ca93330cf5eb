package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/e2e/stack"
)

// world is everything that runs: brokers over one store, the gateway, and what kills them.
type world struct {
	o       options
	gateway *stack.Gateway
	demoDir string
	log     *os.File
	replica []*replica

	mu sync.Mutex
	// dead are the processes, by number, that ended; died is told of each.
	dead map[int]bool
	died func(process int)
	next int

	counts counts
}

// replica is one broker over its life of many processes.
type replica struct {
	*stack.Broker
	started bool
	// process is the number of the running one; 0 while none accepts requests.
	process int
}

// newWorld starts everything on a directory.
func newWorld(ctx context.Context, o options, dir string) (*world, error) {
	w := &world{o: o, demoDir: filepath.Join(dir, "demo"), dead: map[int]bool{}, died: func(int) {}}
	catalog, templates := filepath.Join(dir, "catalog"), filepath.Join(dir, "templates")
	if err := writeCatalog(catalog); err != nil {
		return nil, fmt.Errorf("write the catalog: %w", err)
	}
	if err := os.MkdirAll(templates, 0o755); err != nil {
		return nil, err
	}
	var err error
	if w.log, err = os.Create(filepath.Join(dir, "gateway.log")); err != nil {
		return nil, err
	}
	if w.gateway, err = stack.StartGateway(ctx, o.bin, filepath.Join(dir, "gateway"), w.log); err != nil {
		return nil, err
	}
	for i := range o.replicas {
		r := &replica{}
		w.replica = append(w.replica, r)
		r.Broker, err = stack.StartBroker(ctx, stack.BrokerOptions{Bin: o.bin, Dir: filepath.Join(dir, fmt.Sprintf("broker%d", i+1)),
			Catalog: catalog, Templates: templates, Gateway: w.gateway, Config: w.configuration()})
		if err != nil {
			return w, err
		}
		r.started = true
		w.up(r)
	}
	return w, nil
}

// configuration goes on in the middle of the map of backends, which the stack writes.
func (w *world) configuration() string {
	return fmt.Sprintf(`  demo:
    plugin: demo
    config: {directory: %q}
timing: {fastAnswer: 100ms, syncBudget: 3s, backoffMin: 50ms, backoffMax: 500ms, shutdown: 5s}
log: {level: info}
`, w.demoDir)
}

// up notes that a replica accepts requests.
func (w *world) up(r *replica) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	r.process = w.next
}

// down notes that a replica's process is about to end, and gives its number.
func (w *world) down(r *replica) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := r.process
	r.process = 0
	return n
}

// buried notes that a process has ended.
func (w *world) buried(process int) {
	w.mu.Lock()
	w.dead[process] = true
	w.mu.Unlock()
	w.died(process)
}

func (w *world) isDead(process int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead[process]
}

// pick gives a replica that should be able to answer; ok is false if there is none.
func (w *world) pick(rng *rand.Rand) (r *replica, process int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range rng.Perm(len(w.replica)) {
		if r := w.replica[i]; r.process > 0 {
			return r, r.process, true
		}
	}
	return nil, 0, false
}

// killBroker ends a replica, with SIGKILL or gracefully, and starts it again.
func (w *world) killBroker(ctx context.Context, r *replica, gracefully bool, pause time.Duration) error {
	process := w.down(r)
	if gracefully {
		w.counts.stops.Add(1)
		if err := r.Stop(time.Minute); err != nil {
			return &violation{text: "a broker did not stop: " + err.Error()}
		}
	} else {
		w.counts.kills.Add(1)
		r.Kill()
	}
	w.buried(process)
	sleep(ctx, pause)
	return w.restart(ctx, r)
}

// restart starts a replica; that it does not come up is a violation.
func (w *world) restart(ctx context.Context, r *replica) error {
	if err := r.Restart(context.WithoutCancel(ctx)); err != nil {
		return &violation{text: "a broker does not start again: " + err.Error()}
	}
	w.up(r)
	return nil
}

// close ends everything.
func (w *world) close() error {
	var first error
	for _, r := range w.replica {
		if r.started && !w.isDead(r.process) {
			if err := r.Stop(time.Minute); err != nil && first == nil {
				first = err
			}
		}
	}
	if w.gateway != nil {
		w.gateway.Kill()
	}
	if w.log != nil {
		_ = w.log.Close()
	}
	return first
}

// sleep waits; false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
