package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// wire stands between the plugin and a gateway and cuts the line at a chosen request,
// as a kill -9 of the plugin at that moment does: seen from the gateway, the plugin
// sends nothing any more; seen from the next process, an answer never came.
type wire struct {
	mu   sync.Mutex
	seen int
	// cutAt is the request, from 1, at which the line is cut; 0 never.
	cutAt int
	// afterwards: the request still reaches the gateway, only its answer is lost.
	afterwards bool
	isCut      bool
	onCut      func()
	// onRequest, if set, is called before the request with that number is passed on.
	onRequest map[int]func()
	// answer, if set, may answer instead of the gateway.
	answer func(w http.ResponseWriter, r *http.Request) bool
}

// reset mends the line and plans the next cut.
func (w *wire) reset(cutAt int, afterwards bool, onCut func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen, w.isCut, w.cutAt, w.afterwards, w.onCut, w.onRequest = 0, false, cutAt, afterwards, onCut, nil
}

// before runs do before the n-th request from now is passed on.
func (w *wire) before(n int, do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onRequest = map[int]func(){w.seen + n: do}
}

func (w *wire) wasCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.isCut
}

// put returns the URL of a proxy for target, whose requests the wire counts.
func (w *wire) put(t *testing.T, target string) string {
	t.Helper()
	u, err := url.Parse(target)
	must(t, err)
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		// The Host header is signed; it stays as it is.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = u.Scheme, u.Host, r.In.Host
		},
		Transport: transport,
	}
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.pass(proxy, rw, r) }))
	t.Cleanup(func() { s.Close(); transport.CloseIdleConnections() })
	return s.URL
}

func (w *wire) pass(proxy http.Handler, rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	w.seen++
	cut := w.isCut || w.seen == w.cutAt
	pass := !w.isCut && (!cut || w.afterwards)
	first := cut && !w.isCut
	w.isCut = cut
	do, answer := w.onRequest[w.seen], w.answer
	w.mu.Unlock()

	if do != nil {
		do()
	}
	switch {
	case !cut && answer != nil && answer(rw, r):
	case !cut:
		proxy.ServeHTTP(rw, r)
	case pass:
		proxy.ServeHTTP(httptest.NewRecorder(), r)
	}
	if !cut {
		return
	}
	if first && w.onCut != nil {
		w.onCut()
	}
	_, _ = io.Copy(io.Discard, r.Body)
	if h, ok := rw.(http.Hijacker); ok {
		if c, _, err := h.Hijack(); err == nil {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			c.Close()
		}
	}
}
