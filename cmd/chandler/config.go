package main

import (
	"encoding/json"
	"fmt"
	"time"
)

// Config is the broker's configuration file. docs/configuration.md describes each
// key; a test compares the two.
type Config struct {
	// Listen is the host:port of the HTTP server.
	Listen string `yaml:"listen"`
	// TLS turns HTTPS on when Certificate is set.
	TLS TLSConfig `yaml:"tls"`
	// State is the directory of everything that must survive: the SQLite file, the
	// private copies of plugins, the backends' data directories.
	State string `yaml:"state"`
	// Store says where instances, bindings and the journal are.
	Store StoreConfig `yaml:"store"`
	// Catalog and Templates are directories.
	Catalog   string        `yaml:"catalog"`
	Templates string        `yaml:"templates"`
	Plugins   PluginsConfig `yaml:"plugins"`
	// Users may call the broker; without any, everybody may (loopback only).
	Users    []UserConfig             `yaml:"users"`
	Backends map[string]BackendConfig `yaml:"backends"`
	Timing   TimingConfig             `yaml:"timing"`
	Limits   LimitsConfig             `yaml:"limits"`
	Log      LogConfig                `yaml:"log"`
	// Encryption of the store; without a master key serve refuses to start, unless it is disabled.
	Encryption EncryptionConfig `yaml:"encryption"`
	// Prefixes are further URL prefixes under which OSB is served, such as "/cf1".
	Prefixes []string `yaml:"prefixes"`

	// interpolated are the values that came from ${env:…} and ${file:…}: secrets.
	interpolated []string
	// source is the file's content, so that a change during the start is noticed.
	source []byte
}

// TLSConfig names PEM files. ClientCA lets clients show a certificate of that
// authority; users name theirs.
type TLSConfig struct {
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	ClientCA    string `yaml:"clientCA"`
}

// PluginsConfig says where plugin executables are found and where their sockets go.
type PluginsConfig struct {
	Directory string `yaml:"directory"`
	// Sockets is a short private directory; empty means one under the system's
	// temporary directory. Paths in it must stay under 100 bytes.
	Sockets string `yaml:"sockets"`
}

// UserConfig is one user of the HTTP API. A user may have several passwords and
// tokens at once, so that they can be rotated without downtime. Each is the secret
// itself or "sha256:" and the hex digest of it.
type UserConfig struct {
	Name      string   `yaml:"name"`
	Passwords []string `yaml:"passwords"`
	Tokens    []string `yaml:"tokens"`
	// Certificates are names in verified client certificates: cn:…, dns:…, uri:… or subject:….
	Certificates []string `yaml:"certificates"`
	// Role is "platform" (OSB, the default), "operator" (OSB and /admin/v1) or "metrics" (/metrics only).
	Role string `yaml:"role"`
}

// BackendConfig is a named, configured use of a plugin.
type BackendConfig struct {
	Plugin string            `yaml:"plugin"`
	Config map[string]any    `yaml:"config"`
	Env    map[string]string `yaml:"env"`
	// SHA256 pins the executable: hex digests, old and new during a roll-out.
	SHA256 []string            `yaml:"sha256"`
	Limits BackendLimitsConfig `yaml:"limits"`
	// MTLS is false for plugins whose gRPC cannot do go-plugin's AutoMTLS.
	MTLS *bool `yaml:"mtls"`
}

// BackendLimitsConfig bounds the calls of one backend; zero means the default.
type BackendLimitsConfig struct {
	// Concurrency is how many calls the process gets at once, at most the plugin's own limit.
	Concurrency int `yaml:"concurrency"`
	// Instances is how many of them may be provisions, updates and deprovisions.
	Instances int `yaml:"instances"`
	// CallTimeout is the longest time that a call may be silent.
	CallTimeout Duration `yaml:"callTimeout"`
}

// TimingConfig holds the broker's times; zero means the default that core.Config names.
type TimingConfig struct {
	FastAnswer     Duration `yaml:"fastAnswer"`
	SyncBudget     Duration `yaml:"syncBudget"`
	PollInterval   Duration `yaml:"pollInterval"`
	BackoffMin     Duration `yaml:"backoffMin"`
	BackoffMax     Duration `yaml:"backoffMax"`
	KeepTombstones Duration `yaml:"keepTombstones"`
	// Drain is how long a broker that is told to end goes on serving while /readyz says no.
	Drain    Duration `yaml:"drain"`
	Shutdown Duration `yaml:"shutdown"`
}

// LimitsConfig bounds what the broker takes in.
type LimitsConfig struct {
	BodyBytes int64 `yaml:"bodyBytes"`
	// BodiesBytes bounds all request bodies that are held at once.
	BodiesBytes        int64 `yaml:"bodiesBytes"`
	MaxConnections     int   `yaml:"maxConnections"`
	MaxRequests        int   `yaml:"maxRequests"`
	MaxRequestsPerUser int   `yaml:"maxRequestsPerUser"`
	// MaxUnfinished bounds the unfinished operations, in total, of a backend and of a user.
	MaxUnfinished           int `yaml:"maxUnfinished"`
	MaxUnfinishedPerBackend int `yaml:"maxUnfinishedPerBackend"`
	MaxUnfinishedPerUser    int `yaml:"maxUnfinishedPerUser"`
}

// LogConfig says what is logged and how: level debug|info|warn|error, format json|text.
type LogConfig struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// Duration is a Go duration in YAML, such as 90s or 2h.
type Duration time.Duration

// UnmarshalText reads "1m30s"; negative durations are errors.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 90s, 5m or 2h", text)
	}
	if v < 0 {
		return fmt.Errorf("the duration %q is negative", text)
	}
	*d = Duration(v)
	return nil
}

// defaultConfig is what holds where neither file, environment nor flag says otherwise.
func defaultConfig() Config {
	return Config{
		Listen:    "127.0.0.1:8080",
		State:     "./state",
		Store:     StoreConfig{Driver: driverSQLite},
		Catalog:   "./catalog",
		Templates: "./templates",
		Plugins:   PluginsConfig{Directory: "./bin"},
		Timing:    TimingConfig{Shutdown: Duration(20 * time.Second)},
		Limits:    LimitsConfig{BodyBytes: 1 << 20},
		Log:       LogConfig{Level: "info", Format: "json"},
	}
}

// backendJSON is the backend's config as the plugin gets it; {} where there is none.
func (b BackendConfig) backendJSON() (json.RawMessage, error) {
	if b.Config == nil {
		return json.RawMessage("{}"), nil
	}
	raw, err := json.Marshal(b.Config)
	if err != nil {
		return nil, fmt.Errorf("the backend's config cannot be written as JSON: %w", err)
	}
	return raw, nil
}
