package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// healthPath answers without credentials. No bucket can be called so.
const healthPath = "/.health"

// Ready is what s3gateway prints, in one line, when it serves.
type Ready struct {
	// Endpoint is the URL of the S3 API.
	Endpoint string `json:"endpoint"`
	// AdminEndpoint is the URL of VersityGW's admin API; only with -iam admin.
	AdminEndpoint string `json:"adminEndpoint,omitempty"`
	// IAMEndpoint is the URL of the AWS-style IAM API; only with -iam standalone.
	IAMEndpoint string `json:"iamEndpoint,omitempty"`
	Region      string `json:"region"`
	// CACertificate is the path of a PEM file with the authority to trust; only with -tls.
	CACertificate string `json:"caCertificate,omitempty"`
	// Metadata says where the metadata of objects is kept: xattr or sidecar.
	Metadata string `json:"metadata"`
	PID      int    `json:"pid"`
}

// limits of the gateway, generous for one machine.
const (
	maxConnections = 4096
	maxRequests    = 2048
	maxParts       = 10000
)

// serve runs the gateway until ctx ends. ready is called once, when both APIs answer.
func serve(ctx context.Context, o options, ready func(Ready) error) error {
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	for _, sub := range []string{"buckets", "versions", "accounts"} {
		if err := os.MkdirAll(filepath.Join(o.dir, sub), 0o700); err != nil {
			return err
		}
	}
	var cert certificate
	if o.tls {
		if cert, err = ensureCertificate(filepath.Join(o.dir, "tls")); err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
	}
	be, metadata, err := storage(o.dir)
	if err != nil {
		return err
	}
	g := gateway{options: o, cert: cert, backend: be, metadata: metadata}
	// A free port that was chosen can be taken by another process before the
	// gateway listens on it; then choose again.
	const attempts = 5
	for n := 1; ; n++ {
		err := g.run(ctx, ready)
		if n == attempts || (o.port != 0 && o.secondPort != 0) || !errors.Is(err, errPortTaken) {
			return err
		}
	}
}

// storage opens the buckets, with metadata in extended attributes where the file
// system has them and in files beside the buckets where it has not.
func storage(dir string) (backend.Backend, string, error) {
	buckets := filepath.Join(dir, "buckets")
	opts := posix.PosixOpts{
		VersioningDir:       filepath.Join(dir, "versions"),
		Concurrency:         maxRequests,
		CopyObjectThreshold: 5 << 30, // S3's own limit; 0 would forbid every copy
	}
	var store meta.MetadataStorer = meta.XattrMeta{}
	kind := "xattr"
	if !keepsAttributes(buckets) {
		sidecar := filepath.Join(dir, "metadata")
		if err := os.MkdirAll(sidecar, 0o700); err != nil {
			return nil, "", err
		}
		s, err := meta.NewSideCar(sidecar)
		if err != nil {
			return nil, "", err
		}
		store, kind, opts.SideCarDir = s, "sidecar", sidecar
	}
	be, err := posix.New(buckets, store, opts)
	if err != nil {
		return nil, "", fmt.Errorf("open %s: %w", buckets, err)
	}
	return be, kind, nil
}

// errPortTaken is a port that another process listens on.
var errPortTaken = errors.New("the port is taken")

// gateway is what one run needs.
type gateway struct {
	options
	cert     certificate
	backend  backend.Backend
	metadata string
}

// run chooses ports, starts the APIs, waits until they answer, and ends with the
// first of them or with ctx. Everything that it started has ended when it returns.
func (g gateway) run(ctx context.Context, ready func(Ready) error) error {
	s3, err := address(g.port)
	if err != nil {
		return err
	}
	second, err := address(g.secondPort)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	cfg := g.s3Config(s3)
	ended := make(chan error, 2)
	running := 0
	start := func(name string, api func() error) {
		running++
		go func() { ended <- apiError(ctx, name, api()) }()
	}
	started := make(chan error, 1)
	if g.standalone {
		// Short: a socket's path has at most 107 bytes.
		private, err := os.MkdirTemp("", "s3gw")
		if err != nil {
			return err
		}
		defer os.RemoveAll(private)
		socket := filepath.Join(private, "iam")
		cfg.StandaloneIAMEndpoint = socket
		start("IAM API", func() error { return embedgw.RunIAMAPI(ctx, g.iamConfig(second, socket)) })
		// The gateway asks for accounts as soon as it starts.
		start("S3 API", func() error {
			if err := waitUntil(ctx, func() bool { return listens(ctx, "unix", socket) }); err != nil {
				return err
			}
			return embedgw.RunVersityGW(ctx, g.backend, cfg)
		})
	} else {
		cfg.IAMDir = filepath.Join(g.dir, "accounts")
		cfg.AdminPorts = []string{second}
		cfg.AdminMaxConnections, cfg.AdminMaxRequests = maxConnections, maxRequests
		cfg.AdminCertFile, cfg.AdminKeyFile = g.cert.cert, g.cert.key
		start("S3 API", func() error { return embedgw.RunVersityGW(ctx, g.backend, cfg) })
	}
	go func() {
		err := g.waitUntilServing(ctx, s3, second)
		if err == nil {
			err = ready(g.ready(s3, second))
		}
		started <- err
	}()
	return supervise(ctx, cancel, started, ended, running)
}

