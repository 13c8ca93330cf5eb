package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/pluginhost"
	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/template"
)

// app is a broker with everything that belongs to it. start builds it from the
// inside out, stop takes it down from the outside in.
type app struct {
	cfg     Config
	log     *slog.Logger
	masked  *maskedWriter
	metrics *metrics

	name      string // of this process, for operators
	paused    bool   // the dispatcher is paused before anything starts
	store     core.Store
	keyring   *store.Keyring // nil where the store is in the clear on purpose
	keys      *core.Keys
	broken    chan error  // why this process must end
	leases    core.Leases // nil where nobody shares the store
	stateLock *os.File    // nil with SQLite, which has its own
	host      *pluginhost.Host
	catalog   *catalog.Catalog
	// watching is the catalog once it wants to hear of backends; the host's
	// supervisors read it while start still runs.
	watching atomic.Pointer[catalog.Catalog]
	broker   *core.Broker
	edge     edge
	tracing  *tracing   // nil without a collector
	served   chan error // the server's end

	refused   atomic.Pointer[refusal] // of the configuration file; nil: it is in use
	waits     atomic.Pointer[string]  // what the start waits for; nil: it goes on
	stopping  chan struct{}           // closed when a shutdown begins: not ready any more
	beginStop sync.Once
}

// settleTime is how long a start waits for plugins: the catalog then knows their
// descriptions. One that takes longer is taken from its last description.
const settleTime = 5 * time.Second

// start brings everything up in order; what was started before an error is stopped again.
// The server comes first: probes see a broker that starts, however long its database is away.
func (a *app) start(ctx context.Context) (err error) {
	a.stopping, a.broken, a.metrics, a.name = make(chan struct{}), make(chan error, 1), newMetrics(), processName()
	defer func() {
		if err != nil {
			err = errors.Join(err, a.stop())
		}
	}()
	for _, step := range []func(context.Context) error{
		a.listen, a.patiently(a.openStore), a.patiently(a.checkStore), a.patiently(a.openKeys), a.startHost, a.patiently(a.startCatalog), a.patiently(a.startBroker), a.serveRequests,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) startHost(ctx context.Context) (err error) {
	backends, err := a.cfg.backendConfigs()
	if err != nil {
		return err
	}
	a.host, err = pluginhost.New(pluginhost.Config{
		Dir: a.cfg.Plugins.Directory, StateDir: filepath.Join(a.cfg.State, "plugins"), SocketDir: a.cfg.Plugins.Sockets,
		BrokerVersion: version(), Log: a.log, Descriptions: documents{a.store},
		// A new binary whose outputs or inputs the active catalog does not fit would break plans that work.
		Approve: func(backend string, d core.Description) error {
			if c := a.watching.Load(); c != nil {
				return c.Approve(backend, d)
			}
			return nil
		},
		OnChange: func(backend string) {
			if c := a.watching.Load(); c != nil {
				c.BackendChanged(backend)
			}
		},
	})
	if err != nil {
		return err
	}
	if err := a.host.SetBackends(ctx, backends); err != nil {
		return err
	}
	if err := a.host.Start(ctx); err != nil {
		return err
	}
	settle, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := a.host.AwaitSettled(settle); err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

func (a *app) startCatalog(ctx context.Context) error {
	a.catalog = catalog.New(catalog.Config{
		Dir: a.cfg.Catalog, TemplatesDir: a.cfg.Templates, Templates: template.New(),
		Describe: a.host.Describe, KnownBackend: a.knownBackend, Offerings: a.host.Offerings,
		Store: a.store, Shared: a.leases != nil, Replica: a.name, Announce: a.announce,
		Secret: func(reference string) (string, error) { return interpolate(a.cfg.Catalog, reference) },
		Log:    a.log,
	})
	if err := a.catalog.Start(ctx); err != nil {
		return err
	}
	a.watching.Store(a.catalog)
	a.catalog.BackendChanged("") // what changed while it started
	return nil
}

// knownBackend tells whether the host has the backend, whatever its state.
func (a *app) knownBackend(name string) bool {
	for _, s := range a.host.Status() {
		if s.Name == name {
			return true
		}
	}
	return false
}

func (a *app) startBroker(ctx context.Context) error {
	if a.broker != nil { // the database went away at the last attempt
		return a.broker.Start(ctx)
	}
	t := a.cfg.Timing
	broker, err := core.New(core.Config{
		Catalog: a.catalog, Store: a.store, Backends: a.host, Log: a.log, Observe: a.metrics, Trace: a.tracing.tracer(),
		FastAnswer: time.Duration(t.FastAnswer), SyncBudget: time.Duration(t.SyncBudget), PollInterval: time.Duration(t.PollInterval),
		BackoffMin: time.Duration(t.BackoffMin), BackoffMax: time.Duration(t.BackoffMax), KeepTombstones: time.Duration(t.KeepTombstones),
		MaxUnfinished: a.cfg.Limits.MaxUnfinished, MaxUnfinishedPerBackend: a.cfg.Limits.MaxUnfinishedPerBackend, MaxUnfinishedPerUser: a.cfg.Limits.MaxUnfinishedPerUser, Keys: a.keys.Revision,
		Leases: a.leases, ReplicaName: a.name, Version: version(), OnDocument: a.documentChanged,
	})
	if err != nil {
		return err
	}
	a.broker = broker
	return broker.Start(ctx)
}

func (a *app) backendStates() []backendState {
	var list []backendState
	for _, s := range a.host.Status() {
		list = append(list, backendState{name: s.Name, up: s.State == pluginhost.StateRunning, restarts: s.Restarts})
	}
	return list
}

// drain goes on serving, not ready any more, until whoever sends requests has had time to
// see that, or the server ends.
func (a *app) drain(seen <-chan time.Time) {
	a.beginStop.Do(func() { close(a.stopping) })
	select {
	case <-seen:
	case err := <-a.served:
		a.served <- err // stop reads it again
	}
}

// stop takes down what was started: no new requests, running ones are answered, the
// broker hands its operations over, plugins end, the store closes.
func (a *app) stop() error {
	a.beginStop.Do(func() { close(a.stopping) })
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(a.cfg.Timing.Shutdown))
	defer cancel()
	var problems []error
	// The broker first: requests that wait for work are answered when it lets go of it.
	shutdown := make(chan error, 1)
	go func() {
		if a.served == nil {
			shutdown <- nil
			return
		}
		err := a.edge.server.Shutdown(ctx)
		if end := <-a.served; !errors.Is(end, http.ErrServerClosed) {
			err = errors.Join(err, end)
		}
		shutdown <- err
	}()
	if a.broker != nil {
		problems = append(problems, a.broker.Close(ctx))
	}
	if err := <-shutdown; err != nil && !errors.Is(err, context.DeadlineExceeded) {
		problems = append(problems, err)
	}
	if a.catalog != nil {
		a.catalog.Close()
	}
	if a.host != nil {
		problems = append(problems, a.host.Close(ctx))
	}
	if a.keys != nil {
		a.keys.Close()
	}
	if a.store != nil {
		problems = append(problems, a.store.Close())
	}
	if a.stateLock != nil {
		problems = append(problems, a.stateLock.Close())
	}
	return errors.Join(problems...)
}
