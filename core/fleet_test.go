package core_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// shared is a store that several brokers use.
type shared interface {
	core.Store
	core.Leases
}

// eachStore runs a test over every kind of store. open gives a replica its own access
// to the one database of the test.
func eachStore(t *testing.T, test func(t *testing.T, open func() shared)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, openSQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, openPostgres(t))
	})
}

// openSQLite gives all replicas the same value: a file has one process.
func openSQLite(t *testing.T) func() shared {
	s, err := store.OpenSQLite(context.Background(), store.SQLiteConfig{Path: filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return func() shared { return s }
}

// long is a time to live that no test outlasts: its leases end by their release only.
const long = time.Hour

// member is one replica of a test, with everything between it and the world in the test's hand.
type member struct {
	*rig
	line *line
}

// fleet starts replicas over one store and one backend. change adapts each configuration.
func fleet(t *testing.T, open func() shared, n int, change ...func(*rig)) []*member {
	backend, service, catalog := newScript(t), newService(), &shelf{}
	catalog.put(nil, service)
	members := make([]*member, n)
	for i := range members {
		m := &member{rig: &rig{t: t, backend: backend, shelf: catalog, service: service}, line: newLine(open(), backend)}
		m.store = m.line.shared
		m.config = core.Config{Catalog: m.shelf, Store: m.line, Backends: m.line, Leases: m.line, LeaseTTL: long, Now: m.line.now,
			FastAnswer: -1, SyncBudget: patience, BackoffMin: time.Millisecond, BackoffMax: 4 * time.Millisecond}
		for _, f := range change {
			f(m.rig)
		}
		members[i] = m
		m.startBroker()
		t.Cleanup(m.leave)
	}
	return members
}

// leave closes the member's broker.
func (m *member) leave() {
	m.t.Helper()
	m.line.thaw()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.b.Close(ctx); err != nil {
		m.t.Error(err)
	}
}

// ttl is a short time to live, for tests in which a lease ends by itself.
func ttl(d time.Duration) func(*rig) { return func(r *rig) { r.config.LeaseTTL = d } }

// line is what connects a replica to its store, leases and backend.
type line struct {
	shared  shared
	backend *script

	cut      atomic.Bool // the store and the leases cannot be reached
	noLease  atomic.Bool // the leases cannot be reached
	noHints  atomic.Bool // hints are lost
	ahead    atomic.Int64
	released atomic.Int64

	mu      sync.Mutex
	frozen  chan struct{} // not nil: closed when the process goes on
	holder  string        // the newest
	calls   []core.Call   // made by this replica
	running int           // of them
	gate    chan struct{} // calls wait until it is closed
	causes  []error       // with which its calls were cancelled
	kept    []time.Time   // KeepUntil
}

func newLine(s shared, backend *script) *line { return &line{shared: s, backend: backend} }

var errCut = errors.New("the database cannot be reached")

// now is the replica's clock.
func (l *line) now() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }

// freeze stops whatever the replica begins from now on, as SIGSTOP would.
func (l *line) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen == nil {
		l.frozen = make(chan struct{})
	}
}

// thaw lets it go on.
func (l *line) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.frozen != nil {
		close(l.frozen)
		l.frozen = nil
	}
}

// pass waits while the replica is frozen.
func (l *line) pass() {
	l.mu.Lock()
	frozen := l.frozen
	l.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

// reach fails while the database cannot be reached.
func (l *line) reach() error {
	l.pass()
	if l.cut.Load() {
		return errCut
	}
	return nil
}

func (l *line) View(ctx context.Context, fn func(core.Tx) error) error {
	if err := l.reach(); err != nil {
		return err
	}
	return l.shared.View(ctx, fn)
}

func (l *line) Update(ctx context.Context, fn func(core.Tx) error) error {
	if err := l.reach(); err != nil {
		return core.Errorf(core.CodeOverloaded, "Nothing was changed.").WithCause(err)
	}
	return l.shared.Update(ctx, fn)
}

func (l *line) Ping(ctx context.Context) error { return l.shared.Ping(ctx) }
func (l *line) Close() error                   { return nil }

func (l *line) Renew(ctx context.Context, r core.Replica, ttl time.Duration) error {
	if err := l.reach(); err != nil || l.noLease.Load() {
		return errCut
	}
	err := l.shared.Renew(ctx, r, ttl)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.holder = r.Holder
	}
	return err
}

