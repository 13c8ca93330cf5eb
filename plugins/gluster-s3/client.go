package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// Bounds of a request to the gateway. DeleteObjects of 1000 keys takes a Gluster
// volume 6 s when it has nothing else to do.
const (
	dialTimeout   = 5 * time.Second
	headerTimeout = 2 * time.Minute
	maxRetries    = 3
)

// keys are an access key and its secret.
type keys struct{ id, secret string }

// newHTTPClient makes the client for all requests of one backend. It trusts the
// certificates in ca (PEM), or the system's if that is empty. Of the environment, which
// is what the operator gives this backend, only proxies count. The caller closes its
// idle connections.
func newHTTPClient(ca string) *http.Client {
	var tlsConfig tls.Config
	if ca != "" {
		tlsConfig.RootCAs = x509.NewCertPool()
		tlsConfig.RootCAs.AppendCertsFromPEM([]byte(ca))
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:       &tlsConfig,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: headerTimeout,
			IdleConnTimeout:       30 * time.Second,
			MaxIdleConnsPerHost:   16,
		},
		// A gateway that redirects means another region; the SDK says so.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// pause waits, or gives ctx's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
