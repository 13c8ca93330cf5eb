package main

import (
	"context"
	"crypto/x509"
	"net"
	"net/url"
	"strings"

	"github.com/chandler-broker/chandler/core/plugin"
)

// The values of config.Accounts: how a binding gets keys of its own.
const (
	accountsShared    = "shared"
	accountsVersityGW = "versitygw"
	accountsIAM       = "iam"
)

// config is the backend's configuration; configSchema describes it.
type config struct {
	Endpoint        string `json:"endpoint"`
	AdminEndpoint   string `json:"adminEndpoint"`
	IAMEndpoint     string `json:"iamEndpoint"`
	PublicEndpoint  string `json:"publicEndpoint"`
	Region          string `json:"region"`
	PathStyle       *bool  `json:"pathStyle"`
	CACertificate   string `json:"caCertificate"`
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"secretAccessKey"`
	Accounts        string `json:"accounts"`
}

// defaultRegion is what gateways that know no regions call theirs.
const defaultRegion = "us-east-1"

// decodeConfig reads the configuration, fills in defaults and refuses what cannot be
// right without asking the gateway.
func decodeConfig(d plugin.Document) (config, error) {
	var c config
	if err := d.Decode(&c); err != nil {
		return c, err
	}
	if c.Region == "" {
		c.Region = defaultRegion
	}
	if c.Accounts == "" {
		c.Accounts = accountsShared
	}
	if c.PublicEndpoint == "" {
		c.PublicEndpoint = c.Endpoint
	}
	return c, c.check()
}

// pathStyle tells whether buckets are addressed in the path: unless the configuration says no.
func (c config) pathStyle() bool { return c.PathStyle == nil || *c.PathStyle }

func (c config) check() error {
	urls := []struct {
		key, value string
		required   bool
	}{
		{"endpoint", c.Endpoint, true},
		{"publicEndpoint", c.PublicEndpoint, true},
		{"adminEndpoint", c.AdminEndpoint, c.Accounts == accountsVersityGW},
		{"iamEndpoint", c.IAMEndpoint, c.Accounts == accountsIAM},
	}
	for _, u := range urls {
		if u.value == "" && !u.required {
			continue
		}
		if problem := checkURL(u.value); problem != "" {
			return plugin.InvalidInput("/"+u.key, "%s of the backend: %s", u.key, problem)
		}
	}
	if c.AccessKeyID == "" {
		return plugin.InvalidInput("/accessKeyID", "accessKeyID is missing.")
	}
	if c.SecretAccessKey == "" {
		return plugin.InvalidInput("/secretAccessKey", "secretAccessKey is missing.")
	}
	switch c.Accounts {
	case accountsShared, accountsVersityGW, accountsIAM:
	default:
		return plugin.InvalidInput("/accounts", "accounts is %s, %s or %s.", accountsShared, accountsVersityGW, accountsIAM)
	}
	if c.CACertificate != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(c.CACertificate)) {
		return plugin.InvalidInput("/caCertificate", "caCertificate holds no certificate in PEM form.")
	}
	return nil
}

// checkURL says what is wrong with a gateway's address, or "".
func checkURL(raw string) string {
	if raw == "" {
		return "it is missing; give a URL such as https://s3.example.com:7070."
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		// Its text repeats the URL, which may carry a password.
		return "it is no URL; give one such as https://s3.example.com:7070."
	case u.Scheme != "http" && u.Scheme != "https":
		return "the URL must begin with http:// or https://."
	case u.Hostname() == "":
		return "the URL names no host."
	case u.User != nil:
		return "the URL must not carry a user or password; use accessKeyID and secretAccessKey."
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "the URL must end after host and port: S3 puts bucket names there."
	}
	return ""
}

// address is a gateway's URL in the parts that credentials need.
type address struct {
	url  string // without a slash at the end
	host string
	port int
}

// addressOf takes apart a URL that checkURL found nothing wrong with.
func addressOf(raw string) (address, error) {
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	if err != nil {
		return address{}, err
	}
	service := u.Port()
	if service == "" {
		service = u.Scheme
	}
	port, err := net.LookupPort("tcp", service)
	if err != nil {
		return address{}, err
	}
	return address{url: u.String(), host: u.Hostname(), port: port}, nil
}

// endpointSource says where the gateway is. It is asked at Configure. A fixed one
// comes from the configuration; discovery in Kubernetes will be another.
type endpointSource interface {
	// locate gives the gateway's addresses: for this plugin and for applications.
	locate(ctx context.Context) (location, error)
}

// location is where a gateway is.
type location struct {
	endpoint string  // the S3 API, for the plugin
	admin    string  // VersityGW's admin API; may be empty
	iam      string  // the IAM API; may be empty
	public   address // the S3 API, for applications
}

// fixedEndpoint takes the addresses of the configuration.
type fixedEndpoint struct{ config config }

func (f fixedEndpoint) locate(context.Context) (location, error) {
	public, err := addressOf(f.config.PublicEndpoint)
	if err != nil {
		return location{}, plugin.InvalidInput("/publicEndpoint", "publicEndpoint of the backend cannot be used.").WithCause(err)
	}
	trim := func(s string) string { return strings.TrimRight(s, "/") }
	return location{
		endpoint: trim(f.config.Endpoint),
		admin:    trim(f.config.AdminEndpoint),
		iam:      trim(f.config.IAMEndpoint),
		public:   public,
	}, nil
}
