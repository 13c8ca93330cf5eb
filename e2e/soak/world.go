package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
	"github.com/chandler-broker/chandler/e2e/stack"
)

// world is everything that runs: brokers over one store, the gateway, and what kills them.
type world struct {
	o       options
	gateway *stack.Gateway
	// database is nil with SQLite.
	database *postgres.Server
	demoDir  string
	log      *os.File
	replica  []*replica

	mu sync.Mutex
	// dead are the processes, by number, that ended; died is told of each.
	dead map[int]bool
	died func(process int)
	next int
	// commits are those that wait for commitTime to be over.
	commits sync.WaitGroup

	// probes are the buckets with which gluster-s3 tries the gateway out, by name, and when
	// one was first left over at a rest.
	probes map[string]time.Time

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
	w := &world{o: o, demoDir: filepath.Join(dir, "demo"), dead: map[int]bool{}, died: func(int) {},
		probes: map[string]time.Time{}}
	catalog, templates := filepath.Join(dir, "catalog"), filepath.Join(dir, "templates")
	if err := writeCatalog(catalog); err != nil {
		return nil, fmt.Errorf("write the catalog: %w", err)
	}
	if err := os.MkdirAll(templates, 0o755); err != nil {
		return nil, err
	}
	var err error
	if o.store == storePostgres {
		if w.database, err = postgres.Start(""); err != nil {
			return nil, err
		}
	}
	if w.log, err = os.Create(filepath.Join(dir, "gateway.log")); err != nil {
		return w, err
	}
	if w.gateway, err = stack.StartGateway(ctx, o.bin, filepath.Join(dir, "gateway"), w.log); err != nil {
		return w, err
	}
	for i := range o.replicas {
		r := &replica{}
		w.replica = append(w.replica, r)
		r.Broker, err = stack.StartBroker(ctx, stack.BrokerOptions{Bin: o.bin, Dir: filepath.Join(dir, fmt.Sprintf("broker%d", i+1)),
			Catalog: catalog, Templates: templates, Config: w.configuration(), DSN: w.dsn(), MasterKey: filepath.Join(dir, "master.key"),
			Env: []string{"SOAK_KEY=" + w.gateway.AccessKey, "SOAK_SECRET=" + w.gateway.SecretKey}})
		if err != nil {
			return w, err
		}
		r.started = true
		w.up(r)
	}
	return w, nil
}

// configuration is what the stack does not write by itself.
func (w *world) configuration() string {
	g := w.gateway
	return fmt.Sprintf(`backends:
  demo:
    config: {directory: %q}
  gluster-s3:
    config: {endpoint: %q, adminEndpoint: %q, region: %q, accounts: versitygw, accessKeyID: "${env:SOAK_KEY}", secretAccessKey: "${env:SOAK_SECRET}"}
timing: {fastAnswer: 100ms, syncBudget: 3s, backoffMin: 50ms, backoffMax: 500ms, shutdown: 5s}
`, w.demoDir, g.Endpoint, g.AdminEndpoint, g.Region)
}

// dsn is the database that the replicas share; "" is SQLite.
func (w *world) dsn() string {
	if w.database == nil {
		return ""
	}
	return w.database.DSN()
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

// commitTime is how long a database may go on with the commit that a process sent before
// it died. Generous: too long only means that less is known for a while.
const commitTime = 5 * time.Second

// buried notes that a process has ended. What it sent to a database server may still take effect.
func (w *world) buried(process int) {
	if w.database == nil {
		w.forgotten(process)
		return
	}
	w.commits.Go(func() {
		time.Sleep(commitTime)
		w.forgotten(process)
	})
}

// forgotten notes that nothing that a process began can take effect any more.
func (w *world) forgotten(process int) {
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

// restart starts a replica; that it does not come up is a violation. While the database
// server is harmed it may end in vain.
func (w *world) restart(ctx context.Context, r *replica) error {
	ctx = context.WithoutCancel(ctx)
	err := r.Restart(ctx)
	for try := 1; err != nil && w.database != nil && try < 20; try++ {
		sleep(ctx, 500*time.Millisecond)
		err = r.Restart(ctx)
	}
	if err != nil {
		return &violation{text: "a broker does not start again: " + err.Error()}
	}
	w.up(r)
	return nil
}

// restartAll kills and starts all replicas at once.
func (w *world) restartAll(ctx context.Context) error {
	errs := make([]error, len(w.replica))
	var wg sync.WaitGroup
	for i, r := range w.replica {
		wg.Go(func() { errs[i] = w.killBroker(ctx, r, false, 0) })
	}
	wg.Wait()
	w.commits.Wait()
	return errors.Join(errs...)
}

// close ends everything.
func (w *world) close() error {
	var first error
	for _, r := range w.replica {
		if r.started && !w.isDead(r.process) {
			first = errors.Join(first, r.Stop(time.Minute))
		}
	}
	if w.gateway != nil {
		w.gateway.Kill()
	}
	if w.database != nil {
		first = errors.Join(first, w.database.Stop())
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
