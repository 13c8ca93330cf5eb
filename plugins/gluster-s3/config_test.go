package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chandler-broker/chandler/core/plugin"
)

// TestConfigure tells configurations that are wrong from gateways that are away.
func TestConfigure(t *testing.T) {
	g := startGateway(t)
	secure := startGateway(t, "-tls")
	standalone := startGateway(t, "-iam", "standalone")
	down := httptest.NewServer(nil)
	down.Close()
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer broken.Close()
	website := httptest.NewServer(http.NotFoundHandler())
	defer website.Close()

	root := rootOf(t, g)
	base := g.config(t, accountsVersityGW)
	p := configure(t, base)
	must(t, p.backend.accounts.(*versityAccounts).admin.create(t.Context(), "nobody", "may-do-nothing"))

	cases := []struct {
		why, pointer string // "" for unavailable
		change       func(c *config)
	}{
		{"no URL at all", "/endpoint", func(c *config) { c.Endpoint = "" }},
		{"no scheme", "/endpoint", func(c *config) { c.Endpoint = "localhost:7070" }},
		{"another scheme", "/endpoint", func(c *config) { c.Endpoint = "ftp://localhost" }},
		{"a path", "/endpoint", func(c *config) { c.Endpoint += "/s3" }},
		{"keys in the URL", "/endpoint", func(c *config) { c.Endpoint = "http://a:secret@localhost" }},
		{"no admin API", "/adminEndpoint", func(c *config) { c.AdminEndpoint = "" }},
		{"no IAM API", "/iamEndpoint", func(c *config) { c.Accounts = accountsIAM }},
		{"unknown accounts", "/accounts", func(c *config) { c.Accounts = "magic" }},
		{"no keys", "/accessKeyID", func(c *config) { c.AccessKeyID = "" }},
		{"no secret", "/secretAccessKey", func(c *config) { c.SecretAccessKey = "" }},
		{"no PEM", "/caCertificate", func(c *config) { c.CACertificate = "trust me" }},
		{"unknown access key: 403 InvalidAccessKeyId", "/accessKeyID", func(c *config) { c.AccessKeyID = "who" }},
		{"wrong secret: 403 SignatureDoesNotMatch", "/accessKeyID", func(c *config) { c.SecretAccessKey = "wrong" }},
		{"wrong region: 400 AuthorizationHeaderMalformed", "/region", func(c *config) { c.Region = "eu-west-9" }},
		{"keys that may do nothing", "/accessKeyID", func(c *config) { c.AccessKeyID, c.SecretAccessKey = "nobody", "may-do-nothing" }},
		{"a certificate of an unknown authority", "/caCertificate", func(c *config) {
			c.Endpoint, c.SecretAccessKey = secure.Endpoint, secure.keys.secret
		}},
		{"https to a gateway without TLS", "/caCertificate", func(c *config) { c.Endpoint = strings.Replace(c.Endpoint, "http:", "https:", 1) }},
		{"some website", "/endpoint", func(c *config) { c.Endpoint = website.URL }},
		{"some website as admin API", "/adminEndpoint", func(c *config) { c.AdminEndpoint = website.URL }},
		{"S3 as IAM API", "/iamEndpoint", func(c *config) { c.Accounts, c.IAMEndpoint = accountsIAM, c.Endpoint }},
		{"admin API of a gateway with standalone IAM", "/adminEndpoint", func(c *config) {
			*c = standalone.config(t, accountsVersityGW)
			c.AdminEndpoint = standalone.Endpoint
		}},
		{"nobody listens", "", func(c *config) { c.Endpoint = down.URL }},
		{"nobody listens at the admin API", "", func(c *config) { c.AdminEndpoint = down.URL }},
		{"a proxy without its gateway", "", func(c *config) { c.Endpoint = broken.URL }},
	}
	for _, c := range cases {
		cfg := base
		c.change(&cfg)
		err := newGlusterS3().Configure(t.Context(), &plugin.ConfigureRequest{Backend: "b", Config: cfg.document(t)})
		e, _ := err.(*plugin.Error)
		switch {
		case e == nil:
			t.Errorf("%s: %v", c.why, err)
		case c.pointer == "" && e.Code != plugin.CodeUnavailable:
			t.Errorf("%s: %v; want unavailable", c.why, err)
		case c.pointer != "" && (e.Code != plugin.CodeInvalidInput || e.Pointer != c.pointer):
			t.Errorf("%s: %v; want invalid_input at %s", c.why, err, c.pointer)
		}
		if e != nil && (strings.Contains(e.Error(), g.keys.secret) || strings.Contains(e.Error(), "a:secret")) {
			t.Errorf("%s: the error holds a secret", c.why)
		}
	}
	if names := bucketNames(t, root); len(names) > 0 {
		t.Errorf("Configure left buckets: %q", names)
	}
	if err := newGlusterS3().Configure(t.Context(), &plugin.ConfigureRequest{Config: plugin.JSON(`{"endpoin":"x"}`)}); plugin.CodeOf(err) != plugin.CodeInvalidInput {
		t.Errorf("an unknown key: %v", err)
	}
}

