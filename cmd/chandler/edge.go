package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/osbapi"
)

// edge is the HTTP server and what of it a start or a reload replaces.
type edge struct {
	listener net.Listener
	server   *http.Server
	handler  atomic.Pointer[http.Handler]
	users    *osbapi.Users              // nil where everybody is served
	tls      atomic.Pointer[tls.Config] // of the next handshake; nil without HTTPS
}

// ServeHTTP implements http.Handler.
func (e *edge) ServeHTTP(w http.ResponseWriter, r *http.Request) { (*e.handler.Load()).ServeHTTP(w, r) }

func (e *edge) serve(h http.Handler) { e.handler.Store(&h) }

// url is where the server listens.
func (e *edge) url() string {
	if e.tls.Load() != nil {
		return "https://" + e.listener.Addr().String()
	}
	return "http://" + e.listener.Addr().String()
}

// listen starts the server; until serveRequests it only says that the broker starts.
func (a *app) listen(ctx context.Context) error {
	current, err := a.cfg.TLS.load()
	if err != nil {
		return err
	}
	e := &a.edge
	var outer *tls.Config
	if current != nil {
		e.tls.Store(current)
		outer = current.Clone()
		outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return e.tls.Load(), nil }
	}
	e.serve(a.starting())
	e.server = osbapi.Server(osbapi.ServerConfig{Addr: a.cfg.Listen, Handler: e, TLS: outer, Log: a.log,
		SyncBudget: time.Duration(a.cfg.Timing.SyncBudget), MaxConnections: a.cfg.Limits.MaxConnections})
	if e.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", a.cfg.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	a.log.Info("listening", "url", e.url(), "version", version(), "go", runtime.Version())
	a.served = make(chan error, 1)
	go func() {
		if outer != nil {
			a.served <- e.server.ServeTLS(e.listener, "", "")
			return
		}
		a.served <- e.server.Serve(e.listener)
	}()
	return nil
}

// serveRequests lets requests in.
func (a *app) serveRequests(context.Context) error {
	handler, err := a.handler()
	if err != nil {
		return err
	}
	a.edge.serve(a.tracing.handler(handler))
	a.log.Info("serving", "url", a.edge.url())
	return nil
}

func (a *app) handler() (http.Handler, error) {
	c := osbapi.Config{
		Broker: a.broker, Anonymous: len(a.cfg.Users) == 0, Log: a.log, MaxBody: a.cfg.Limits.BodyBytes,
		MaxBodies: a.cfg.Limits.BodiesBytes, MaxRequests: a.cfg.Limits.MaxRequests, MaxRequestsPerUser: a.cfg.Limits.MaxRequestsPerUser,
		PollAfter: time.Duration(a.cfg.Timing.PollInterval), Ready: a.ready, Metrics: a.metrics.handler(),
		CatalogAdmin: catalogAdmin{a}, BackendsAdmin: backendsAdmin{a.host}, ExportAdmin: exportAdmin{a},
		ConfigurationProblem: a.configurationProblem,
		Version:              osbapi.Version{Version: version(), Go: runtime.Version()}, Observe: a.metrics.request,
	}
	if a.keyring != nil {
		c.KeysAdmin = a.keys
	}
	for _, p := range a.cfg.Prefixes {
		c.Prefixes = append(c.Prefixes, osbapi.Prefix{Path: p})
	}
	if len(a.cfg.Users) > 0 {
		users, err := osbapi.NewUsers(a.cfg.users())
		if err != nil {
			return nil, err
		}
		a.edge.users, c.Authenticator = users, users
	}
	a.metrics.registry.MustRegister(&state{counts: a.broker.Counts, catalog: func() (*core.Snapshot, bool) {
		return a.catalog.Snapshot(), a.catalog.Status().Valid
	}, backends: a.backendStates, configured: func() bool { return a.refused.Load() == nil }, dispatcher: a.broker.Dispatcher})
	return osbapi.New(c)
}

// load reads the certificate; nil without one.
func (c TLSConfig) load() (*tls.Config, error) {
	if c.Certificate == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, fmt.Errorf("load the TLS certificate: %w", err)
	}
	out := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if c.ClientCA == "" {
		return out, nil
	}
	pem, err := os.ReadFile(c.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read tls.clientCA: %w", err)
	}
	out.ClientCAs, out.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
	if !out.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.clientCA: %s holds no PEM certificate", c.ClientCA)
	}
	return out, nil
}
