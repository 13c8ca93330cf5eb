package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

// maxValue bounds the value of a key, in bytes.
const maxValue = 64 << 10

// holderHeader tells whose port it is: the key of the directory that is served.
const holderHeader = "Chandler-Demo"

// listen starts the key-value service of the directory and gives its address. It is
// served until close. Credentials must survive a new process, so the port
// is remembered; a process that finds its predecessor there takes over when that ends.
func (h *dataService) listen(ctx context.Context, listen string) (address, error) {
	s := h.store
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil || host == "" {
		return address{}, plugin.InvalidInput("/listen", "%q is not of the form host:port.", listen)
	}
	fixed := port != "0"
	if !fixed {
		port = s.port()
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	switch {
	case err == nil:
		h.running.Go(func() { h.serve(l) })
	case errors.Is(err, syscall.EADDRINUSE) && holds(ctx, host, port, s):
		h.running.Go(func() { h.takeOver(net.JoinHostPort(host, port)) })
		n, err := strconv.Atoi(port)
		return address{host, n}, err
	case errors.Is(err, syscall.EADDRINUSE) && !fixed: // a stranger's by now
		if l, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return address{}, err
		}
		h.running.Go(func() { h.serve(l) })
	default:
		return address{}, plugin.Unavailable(0, "The key-value service cannot listen on %s.", listen).WithCause(err)
	}
	a := address{host, l.Addr().(*net.TCPAddr).Port}
	if fixed {
		return a, nil
	}
	return a, s.setPort(a.port)
}

// port is the remembered one; "0" if there is none.
func (s *store) port() string {
	raw, err := os.ReadFile(filepath.Join(s.dir, "port"))
	if n, bad := strconv.Atoi(strings.TrimSpace(string(raw))); err != nil || bad != nil || n < 1 {
		return "0"
	}
	return strings.TrimSpace(string(raw))
}

func (s *store) setPort(n int) error {
	return s.locked(func(t *turn) error {
		t.replace(filepath.Join(s.dir, "port"), []byte(strconv.Itoa(n)+"\n"))
		return nil
	})
}

// holds tells whether another process of the same directory listens there.
func holds(ctx context.Context, host, port string, s *store) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/", nil)
	if err != nil {
		return false
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.Header.Get(holderHeader) == s.holder()
}

// holder names the directory, whatever path leads to it.
func (s *store) holder() string {
	dir, err := filepath.EvalSymlinks(s.dir)
	if err != nil {
		dir = s.dir
	}
	return key(dir)
}

// dataService is the key-value service: GET, PUT and DELETE of /database/key, and GET
// of /database/ for the list of keys. A binding's credentials open its instance only.
type dataService struct {
	store   *store
	life    context.Context // until close
	end     context.CancelFunc
	running sync.WaitGroup
}

func newDataService(s *store) *dataService {
	h := &dataService{store: s}
	h.life, h.end = context.WithCancel(context.Background())
	return h
}

// close ends the service; nil has none.
func (h *dataService) close() {
	if h != nil {
		h.end()
		h.running.Wait()
	}
}

func (h *dataService) serve(l net.Listener) {
	server := &http.Server{Handler: h, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	closed := make(chan struct{})
	context.AfterFunc(h.life, func() {
		defer close(closed)
		_ = server.Close()
	})
	_ = server.Serve(l)
	<-closed
}

// takeOver listens as soon as the other process does not.
func (h *dataService) takeOver(address string) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if l, err := net.Listen("tcp", address); err == nil {
			h.serve(l)
			return
		}
		select {
		case <-again.C:
		case <-h.life.Done():
			return
		}
	}
}

// ServeHTTP answers one request.
func (h *dataService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(holderHeader, h.store.holder())
	database, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValue))
	if err != nil {
		http.Error(w, "The value is too long.", http.StatusRequestEntityTooLarge)
		return
	}
	status, body := http.StatusInternalServerError, any("The key-value service cannot read its directory.")
	_ = h.store.locked(func(t *turn) error { // its error is that status
		var err error
		status, body, err = h.answer(t, r, database, name, string(value))
		return err
	})
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="demo"`)
	}
	if text, ok := body.(string); ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// answer gives status and body, a string or something that is sent as JSON.
func (h *dataService) answer(t *turn, r *http.Request, database, name, value string) (int, any, error) {
	rec, err := t.read(fileName(database))
	if err != nil {
		return http.StatusInternalServerError, "The instance cannot be read.", err
	}
	b, ok := authenticate(r, rec)
	if !ok {
		return http.StatusUnauthorized, "These credentials do not open this.", nil
	}
	_, exists := rec.Data[name]
	switch {
	case r.Method == http.MethodGet && name == "":
		keys := []string{}
		for k := range rec.Data {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		return http.StatusOK, keys, nil
	case r.Method == http.MethodGet && exists:
		return http.StatusOK, rec.Data[name], nil
	case r.Method == http.MethodGet:
		return http.StatusNotFound, "There is no such key.", nil
	case r.Method != http.MethodPut && r.Method != http.MethodDelete, name == "":
		return http.StatusMethodNotAllowed, "GET, PUT and DELETE of a key, or GET of the list, are possible.", nil
	case b.Access != "read-write":
		return http.StatusForbidden, "These credentials are read-only.", nil
	}
	return change(t, r.Method, rec, name, value)
}

func change(t *turn, method string, rec *record, name, value string) (int, any, error) {
	if method == http.MethodDelete {
		delete(rec.Data, name)
	} else {
		var in instanceInputs
		if err := json.Unmarshal(orObject(rec.Inputs), &in); err != nil {
			return http.StatusInternalServerError, "The instance cannot be read.", err
		}
		if _, exists := rec.Data[name]; !exists && len(rec.Data) >= in.size() {
			return http.StatusInsufficientStorage, "The instance is full.", nil
		}
		rec.Data[name] = value
	}
	if err := t.write(rec); err != nil {
		return http.StatusInternalServerError, "The instance cannot be written.", err
	}
	return http.StatusNoContent, "", nil
}

// fileName lets nothing through that could leave the directory.
func fileName(database string) string {
	for _, r := range database {
		if !strings.ContainsRune("0123456789abcdef", r) {
			return key(database) // which no instance has
		}
	}
	return database
}

// authenticate finds the live binding whose credentials the request has.
func authenticate(r *http.Request, rec *record) (bindingRecord, bool) {
	username, password, ok := r.BasicAuth()
	if !ok || rec == nil {
		return bindingRecord{}, false
	}
	for _, b := range rec.Bindings {
		if b.Username == username && subtle.ConstantTimeCompare([]byte(b.PasswordSHA256), []byte(hash(password))) == 1 {
			return b, true
		}
	}
	return bindingRecord{}, false
}
