package pluginhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/plugin"
)

// Prefix begins the file name of every plugin; the plugin's name follows.
const Prefix = "chandler-plugin-"

// MaxJSON is the size that inputs, outputs, handles and a backend's configuration
// may have, each, in bytes.
const MaxJSON = plugin.MaxDocument

// Config is what a Host is made of. Dir and StateDir are required.
type Config struct {
	// Dir is the plugin directory. It is watched; it may be read-only, and may come to exist later.
	Dir string
	// StateDir is a directory for this host alone, made with mode 0700 if it is missing: copies of
	// the binaries that run (so it must not be mounted noexec), data directories
	// of backends, temporary files. A second host on it is refused.
	StateDir string
	// SocketDir is where the plugins' sockets are made, in directories of mode 0700. For this
	// host alone; at most 61 bytes long. Default: "s" in StateDir, or a temporary
	// directory if that is too long.
	SocketDir string
	// BrokerVersion is told to plugins, for their logs.
	BrokerVersion string
	// Log gets the host's and the plugins' records. Default: discard.
	Log *slog.Logger
	// Descriptions keeps what plugins said of themselves across restarts. Default: nothing is kept.
	Descriptions DescriptionCache
	// Approve is asked before a process serves for the first time, with what it says of itself; an
	// error keeps it from serving (the one that runs goes on) and is tried again
	// later. Default: everything is approved. Called from the backend's supervisor.
	Approve func(backend string, d core.Description) error
	// OnChange is told that a backend appeared, vanished, described itself anew or
	// changed its state. Called from the backend's supervisor, so it must return soon.
	OnChange func(backend string)
	// Now and Random are for tests. Defaults: time.Now, crypto/rand.
	Now    func() time.Time
	Random io.Reader
	// Timing holds all waits; zero fields have defaults.
	Timing Timing
}

// DescriptionCache keeps plugin descriptions across restarts of the broker.
type DescriptionCache interface {
	// Load gives what Save was last given for the backend; nil, nil if nothing.
	Load(backend string) ([]byte, error)
	// Save replaces it.
	Save(backend string, description []byte) error
}

// BackendConfig is a named, configured use of a plugin.
type BackendConfig struct {
	// Name is what services refer to: 1 to 63 of [a-z0-9-].
	Name string
	// Plugin is the plugin's name, the executable's without Prefix; "" means Name.
	Plugin string
	// Config is the plugin's configuration, a JSON object; empty means {}.
	Config json.RawMessage
	// Secrets are values (for example from ${env:…}) that are masked in the plugin's logs.
	Secrets []string
	// Env are the only variables of the plugin's environment besides PATH, LANG, TZ, HOME, TMPDIR and the handshake's.
	Env map[string]string
	// SHA256 pins the binary: lower- or upper-case hex digests, one of which it must have. Empty: trusted on first sight.
	SHA256 []string
	Limits Limits
	// MTLS false is for plugins that cannot do go-plugin's AutoMTLS: they are
	// spoken to through a socket in a directory of mode 0700 only. Nil means true.
	MTLS *bool
}

// Limits bound the calls of one backend.
type Limits struct {
	// MaxConcurrency is how many calls its process gets at once; 0 means the plugin's own limit. The
	// lower one of both holds.
	MaxConcurrency int
	// MaxInstanceCalls is how many of these may be provisions, updates and deprovisions. 0 means three
	// quarters, so that binds and unbinds find a place.
	MaxInstanceCalls int
	// CallTimeout is how long a call may go without an event where Call.Timeout is zero. Default 10 min.
	CallTimeout time.Duration
}

