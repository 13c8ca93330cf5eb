package osbapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/chandler-broker/chandler/core"
)

// BenchmarkCatalog compares GET /v2/catalog of 200 services with a bare httprouter
// handler that writes the same bytes, over real HTTP, side by side: the two take turns
// of a hundred milliseconds. "ratio" is Chandler's rate over the bare handler's.
func BenchmarkCatalog(b *testing.B) {
	h := benchHandler(b)
	for _, c := range []struct{ name, header string }{
		{"plain", ""},
		{"gzip", "Accept-Encoding: gzip\r\n"},
		{"304", "If-None-Match: %s\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			head := "GET /v2/catalog HTTP/1.1\r\nHost: broker\r\nX-Broker-API-Version: 2.17\r\n" +
				"Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n"
			etag := roundTrip(b, h, head+"\r\n").Header.Get("Etag")
			request := head + strings.Replace(c.header, "%s", etag, 1) + "\r\n"
			bare := bareHandler(roundTrip(b, h, request))
			ours, theirs := newLane(b, h, request), newLane(b, bare, request)
			ours.drive(200 * time.Millisecond) // warm
			theirs.drive(200 * time.Millisecond)
			ours.reset()
			theirs.reset()
			b.ResetTimer()
			for ours.done < b.N {
				theirs.drive(100 * time.Millisecond)
				ours.drive(100 * time.Millisecond)
			}
			b.ReportMetric(ours.rate(), "requests/s")
			b.ReportMetric(theirs.rate(), "bare/s")
			b.ReportMetric(ours.rate()/theirs.rate(), "ratio")
		})
	}
}

// benchHandler serves 200 services of 5 plans to a user with a password, and writes its
// log as the program does.
func benchHandler(b *testing.B) http.Handler {
	b.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = null.Close() })
	users, err := NewUsers([]User{{Name: "user", Passwords: []string{"password"}}, {Name: "other", Passwords: []string{"another"}}})
	if err != nil {
		b.Fatal(err)
	}
	var services []*core.Service
	for i := range 200 {
		s := &core.Service{ID: fmt.Sprintf("8f0a5c1e-0000-4000-8000-%012d", i), Name: fmt.Sprintf("service-%d", i),
			Description: "A service of the benchmark, described in a sentence.", Tags: []string{"bench", "object-storage"}, Bindable: true,
			Metadata: map[string]any{"displayName": fmt.Sprintf("Service %d", i), "documentationUrl": "https://example.org/service"}}
		for j := range 5 {
			s.Plans = append(s.Plans, &core.Plan{Service: s, ID: fmt.Sprintf("8f0a5c1e-%04d-4000-8000-%012d", j, i),
				Name: fmt.Sprintf("plan-%d", j), Description: "A plan of the benchmark.", Free: true, Bindable: true,
				SchemaProvision: fixedSchema("bucketName"), SchemaUpdate: fixedSchema("quota"), SchemaBind: fixedSchema("access")})
		}
		services = append(services, s)
	}
	h, err := New(Config{Broker: &recorder{snapshot: core.NewSnapshot("bench", time.Now(), services, nil)}, Authenticator: users,
		Log: slog.New(slog.NewJSONHandler(null, nil))})
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// bareHandler is httprouter with a handler that writes what like says, and nothing else.
func bareHandler(like *answered) http.Handler {
	router := httprouter.New()
	router.GET("/v2/catalog", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) {
		for name, values := range like.Header {
			if name != "Date" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(like.StatusCode)
		if len(like.body) > 0 {
			_, _ = w.Write(like.body)
		}
	})
	return router
}

// answered is a response with its body.
type answered struct {
	*http.Response
	body []byte
}

// roundTrip sends one request to h over a connection of its own.
func roundTrip(b *testing.B, h http.Handler, request string) *answered {
	b.Helper()
	l := newLane(b, h, request)
	conn, in := l.dial()
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		b.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotModified {
		b.Fatalf("answered %d: %s", resp.StatusCode, body)
	}
	if resp.StatusCode == http.StatusOK && resp.Header.Get("Content-Encoding") == "" && !json.Valid(body) {
		b.Fatal("the catalog is no JSON")
	}
	return &answered{resp, body}
}

// lane is one server under load: connections that send the same request over and over,
// with a client so thin that the server is what is measured.
type lane struct {
	b       *testing.B
	addr    string
	request string
	conns   []net.Conn
	ins     []*bufio.Reader
	done    int
	spent   time.Duration
}

const laneConnections = 4

func newLane(b *testing.B, h http.Handler, request string) *lane {
	b.Helper()
	srv := Server(ServerConfig{Handler: h})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(listener) }()
	b.Cleanup(func() { _ = srv.Close(); <-served })
	return &lane{b: b, addr: listener.Addr().String(), request: request}
}

func (l *lane) dial() (net.Conn, *bufio.Reader) {
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		l.b.Fatal(err)
	}
	l.b.Cleanup(func() { _ = conn.Close() })
	return conn, bufio.NewReaderSize(conn, 64<<10)
}

func (l *lane) reset() { l.done, l.spent = 0, 0 }

func (l *lane) rate() float64 { return float64(l.done) / l.spent.Seconds() }

// drive sends requests for about d.
func (l *lane) drive(d time.Duration) {
	for len(l.conns) < laneConnections {
		conn, in := l.dial()
		l.conns, l.ins = append(l.conns, conn), append(l.ins, in)
	}
	began := time.Now()
	var wg sync.WaitGroup
	counts := make([]int, laneConnections)
	for i := range l.conns {
		wg.Go(func() {
			for time.Since(began) < d {
				if err := exchangeOnce(l.conns[i], l.ins[i], l.request); err != nil {
					l.b.Error(err)
					return
				}
				counts[i]++
			}
		})
	}
	wg.Wait()
	l.spent += time.Since(began)
	for _, n := range counts {
		l.done += n
	}
}

// exchangeOnce sends the request and reads the answer away.
func exchangeOnce(conn net.Conn, in *bufio.Reader, request string) error {
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if rest, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if _, err := fmt.Sscanf(rest, "%d", &length); err != nil {
				return err
			}
		}
	}
	_, err := in.Discard(length)
	return err
}
