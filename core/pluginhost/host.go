package pluginhost

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
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

// longestSocketDir leaves room for go-plugin's names within 100 bytes.
const longestSocketDir = 61

func (h *Host) makeDirs() error {
	if h.cfg.Dir == "" || h.cfg.StateDir == "" {
		return errors.New("plugin host: the plugin directory and the state directory must be set")
	}
	for _, dir := range []*string{&h.cfg.Dir, &h.cfg.StateDir, &h.cfg.SocketDir} {
		if *dir == "" {
			continue
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return err
		}
		*dir = abs
	}
	for _, sub := range []string{"", "bin", "data", "tmp", "good"} {
		if err := os.MkdirAll(filepath.Join(h.cfg.StateDir, sub), 0o700); err != nil {
			return fmt.Errorf("plugin host: state directory: %w", err)
		}
	}
	lock, err := os.OpenFile(filepath.Join(h.cfg.StateDir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("plugin host: state directory: %w", err)
	}
	h.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("plugin host: the state directory %s is used by another process", h.cfg.StateDir)
	}
	return h.makeSocketDir()
}

func (h *Host) makeSocketDir() (err error) {
	configured := h.cfg.SocketDir != ""
	if !configured {
		h.cfg.SocketDir = filepath.Join(h.cfg.StateDir, "s")
	}
	if len(h.cfg.SocketDir) > longestSocketDir {
		if configured {
			return fmt.Errorf("plugin host: the socket directory %s has %d bytes; at most %d are possible, since the paths of sockets are short",
				h.cfg.SocketDir, len(h.cfg.SocketDir), longestSocketDir)
		}
		if h.cfg.SocketDir, err = h.temporarySocketDir(); err != nil {
			return fmt.Errorf("plugin host: no socket directory was configured, the state directory's path is too long for sockets, and: %w", err)
		}
		h.ownSock = true
	}
	if err := os.MkdirAll(h.cfg.SocketDir, 0o700); err != nil {
		return fmt.Errorf("plugin host: socket directory: %w", err)
	}
	probe, err := os.MkdirTemp(h.cfg.SocketDir, "probe-")
	if err != nil {
		return fmt.Errorf("plugin host: socket directory: %w", err)
	}
	_ = os.Remove(probe)
	// What a killed broker left behind.
	for _, pattern := range []string{filepath.Join(h.cfg.SocketDir, "plugin-dir*"), filepath.Join(h.tmpDir(), "*")} {
		left, _ := filepath.Glob(pattern)
		for _, path := range left {
			_ = os.RemoveAll(path)
		}
	}
	return nil
}

// temporarySocketDir makes one and removes its predecessor, which a killed broker
// left behind: a file in the state directory, which is locked, remembers the path.
func (h *Host) temporarySocketDir() (string, error) {
	note := filepath.Join(h.cfg.StateDir, "sockets")
	if old, err := os.ReadFile(note); err == nil && filepath.Dir(string(old)) == filepath.Clean(os.TempDir()) {
		if info, err := os.Lstat(string(old)); err == nil && info.IsDir() && info.Mode().Perm() == 0o700 {
			_ = os.RemoveAll(string(old)) // what cannot be removed does no harm
		}
	}
	dir, err := os.MkdirTemp("", "chandler-")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(note, []byte(dir), 0o600); err != nil {
		_ = os.Remove(dir)
		return "", err
	}
	return dir, nil
}

func (h *Host) removeDirs() {
	if h.ownSock {
		_ = os.RemoveAll(h.cfg.SocketDir)
	}
	if h.lock != nil {
		_ = h.lock.Close()
	}
}

func (h *Host) tmpDir() string { return filepath.Join(h.cfg.StateDir, "tmp") }

// dataDir makes the directory that only this backend uses and that is kept.
func (h *Host) dataDir(backend string) (string, error) {
	dir := filepath.Join(h.cfg.StateDir, "data", backend)
	return dir, os.MkdirAll(dir, 0o700)
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

// saveGood notes the digest of the last binary that served a backend.
func (h *Host) saveGood(backend, digest string) error {
	path := filepath.Join(h.cfg.StateDir, "good", backend)
	if old, err := os.ReadFile(path); err == nil && string(old) == digest {
		return nil
	}
	if err := os.WriteFile(path+".new", []byte(digest), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// goodDigest is what saveGood noted; "" if nothing.
func (h *Host) goodDigest(backend string) string {
	f, err := os.Open(filepath.Join(h.cfg.StateDir, "good", backend))
	if err != nil {
		return ""
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil || !digestRule.Match(raw) {
		return ""
	}
	return string(raw)
}

// lastGood gives the binary that served the backend last, before this broker was started; nil if
// there is none or its copy is gone.
func (h *Host) lastGood(backend string, want target) *target {
	digest := h.goodDigest(backend)
	if digest == "" {
		return nil
	}
	bin := h.bins.kept(want.cfg.Plugin, digest)
	if bin == nil {
		return nil
	}
	return &target{cfg: want.cfg, implicit: want.implicit, bin: bin}
}