func (l *line) Release(ctx context.Context, holder string) error {
	if err := l.reach(); err != nil || l.noLease.Load() {
		return errCut
	}
	l.released.Add(1)
	return l.shared.Release(ctx, holder)
}

func (l *line) Claim(ctx context.Context, holder string, limit int) ([]string, error) {
	if err := l.reach(); err != nil || l.noLease.Load() {
		return nil, errCut
	}
	return l.shared.Claim(ctx, holder, limit)
}

func (l *line) Replicas(ctx context.Context) ([]core.Replica, error) {
	if err := l.reach(); err != nil {
		return nil, err
	}
	return l.shared.Replicas(ctx)
}

func (l *line) Hint(hints ...core.Hint) {
	if !l.noHints.Load() {
		l.shared.Hint(hints...)
	}
}

func (l *line) Listen(ctx context.Context, heard func(core.Hint)) error {
	return l.shared.Listen(ctx, func(h core.Hint) {
		if l.pass(); !l.noHints.Load() {
			heard(h)
		}
	})
}

func (l *line) Describe(backend string) (core.Description, bool) { return l.backend.Describe(backend) }

// Call implements core.Backends. The plugin process is not frozen with the broker's:
// it comes to the end of its call, or is killed in it, while its progress is not heard.
func (l *line) Call(ctx context.Context, call core.Call, progress func(core.Progress)) (core.Result, error) {
	if gate := l.begin(call); gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	var heard sync.WaitGroup
	res, err := l.backend.Call(ctx, call, func(p core.Progress) {
		said := make(chan struct{})
		heard.Add(1)
		go func() {
			defer heard.Done()
			defer close(said)
			progress(p)
		}()
		l.unlessFrozen(said)
	})
	l.end()
	heard.Wait() // the broker hears of a call's end after it has gone on
	if ctx.Err() != nil {
		l.mu.Lock()
		l.causes = append(l.causes, context.Cause(ctx))
		l.mu.Unlock()
	}
	return res, err
}

// hold lets the replica's calls wait until gate is closed, before the plugin hears of them.
func (l *line) hold(gate chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate = gate
}

// begin counts a call in, once the replica is not frozen.
func (l *line) begin(call core.Call) (gate chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.frozen != nil {
		frozen := l.frozen
		l.mu.Unlock()
		<-frozen
		l.mu.Lock()
	}
	l.calls, l.running = append(l.calls, call), l.running+1
	return l.gate
}

func (l *line) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
}

// inFlight is how many calls of this replica have not returned.
func (l *line) inFlight() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running
}

// unlessFrozen waits for done, but not while the replica is frozen.
func (l *line) unlessFrozen(done <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		l.mu.Lock()
		frozen := l.frozen != nil
		l.mu.Unlock()
		if frozen {
			return
		}
	}
}

// KeepUntil implements core.LeaseBound.
func (l *line) KeepUntil(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, t)
}

// made gives the verbs that this replica called.
func (l *line) made() (verbs []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.calls {
		verbs = append(verbs, string(c.Verb))
	}
	return verbs
}

// expire ends the replica's lease, as the database does when it was not renewed.
func (l *line) expire(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	holder := l.holder
	l.mu.Unlock()
	if err := l.shared.Release(context.Background(), holder); err != nil {
		t.Fatal(err)
	}
	l.shared.Hint(core.Hint{Kind: core.HintConsider})
}
