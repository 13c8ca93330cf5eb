package osbapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The defaults of Config and the bounds that no configuration changes.
const (
	// DefaultMaxBody is the largest request body in bytes (1 MiB).
	DefaultMaxBody = 1 << 20
	// DefaultMaxHeader is the largest total of header names and values in bytes (64 KiB).
	DefaultMaxHeader = 64 << 10
	// DefaultMaxRequests is how many requests are worked on at once.
	DefaultMaxRequests = 1000
	// DefaultMaxBodies is how many bytes the bodies of these requests may have (32 MiB).
	DefaultMaxBodies = 32 << 20
	// DefaultMaxConnections is how many connections a server keeps.
	DefaultMaxConnections = 4096
	// MaxID is the longest instance or binding id in bytes, after unescaping. OSB
	// sets no limit; databases and backends do.
	MaxID = 1024
	// MaxDepth is how deep a request body may nest arrays and objects.
	MaxDepth = 64
)

// Config is what New makes a handler of. Broker is required, and so is
// Authenticator unless Anonymous is set.
type Config struct {
	Broker Broker

	// Authenticator says who asks; *Users is one.
	Authenticator Authenticator
	// Anonymous serves everybody everything, without an Authenticator: for a
	// broker behind a proxy that authenticates, and for a first look.
	Anonymous bool
	// Prefixes are URL prefixes under which the OSB API is served besides "/v2".
	Prefixes []Prefix

	Log *slog.Logger // default: discard

	MaxBody   int64 // bytes of a request body; default DefaultMaxBody
	MaxHeader int   // bytes of all request headers; default DefaultMaxHeader

	// MaxRequests is how many requests of the OSB API are worked on at once, those that
	// wait for a backend included; one more is answered 429. A quarter is kept for reads.
	// Default DefaultMaxRequests.
	MaxRequests int
	// MaxRequestsPerUser is how many of them one user may have. Default three quarters.
	MaxRequestsPerUser int
	// MaxBodies bounds the bytes of all bodies that are held at once, one user's at three
	// quarters of it; at least MaxBody. Default DefaultMaxBodies.
	MaxBodies int64

	// PollAfter is the Retry-After of a 202, rounded up to whole seconds. Default 2 s.
	PollAfter time.Duration

	// Ready reports for /readyz; nil means ready as soon as the process serves.
	Ready func(context.Context) ReadyReport
	// Metrics serves GET /metrics; nil means 404. It needs RoleMetrics or
	// RoleOperator unless PublicMetrics is set.
	Metrics       http.Handler
	PublicMetrics bool

	// CatalogAdmin, BackendsAdmin, KeysAdmin and ExportAdmin serve the parts of /admin/v1 that no Broker
	// knows; where nil, these routes answer 404.
	CatalogAdmin  CatalogAdmin
	BackendsAdmin BackendsAdmin
	KeysAdmin     KeysAdmin
	ExportAdmin   ExportAdmin
	// ConfigurationProblem says why the broker's configuration file is not the one in
	// use, for operators; "" if it is. Default: it always is.
	ConfigurationProblem func() string
	// Version is what GET /admin/v1/version says.
	Version Version

	// Observe is told of every finished request: the route's pattern (never the
	// path, whose ids would make a metric grow without bound; "" if no route
	// matched), the method, the status and the time it took. It must return at once.
	Observe func(route, method string, status int, took time.Duration)

	Now   func() time.Time // default time.Now
	NewID func() string    // makes request ids; default: random UUIDs
}

// Prefix serves the OSB API once more under a URL prefix, for one of several
// platforms. All prefixes show the same catalog and the same instances.
type Prefix struct {
	// Path begins with "/", does not end with it, and is put before "/v2".
	Path string
	// Users are the names of the only users that are served here; none means all.
	Users []string
}

// check completes c and gives everything that is wrong with it.
func (c *Config) check() error {
	var problems []error
	if c.Broker == nil {
		problems = append(problems, errors.New("osbapi: Config.Broker is missing"))
	}
	if c.Authenticator == nil && !c.Anonymous {
		problems = append(problems, errors.New("osbapi: no users are configured; set Anonymous to serve everybody"))
	}
	seen := map[string]bool{"": true, "/admin": true, "/healthz": true, "/readyz": true, "/metrics": true}
	for _, p := range c.Prefixes {
		switch {
		case !strings.HasPrefix(p.Path, "/") || strings.HasSuffix(p.Path, "/"):
			problems = append(problems, fmt.Errorf("osbapi: the prefix %q must begin and must not end with /", p.Path))
		case strings.ContainsAny(p.Path, ":*?#%") || strings.Contains(p.Path, "//"):
			problems = append(problems, fmt.Errorf("osbapi: the prefix %q has a character that a prefix cannot have", p.Path))
		case seen[p.Path] || strings.HasPrefix(p.Path, "/v2") || strings.HasPrefix(p.Path, "/admin/"):
			problems = append(problems, fmt.Errorf("osbapi: the prefix %q is taken", p.Path))
		}
		seen[p.Path] = true
	}
	c.setDefaults()
	return errors.Join(problems...)
}

func (c *Config) setDefaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.MaxHeader <= 0 {
		c.MaxHeader = DefaultMaxHeader
	}
	if c.MaxRequests <= 0 {
		c.MaxRequests = DefaultMaxRequests
	}
	if c.MaxRequestsPerUser <= 0 {
		c.MaxRequestsPerUser = max(1, c.MaxRequests-c.MaxRequests/4)
	}
	if c.MaxBodies <= 0 {
		c.MaxBodies = DefaultMaxBodies
	}
	c.MaxBodies = max(c.MaxBodies, c.MaxBody)
	if c.PollAfter <= 0 {
		c.PollAfter = 2 * time.Second
	}
	if c.Observe == nil {
		c.Observe = func(string, string, int, time.Duration) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = uuid.NewString
	}
}
