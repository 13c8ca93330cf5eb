package osbapi

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// start serves h on a loopback port with the bounds of Server and gives its address.
func start(t *testing.T, h http.Handler, change func(*http.Server)) string {
	t.Helper()
	s := Server(ServerConfig{Handler: h})
	if change != nil {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return l.Addr().String()
}

// raw sends text as it is and reads one answer.
func raw(t *testing.T, addr, text string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, res)
}

// TestOverTheWire: what only a real server shows.
func TestOverTheWire(t *testing.T) {
	r := created()
	addr := start(t, serve(t, r, func(c *Config) { c.MaxBody = 100 }), nil)
	for _, tc := range []struct {
		text string
		want int
		why  string
	}{
		{"GET /v2/catalog HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\n\r\n", 200, "the usual"},
		{"PUT /v2/service_instances/a%2Fb HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\nContent-Length: 80\r\n\r\n" +
			fmt.Sprintf("%-80s", goodProvision), 201, "URL-01: an escaped slash survives net/http"},
		{"PUT /v2/service_instances/i HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat(" ", 200), 400,
			"CT-05: refused as soon as it is too long"},
		{"PUT /v2/service_instances/i HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "a body that breaks off"},
		{"GET /v2/catalog HTTP/1.1\r\nHost: x\r\nX-Large: " + strings.Repeat("x", DefaultMaxHeader) + "\r\n\r\n", 431, "headers over the limit, as JSON"},
		{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405, "not net/http's empty answer"},
		{"GET http://x/v2/catalog HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\n\r\n", 200, "a proxy's form of the target"},
	} {
		if a := raw(t, addr, tc.text); a.status != tc.want {
			t.Errorf("%.60q (%s): got %d %s, want %d", tc.text, tc.why, a.status, a.raw, tc.want)
		}
	}
	if got := r.asked[0].(core.ProvisionRequest).InstanceID; got != "a/b" {
		t.Errorf("URL-01: got %q", got)
	}
}

// waiting is a Broker whose Provision and Unbind last until the request's context
// ends or release is closed.
type waiting struct {
	*recorder
	entered chan struct{}
	release chan struct{}
}

func (w waiting) wait(ctx context.Context) error {
	w.entered <- struct{}{}
	select {
	case <-ctx.Done():
		return core.Errorf(core.CodeCancelled, "hung up")
	case <-w.release:
		return nil
	}
}

func (w waiting) Provision(ctx context.Context, _ core.ProvisionRequest) (core.InstanceAnswer, error) {
	return core.InstanceAnswer{Outcome: core.Created}, w.wait(ctx)
}

func (w waiting) Unbind(ctx context.Context, _ core.UnbindRequest) (core.BindingAnswer, error) {
	return core.BindingAnswer{Outcome: core.Done}, w.wait(ctx)
}

// TestReadTimeoutWhileWaiting: a request that was read completely may wait longer
// than the server waits for requests.
func TestReadTimeoutWhileWaiting(t *testing.T) {
	for verb, text := range map[string]string{
		"provision": "PUT /v2/service_instances/i HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\nContent-Length: 80\r\n\r\n" + fmt.Sprintf("%-80s", goodProvision),
		"unbind":    "DELETE /v2/service_instances/i/service_bindings/b?service_id=s&plan_id=p HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\n\r\n",
	} {
		w := waiting{&recorder{}, make(chan struct{}, 1), make(chan struct{})}
		const timeout = 50 * time.Millisecond
		addr := start(t, serveBroker(t, w), func(s *http.Server) { s.ReadTimeout = timeout })
		go func() {
			<-w.entered
			<-time.After(4 * timeout) // the time-out is to pass while the broker works
			close(w.release)
		}()
		if a := raw(t, addr, text); a.status != 201 && a.status != 200 {
			t.Errorf("%s: got %d %s", verb, a.status, a.raw)
		}
	}
}

// TestHangUp: a client that goes away ends the request's context.
func TestHangUp(t *testing.T) {
	w := waiting{&recorder{}, make(chan struct{}, 1), make(chan struct{})}
	ended := make(chan int, 1)
	h, err := New(Config{Broker: w, Anonymous: true, Observe: func(_, _ string, status int, _ time.Duration) { ended <- status }})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", start(t, h, nil))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PUT /v2/service_instances/i HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\nContent-Length: %d\r\n\r\n%s", len(goodProvision), goodProvision)
	<-w.entered
	conn.Close()
	if status := <-ended; status != 500 {
		t.Errorf("got %d", status)
	}
}

func serveBroker(t *testing.T, b Broker) http.Handler {
	t.Helper()
	h, err := New(Config{Broker: b, Anonymous: true})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestServerBounds: nothing that a client can drag out is without bound, and the
// answer may take longer than the synchronous budget.
func TestServerBounds(t *testing.T) {
	s := Server(ServerConfig{Addr: "127.0.0.1:1", SyncBudget: time.Minute, MaxHeader: 1000})
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 1000 || s.Addr != "127.0.0.1:1" {
		t.Errorf("a bound is missing: %+v", s)
	}
	if s.WriteTimeout <= time.Minute+s.ReadTimeout-1 {
		t.Errorf("WriteTimeout %v is too short for a budget of a minute", s.WriteTimeout)
	}
}

// TestTLS: AUTH-04: TLS, with a client certificate that stands for a user.
func TestTLS(t *testing.T) {
	users, err := NewUsers([]User{{Name: "platform", Certificates: []string{"dns:example.com"}}})
	if err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{Broker: &recorder{}, Authenticator: users})
	if err != nil {
		t.Fatal(err)
	}
	own, leaf := selfSigned(t, "example.com")
	s := httptest.NewUnstartedServer(nil)
	s.Config = Server(ServerConfig{Handler: h})
	s.TLS = &tls.Config{ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: x509.NewCertPool()}
	s.TLS.ClientCAs.AddCert(leaf)
	s.StartTLS()
	defer s.Close()

	for _, tc := range []struct {
		certificates []tls.Certificate
		want         int
	}{{nil, 401}, {[]tls.Certificate{own}, 200}} {
		client := s.Client()
		transport := client.Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = tc.certificates
		client.Transport = transport
		req, err := http.NewRequest("GET", s.URL+"/v2/catalog", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(headerVersion, "2.17")
		req.Header.Set("Accept-Encoding", "identity")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if a := read(t, res); a.status != tc.want {
			t.Errorf("AUTH-04: with %d certificates: got %d %s, want %d", len(tc.certificates), a.status, a.raw, tc.want)
		}
		transport.CloseIdleConnections()
	}
}

// selfSigned makes a client certificate for name that is its own authority.
func selfSigned(t *testing.T, name string) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf
}