// Timing holds every wait of the host. Zero means the default in the comment.
type Timing struct {
	Start     time.Duration // from exec to handshake: 30 s
	Describe  time.Duration // answer to Describe: 10 s
	Configure time.Duration // answer to Configure: 1 min
	// ReadyWait is how long a call waits for a process that is just starting: 20 s.
	ReadyWait time.Duration
	// CancelGrace is how long a cancelled call may go on before its process is killed: 10 s.
	CancelGrace time.Duration
	// LeaseGrace is the same for a call that is cancelled since the broker's lease ends
	// (core.ErrLeaseEnding): 2 s, if CancelGrace is not shorter.
	LeaseGrace time.Duration
	// HealthInterval, HealthTimeout and HealthFailures: a process whose Health does not
	// answer in time that often in a row is killed: 10 s, 5 s, 3.
	HealthInterval, HealthTimeout time.Duration
	HealthFailures                int
	// StopGrace is how long a process may take to end after it was asked to: 5 s.
	StopGrace time.Duration
	// BackoffMin and BackoffMax bound the pause before the next start, doubled each time, with jitter: 200 ms, 1 min.
	BackoffMin, BackoffMax time.Duration
	// BreakerFailures within BreakerWindow open the circuit breaker for BreakerOpen: 5, 1 min, 30 s.
	BreakerFailures            int
	BreakerWindow, BreakerOpen time.Duration
	// Stable is how long a process must run to be forgiven its predecessors: 30 s.
	Stable time.Duration
	// Debounce is how long the plugin directory must be quiet before a new file is taken: 300 ms.
	Debounce time.Duration
	// Rescan is how often the plugin directory is read even if nobody said that it changed: 10 s.
	Rescan time.Duration
	// Vanish is how long a binary must be gone before its unlisted backend ends: 10 s.
	Vanish time.Duration
	// Progress is the shortest time between two progress events of one call: 1 s.
	Progress time.Duration
}

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Start, 30*time.Second)
	def(&t.Describe, 10*time.Second)
	def(&t.Configure, time.Minute)
	def(&t.ReadyWait, 20*time.Second)
	def(&t.CancelGrace, 10*time.Second)
	def(&t.LeaseGrace, min(2*time.Second, t.CancelGrace))
	def(&t.HealthInterval, 10*time.Second)
	def(&t.HealthTimeout, 5*time.Second)
	def(&t.StopGrace, 5*time.Second)
	def(&t.BackoffMin, 200*time.Millisecond)
	def(&t.BackoffMax, time.Minute)
	def(&t.BreakerWindow, time.Minute)
	def(&t.BreakerOpen, 30*time.Second)
	def(&t.Stable, 30*time.Second)
	def(&t.Debounce, 300*time.Millisecond)
	def(&t.Rescan, 10*time.Second)
	def(&t.Vanish, 10*time.Second)
	def(&t.Progress, time.Second)
	if t.HealthFailures == 0 {
		t.HealthFailures = 3
	}
	if t.BreakerFailures == 0 {
		t.BreakerFailures = 5
	}
	return t
}

// defaultCallTimeout is Limits.CallTimeout's default.
const defaultCallTimeout = 10 * time.Minute

var (
	nameRule   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	digestRule = regexp.MustCompile(`^[0-9a-f]{64}$`)
	envRule    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// normalised gives a copy with defaults filled in and everything that is wrong with it, joined.
func (c BackendConfig) normalised() (BackendConfig, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("backend %q: "+format, append([]any{c.Name}, args...)...))
	}
	if c.Plugin == "" {
		c.Plugin = c.Name
	}
	if !nameRule.MatchString(c.Name) {
		bad("the name must be 1 to 63 of a-z, 0-9 and -, not beginning or ending with -")
	}
	if !nameRule.MatchString(c.Plugin) {
		bad("plugin %q must be the executable's name without %q: 1 to 63 of a-z, 0-9 and -", c.Plugin, Prefix)
	}
	config, err := compactObject(c.Config)
	if err != nil {
		bad("config %v", err)
	}
	c.Config = config
	pins := make([]string, len(c.SHA256))
	for i, pin := range c.SHA256 {
		pins[i] = strings.ToLower(pin)
		if !digestRule.MatchString(pins[i]) {
			bad("sha256 %q must be 64 hexadecimal digits", pin)
		}
	}
	c.SHA256 = pins
	for name, value := range c.Env {
		if !envRule.MatchString(name) || strings.ContainsRune(value, 0) {
			bad("environment variable %q must be a name of letters, digits and _ with a value without NUL", name)
		} else if strings.HasPrefix(name, "CHANDLER_") || strings.HasPrefix(name, "PLUGIN_") {
			bad("environment variable %s: names that begin with CHANDLER_ or PLUGIN_ belong to the host", name)
		}
	}
	if c.Limits.MaxConcurrency < 0 || c.Limits.MaxInstanceCalls < 0 || c.Limits.CallTimeout < 0 {
		bad("limits must not be negative")
	}
	if c.Limits.CallTimeout == 0 {
		c.Limits.CallTimeout = defaultCallTimeout
	}
	return c, errors.Join(errs...)
}

func (c BackendConfig) mtls() bool { return c.MTLS == nil || *c.MTLS }

// compactObject checks that raw is one JSON object of at most MaxJSON; empty input gives {}.
func compactObject(raw json.RawMessage) (json.RawMessage, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return json.RawMessage("{}"), nil
	}
	if len(raw) > MaxJSON {
		return nil, fmt.Errorf("has %d bytes; at most %d are allowed", len(raw), MaxJSON)
	}
	if err := checkObject(raw); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := json.Compact(&buf, raw); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// checkObject says what keeps raw from being one JSON object. The text names no value of raw.
func checkObject(raw []byte) error {
	if t := bytes.TrimLeft(raw, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		return errors.New("must be a JSON object")
	}
	if !json.Valid(raw) {
		return errors.New("must be a JSON object, but it is not valid JSON")
	}
	return nil
}
