package pluginhost

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/chandler-broker/chandler/core"
)

// Host runs the plugins of a broker. It implements core.Backends. Make it with New, then
// SetBackends, Start and, at the end, Close. Safe for concurrent use.
type Host struct {
	cfg      Config
	bins     *binaries
	launcher launcher
	guard    *guard
	lock     *os.File // of StateDir
	ownSock  bool     // SocketDir is a temporary directory of ours

	ctx    context.Context // ends when Close begins
	cancel context.CancelFunc
	hard   context.Context // ends when Close gives up waiting for calls
	cut    context.CancelFunc
	tasks  sync.WaitGroup // watcher, reaper, supervisors, processes that drain
	looked chan struct{}  // closed when the plugin directory was taken in for the first time

	mu        sync.Mutex
	started   bool
	closed    bool
	looks     int // how often the plugin directory was read
	listed    map[string]BackendConfig
	installed map[string]installed
	backends  map[string]*backend
	draining  map[*process]bool
	alive     map[*process]bool // everything that was started and is not over

	bound bound
}

var _ core.Backends = (*Host)(nil)

// New makes a host; nothing runs before Start or Validate. It fails if the directories
// cannot be used: the error says which and why.
func New(cfg Config) (*Host, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	cfg.Timing = cfg.Timing.withDefaults()
	h := &Host{cfg: cfg, listed: map[string]BackendConfig{}, installed: map[string]installed{},
		backends: map[string]*backend{}, draining: map[*process]bool{}, alive: map[*process]bool{}, looked: make(chan struct{}),
		bound: bound{changed: make(chan struct{}, 1)}}
	if err := h.makeDirs(); err != nil {
		h.removeDirs()
		return nil, err
	}
	h.bins = newBinaries(h.cfg.Dir, filepath.Join(h.cfg.StateDir, "bin"), cfg.Now)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.hard, h.cut = context.WithCancel(context.Background())
	h.launcher = startLauncher()
	h.guard = startGuard(cfg.Log, h.launcher)
	return h, nil
}

// SetBackends replaces the list of configured backends: at start and whenever the
// configuration changes. All that is wrong is reported at once, and then nothing changes. It
// returns without waiting for processes; Status and OnChange tell what becomes of them.
func (h *Host) SetBackends(_ context.Context, configs []BackendConfig) error {
	listed := map[string]BackendConfig{}
	var errs []error
	for _, c := range configs {
		c, err := c.normalised()
		if err != nil {
			errs = append(errs, err)
		}
		if _, twice := listed[c.Name]; twice {
			errs = append(errs, fmt.Errorf("backend %q is listed twice", c.Name))
		}
		listed[c.Name] = c
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listed = listed
	h.apply()
	return nil
}

// Start begins to watch the plugin directory and to run plugins. It returns at once;
// AwaitSettled waits for the first attempts. ctx bounds only the call.
func (h *Host) Start(context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.started || h.closed {
		return errors.New("plugin host: started or closed already")
	}
	h.started = true
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		h.cfg.Log.Warn("the plugin directory cannot be watched; it is read now and then", "error", err)
	}
	h.tasks.Go(func() { h.watchDir(watcher) })
	if os.Getpid() == 1 {
		h.tasks.Go(h.reapOrphans)
	}
	return nil
}

// AwaitSettled waits until the plugin directory was read and each backend was tried
// once, whatever came of it, or until ctx ends.
func (h *Host) AwaitSettled(ctx context.Context) error {
	select {
	case <-h.looked:
	case <-ctx.Done():
		return ctx.Err()
	}
	h.mu.Lock()
	var all []*backend
	for _, b := range h.backends {
		all = append(all, b)
	}
	h.mu.Unlock()
	for _, b := range all {
		select {
		case <-b.tried:
		case <-b.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Close takes no more calls, waits for the running ones until ctx ends, cuts the rest, and
// ends all plugins. When it returns nothing of them is left. Its error says if calls were cut.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	done := make(chan struct{})
	go func() {
		h.tasks.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("plugin host: running calls were cut: %w", ctx.Err())
		h.cut()
		<-done
	}
	h.cut()
	h.bound.keeper.Wait()
	h.guard.close()
	h.launcher.close()
	h.removeDirs()
	return err
}

// Describe implements core.Backends.
func (h *Host) Describe(backend string) (core.Description, bool) {
	b := h.backend(backend)
	if b == nil {
		return core.Description{}, false
	}
	return b.describe()
}

// Status gives all backends, sorted by name.
func (h *Host) Status() []BackendStatus {
	h.mu.Lock()
	var all []*backend
	for _, b := range h.backends {
		all = append(all, b)
	}
	h.mu.Unlock()
	out := make([]BackendStatus, 0, len(all))
	for _, b := range all {
		out = append(out, b.status())
	}
	slices.SortFunc(out, func(a, b BackendStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Validate starts a plugin for a moment, aside from what runs: it gives its
// description and, if configure is set, the error with which it takes or refuses the configuration.
// The host need not be started.
func (h *Host) Validate(ctx context.Context, c BackendConfig, configure bool) (core.Description, error) {
	c, err := c.normalised()
	if err != nil {
		return core.Description{}, err
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return core.Description{}, errors.New("plugin host: closed")
	}
	h.tasks.Add(1)
	h.mu.Unlock()
	defer h.tasks.Done()
	bin, err := h.bins.find(ctx, c.Plugin, h.cfg.Timing.Debounce)
	if err == nil {
		err = checkPins(c, bin)
	}
	if err != nil {
		return core.Description{}, err
	}
	p, err := h.startProcess(ctx, target{cfg: c, bin: bin}, configure)
	if err != nil {
		var e *startError
		if errors.As(err, &e) && e.desc != nil {
			return *e.desc, err
		}
		return core.Description{}, err
	}
	defer p.stop()
	return p.desc, nil
}

func (h *Host) backend(name string) *backend {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.backends[name]
}

func (h *Host) notify(backend string) {
	if h.cfg.OnChange != nil {
		h.cfg.OnChange(backend)
	}
}

// retire lets a replaced process finish its calls; the host waits for it in Close.
func (h *Host) retire(p *process) {
	h.mu.Lock()
	h.draining[p] = true
	h.mu.Unlock()
	p.log.Info("a newer process took over; this one ends when its calls have returned")
	h.tasks.Go(func() {
		p.drain(h.hard)
		h.mu.Lock()
		delete(h.draining, p)
		h.mu.Unlock()
		h.cleanCopies()
	})
}