// TestFeatures: what Configure learns of a gateway.
func TestFeatures(t *testing.T) {
	w := startWired(t, accountsVersityGW)
	all := features{tag: true, markAtBirth: true, version: true, policy: true}
	refuse := func(sub string, status int) func(http.ResponseWriter, *http.Request) bool {
		return func(rw http.ResponseWriter, r *http.Request) bool {
			if !r.URL.Query().Has(sub) {
				return false
			}
			rw.WriteHeader(status)
			return true
		}
	}
	cases := []struct {
		why    string
		answer func(http.ResponseWriter, *http.Request) bool
		want   features
	}{
		{"VersityGW has everything", nil, all},
		{"no tags: Swift's 501", refuse("tagging", 501), features{version: true, policy: true, birthday: true}},
		{"no versions", refuse("versioning", 501), features{tag: true, markAtBirth: true, policy: true}},
		{"tags, but not in CreateBucket: 400 MalformedXML", func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || r.ContentLength <= 0 || r.URL.RawQuery != "" {
				return false
			}
			rw.WriteHeader(http.StatusBadRequest)
			_, _ = rw.Write([]byte("<Error><Code>MalformedXML</Code></Error>"))
			return true
		}, features{tag: true, version: true, policy: true, birthday: true}},
	}
	for _, c := range cases {
		w.wire.answer = c.answer
		if p := configure(t, w.config); p.backend.can != c.want {
			t.Errorf("%s: %+v; want %+v", c.why, p.backend.can, c.want)
		}
		w.wire.answer = nil
		if names := bucketNames(t, rootOf(t, w.gateway)); len(names) > 0 {
			t.Errorf("%s: buckets left: %q", c.why, names)
		}
	}
	w.wire.answer = refuse("policy", 501)
	err := newGlusterS3().Configure(t.Context(), &plugin.ConfigureRequest{Config: w.config.document(t)})
	if e, _ := err.(*plugin.Error); e == nil || e.Pointer != "/accounts" {
		t.Errorf("accounts: versitygw without policies: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		url, hostPort string
		why           string
	}{
		{"http://gw:7070/", "gw:7070", "a slash at the end is harmless"},
		{"http://gw", "gw:80", "http's port"},
		{"https://gw", "gw:443", "https's port"},
		{"https://[::1]:7070", "[::1]:7070", "IPv6 in brackets"},
	} {
		a, err := addressOf(c.url)
		if problem := checkURL(c.url); err != nil || problem != "" || a.hostPort() != c.hostPort || strings.HasSuffix(a.url, "/") {
			t.Errorf("%s (%s): %+v, %v, %q", c.url, c.why, a, err, problem)
		}
	}
}

// TestNothingOfTheEnvironment: neither ~/.aws nor AWS_* variables reach a request.
func TestNothingOfTheEnvironment(t *testing.T) {
	g := startGateway(t)
	home := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(home, ".aws"), 0o700))
	must(t, os.WriteFile(filepath.Join(home, ".aws", "config"), []byte("[default]\nregion = xx-1\nendpoint_url = http://127.0.0.1:1\n"), 0o600))
	for k, v := range map[string]string{
		"HOME": home, "AWS_SDK_LOAD_CONFIG": "1", "AWS_REGION": "xx-2", "AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "other",
		"AWS_CA_BUNDLE": filepath.Join(home, "none"),
	} {
		t.Setenv(k, v)
	}
	before := http.DefaultClient.Transport
	must(t, newInstance("i").provision(t, configure(t, g.config(t, accountsVersityGW)), map[string]any{"bucket": "photos"}))
	if http.DefaultClient.Transport != before {
		t.Error("http.DefaultClient was changed")
	}
}

// TestPublicEndpoint: applications get the address that they can reach.
func TestPublicEndpoint(t *testing.T) {
	g := startGateway(t, "-tls")
	c := g.config(t, accountsVersityGW)
	c.PublicEndpoint = "https://s3.example.com"
	p := configure(t, c)
	i := newInstance("i")
	must(t, i.provision(t, p, map[string]any{"bucket": "photos"}))
	out, err := i.bind(t, p, "b", "")
	must(t, err)
	if out.Endpoint != "https://s3.example.com" || out.Host != "s3.example.com" || out.Port != 443 || out.HostPort != "s3.example.com:443" ||
		!strings.Contains(out.CACertificate, "BEGIN CERTIFICATE") || out.Access != accessReadWrite || !out.PathStyle {
		t.Errorf("outputs: %+v", out)
	}
}

// TestShared: everybody gets the gateway's account, and that is said.
func TestShared(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsShared))
	i := newInstance("i")
	must(t, i.provision(t, p, map[string]any{"bucket": "photos"}))
	out, err := i.bind(t, p, "b", accessReadWrite)
	must(t, err)
	if (keys{out.AccessKeyID, out.SecretAccessKey}) != g.keys || p.backend.accounts.isolated() {
		t.Errorf("outputs %+v, isolated %v", out, p.backend.accounts.isolated())
	}
	_, err = i.bind(t, p, "b", accessReadOnly)
	if e, _ := err.(*plugin.Error); e == nil || e.Code != plugin.CodeInvalidInput || e.Pointer != "/access" {
		t.Errorf("read-only: %v; want invalid_input at /access", err)
	}
}
