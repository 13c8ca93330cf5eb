package osbapi

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// holding is a Broker whose provisions wait until they are let go.
type holding struct {
	*recorder
	entered, release chan struct{}
}

func newHolding() *holding {
	return &holding{recorder: &recorder{}, entered: make(chan struct{}), release: make(chan struct{})}
}

func (w *holding) Provision(context.Context, core.ProvisionRequest) (core.InstanceAnswer, error) {
	w.entered <- struct{}{}
	<-w.release
	return core.InstanceAnswer{Outcome: core.Created}, nil
}

// twoUsers lets ann and bob in, with their names as passwords.
func twoUsers(t *testing.T) *Users {
	t.Helper()
	u, err := NewUsers([]User{{Name: "ann", Passwords: []string{"ann"}}, {Name: "bob", Passwords: []string{"bob"}}})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func authorization(user string) []string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, user)
	return []string{"Authorization", r.Header.Get("Authorization")}
}

// TestRoomForRequests: changes that wait for backends take neither another user's places
// nor those of reads (ORP-01, ORP-08: 429 is without effect).
func TestRoomForRequests(t *testing.T) {
	w := newHolding()
	h := serve(t, w.recorder, func(c *Config) {
		c.Broker, c.Anonymous, c.Authenticator = w, false, twoUsers(t)
		c.MaxRequests, c.MaxRequestsPerUser = 4, 2 // 3 changes, 2 of one user
	})
	put := func(user string) answer {
		return send(t, h, "PUT", "/v2/service_instances/i", goodProvision, authorization(user)...)
	}
	answers := make(chan answer, 3)
	hold := func(user string) {
		go func() { answers <- put(user) }()
		<-w.entered
	}
	refused := func(why string, a answer) {
		t.Helper()
		if a.status != 429 || a.header.Get("Retry-After") != "1" || a.body["error"] != "Overloaded" {
			t.Errorf("%s: answered %d %s, Retry-After %q", why, a.status, a.raw, a.header.Get("Retry-After"))
		}
	}
	hold("ann")
	hold("ann")
	refused("more than one user's share", put("ann"))
	refused("all of ann's requests, reads too", send(t, h, "GET", "/v2/service_instances/i", "", authorization("ann")...))
	hold("bob")
	refused("more changes than a broker takes", put("bob"))
	for _, path := range []string{"/v2/service_instances/i/last_operation", "/v2/catalog", "/healthz"} {
		if a := send(t, h, "GET", path, "", authorization("bob")...); a.status != 200 {
			t.Errorf("a read finds no place: GET %s is answered %d %s", path, a.status, a.raw)
		}
	}
	close(w.release)
	for range 3 {
		if a := <-answers; a.status != 201 {
			t.Errorf("answered %d", a.status)
		}
	}
	go func() { <-w.entered }()
	if a := put("ann"); a.status != 201 {
		t.Errorf("the places were not given back: %d %s", a.status, a.raw)
	}
}

// TestRoomForBodies: bodies that come in slowly bound the memory, not the other user.
func TestRoomForBodies(t *testing.T) {
	h := serve(t, created(), func(c *Config) {
		c.Anonymous, c.Authenticator = false, twoUsers(t)
		c.MaxBody, c.MaxBodies = 1000, 4000 // one user's: 3000
	})
	addr := start(t, h, nil)
	begun := func(user, length string) net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		text := "PUT /v2/service_instances/i HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\nAuthorization: " + authorization(user)[1] + "\r\n" +
			length + "\r\nExpect: 100-continue\r\n\r\n"
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	first := func(conn net.Conn) string {
		line := make([]byte, len("HTTP/1.1 100"))
		if _, err := io.ReadFull(conn, line); err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(string(line), "HTTP/1.1 ")
	}
	for range 2 {
		if got := first(begun("ann", "Content-Length: 1000")); got != "100" {
			t.Fatalf("asked for a body by %s", got)
		}
	}
	if got := first(begun("ann", "Transfer-Encoding: chunked")); got != "100" { // may be as long as any
		t.Fatalf("asked for a body by %s", got)
	}
	if got := first(begun("ann", "Content-Length: 1")); got != "429" {
		t.Errorf("more than one user's share is answered %s", got)
	}
	bob := begun("bob", "Content-Length: 1000")
	if got := first(bob); got != "100" {
		t.Errorf("another user is answered %s", got)
	}
	if got := first(begun("bob", "Content-Length: 1")); got != "429" {
		t.Errorf("more than all is answered %s", got)
	}
	if got := first(begun("bob", "Content-Length: 1001")); got != "400" {
		t.Errorf("CT-05: a body over the limit is answered %s", got)
	}
	if a := send(t, h, "GET", "/v2/service_instances/i/last_operation", "", authorization("ann")...); a.status != 200 {
		t.Errorf("a request without a body is answered %d", a.status)
	}
}

// TestConnections: of too many connections the one goes that has been without a request
// for the longest time; one with a request stays.
func TestConnections(t *testing.T) {
	w := newHolding()
	h := serve(t, w.recorder, func(c *Config) { c.Broker = w })
	addr := start(t, h, func(s *http.Server) { s.ConnState = newConnections(2).changed })
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	ended := func(conn net.Conn) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("the connection is still open: %v", err)
		}
	}
	working := dial()
	if _, err := io.WriteString(working, "PUT /v2/service_instances/i HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\nContent-Length: "+
		"101\r\n\r\n"+goodProvision+strings.Repeat(" ", 101-len(goodProvision))); err != nil {
		t.Fatal(err)
	}
	<-w.entered
	slow := dial() // never sends a header
	if _, err := io.WriteString(slow, "GET /v2"); err != nil {
		t.Fatal(err)
	}
	next := dial()
	ended(slow)
	last := dial()
	ended(next)
	if _, err := io.WriteString(last, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for conn, want := range map[net.Conn]string{last: "HTTP/1.1 200", working: "HTTP/1.1 201"} {
		if conn == working {
			close(w.release)
		}
		line := make([]byte, len(want))
		if _, err := io.ReadFull(conn, line); err != nil || string(line) != want {
			t.Errorf("answered %q, %v; want %q", line, err, want)
		}
	}
}