// apiError says which API ended with err, which must not happen before ctx ends.
func apiError(ctx context.Context, name string, err error) error {
	if err == nil && ctx.Err() == nil {
		err = errors.New("ended by itself")
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, portTaken(err))
}

// supervise waits for ctx or the first failure, then ends and awaits all.
func supervise(ctx context.Context, cancel func(), started, ended <-chan error, running int) error {
	var first error
	waitStarted := true
	for first == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case first = <-started:
			waitStarted, started = false, nil
		case first = <-ended:
			running--
		}
	}
	if ctx.Err() != nil {
		first = nil // it was told to end
	}
	cancel()
	if waitStarted {
		<-started
	}
	for ; running > 0; running-- {
		<-ended
	}
	return first
}

func (g gateway) s3Config(addr string) *embedgw.Config {
	return &embedgw.Config{
		RootUserAccess:    g.accessKey,
		RootUserSecret:    g.secretKey,
		Region:            g.region,
		Ports:             []string{addr},
		MaxConnections:    maxConnections,
		MaxRequests:       maxRequests,
		MultipartMaxParts: maxParts,
		CertFile:          g.cert.cert,
		KeyFile:           g.cert.key,
		HealthPath:        healthPath,
		KeepAlive:         true,
		Quiet:             true,
		DisableACLs:       true,
		IAMCacheTTL:       120,
		IAMCachePrune:     3600,
	}
}

func (g gateway) iamConfig(addr, socket string) *embedgw.IAMConfig {
	return &embedgw.IAMConfig{
		RootUserAccess:    g.accessKey,
		RootUserSecret:    g.secretKey,
		Ports:             []string{addr},
		MaxConnections:    maxConnections,
		MaxRequests:       maxRequests,
		CertFile:          g.cert.cert,
		KeyFile:           g.cert.key,
		HealthPath:        healthPath,
		KeepAlive:         true,
		Quiet:             true,
		PrivatePorts:      []string{socket},
		PrivateSocketPerm: "0600",
		IAMDir:            filepath.Join(g.dir, "accounts"),
		// No request leaves the machine.
		DisableOIDCThumbprintAutoFetch: true,
	}
}

func (g gateway) ready(s3, second string) Ready {
	r := Ready{Endpoint: g.url(s3), Region: g.region, CACertificate: g.cert.authority, Metadata: g.metadata, PID: os.Getpid()}
	if g.standalone {
		r.IAMEndpoint = g.url(second)
	} else {
		r.AdminEndpoint = g.url(second)
	}
	return r
}

func (g gateway) url(addr string) string {
	if g.tls {
		return "https://" + addr
	}
	return "http://" + addr
}

// waitUntilServing asks both APIs until they answer or ctx ends.
func (g gateway) waitUntilServing(ctx context.Context, s3, second string) error {
	transport := &http.Transport{DisableKeepAlives: true}
	if g.tls {
		pem, err := os.ReadFile(g.cert.authority)
		if err != nil {
			return err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	return waitUntil(ctx, func() bool {
		// The admin API has no health path and logs an error for it.
		if !g.standalone && !listens(ctx, "tcp", second) || g.standalone && !answers(ctx, client, g.url(second)+healthPath) {
			return false
		}
		return answers(ctx, client, g.url(s3)+healthPath)
	})
}

// waitUntil asks until the answer is true or ctx ends, whose error it gives then.
func waitUntil(ctx context.Context, ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// listens tells whether somebody takes connections there.
func listens(ctx context.Context, network, addr string) bool {
	c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	return err == nil && c.Close() == nil
}

// answers tells whether an HTTP server says 200 there.
func answers(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// address is a loopback address with that port, or with a free one for 0.
func address(port int) (string, error) {
	if port != 0 {
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
