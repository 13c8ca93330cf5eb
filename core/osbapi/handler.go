package osbapi

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/julienschmidt/httprouter"

	"github.com/chandler-broker/chandler/core"
)

// handler serves everything below one listener. Immutable but for the catalog's cache.
type handler struct {
	cfg     Config
	router  *httprouter.Router
	catalog catalogCache
	room    *room
}

// New gives the handler of the OSB API, the operators' API, /healthz, /readyz and
// /metrics. The error lists everything that is wrong with cfg.
func New(cfg Config) (http.Handler, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	h := &handler{cfg: cfg, router: httprouter.New(), room: newRoom(&cfg)}
	// Platforms do not follow redirects of PUT and DELETE, so that a redirect would
	// hide a mistake in a path instead of showing it.
	h.router.RedirectTrailingSlash = false
	h.router.RedirectFixedPath = false
	h.router.HandleOPTIONS = false
	h.router.NotFound = http.HandlerFunc(h.notFound)
	h.router.MethodNotAllowed = http.HandlerFunc(h.methodNotAllowed)

	h.osbRoutes("", nil)
	for _, p := range cfg.Prefixes {
		h.osbRoutes(p.Path, slices.Clone(p.Users))
	}
	h.adminRoutes()
	h.healthRoutes()
	return h, nil
}

// osbRoutes registers the OSB API under prefix, for the named users only (nil: for all).
func (h *handler) osbRoutes(prefix string, users []string) {
	const (
		instance = "/v2/service_instances/:instance_id"
		binding  = instance + "/service_bindings/:binding_id"
	)
	add := func(method, path string, verb core.Verb, serve func(*call) (reply, error)) {
		h.router.Handle(method, prefix+path, h.osb(prefix+path, verb, users, serve))
	}
	add(http.MethodGet, "/v2/catalog", "", h.getCatalog)
	add(http.MethodHead, "/v2/catalog", "", h.getCatalog)

	add(http.MethodPut, instance, core.VerbProvision, h.provision)
	add(http.MethodPatch, instance, core.VerbUpdate, h.update)
	add(http.MethodDelete, instance, core.VerbDeprovision, h.deprovision)
	add(http.MethodGet, instance, "", h.getInstance)
	add(http.MethodGet, instance+"/last_operation", "", h.pollInstance)

	add(http.MethodPut, binding, core.VerbBind, h.bind)
	add(http.MethodDelete, binding, core.VerbUnbind, h.unbind)
	add(http.MethodGet, binding, "", h.getBinding)
	add(http.MethodGet, binding+"/last_operation", "", h.pollBinding)

	// A path that ends where its id should be is an empty id, and not an unknown path.
	for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodGet} {
		add(method, "/v2/service_instances/", "", emptyID)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodGet} {
		add(method, instance+"/service_bindings/", "", emptyID)
	}
}

// ServeHTTP gives every request its id, its log line and its observation, and
// routes it on the escaped path, so that an id may contain an escaped slash.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := h.newExchange(w, r)
	defer func() {
		if p := recover(); p != nil {
			h.panicked(e, r, p)
		}
		h.finish(e, r)
	}()

	if size := headerSize(r); size > h.cfg.MaxHeader {
		e.fail(http.StatusRequestHeaderFieldsTooLarge, "RequestHeadersTooLarge",
			"The request's headers are too large. Expected at most %d bytes, got %d.", h.cfg.MaxHeader, size)
		return
	}
	h.router.ServeHTTP(e, escaped(r))
}

// escaped gives r as httprouter, which looks at URL.Path only, must see it: with the
// escaped path there. The handlers unescape each id exactly once.
func escaped(r *http.Request) *http.Request {
	path := r.URL.EscapedPath()
	if path == r.URL.Path {
		return r
	}
	routed := *r
	routed.URL = &url.URL{Path: path, RawQuery: r.URL.RawQuery}
	return &routed
}

func (h *handler) notFound(w http.ResponseWriter, _ *http.Request) {
	exchangeOf(w).fail(http.StatusNotFound, "NotFound",
		"There is nothing at this path. The Open Service Broker API begins with /v2, the operators' API with /admin/v1.")
}

func (h *handler) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	// httprouter names OPTIONS always, and here nothing answers it.
	allowed := strings.TrimSuffix(strings.Replace(w.Header().Get("Allow"), "OPTIONS, ", "", 1), ", OPTIONS")
	w.Header().Set("Allow", allowed)
	exchangeOf(w).fail(http.StatusMethodNotAllowed, "MethodNotAllowed",
		"The method %s is not served at this path. Expected one of: %s.", r.Method, allowed)
}

// panicked answers a request whose handler panicked. The user gets the id under
// which the operator finds the stack.
func (h *handler) panicked(e *exchange, r *http.Request, p any) {
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // net/http's own way to drop a connection
	}
	h.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "panic while serving a request",
		slog.String("request_id", e.requestID), slog.String("route", e.route),
		slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
	if e.wroteHeader {
		return
	}
	e.fail(http.StatusInternalServerError, "OperationFailed",
		"The broker could not complete the request. The operator finds the cause in the log under the id.")
}

// finish writes the access log and the observation. It never logs a body, a header or a query.
func (h *handler) finish(e *exchange, r *http.Request) {
	took := h.cfg.Now().Sub(e.started)
	h.cfg.Observe(e.route, r.Method, e.statusCode(), took)

	if !h.cfg.Log.Enabled(r.Context(), e.level()) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", e.requestID),
		slog.String("user", e.user),
		slog.String("method", r.Method),
		slog.String("route", e.route),
		slog.Int("status", e.statusCode()),
		slog.Float64("took_seconds", took.Seconds()),
		slog.Int64("bytes", e.bytes),
	}
	if e.instanceID != "" {
		attrs = append(attrs, slog.String("instance_id", e.instanceID))
	}
	if e.bindingID != "" {
		attrs = append(attrs, slog.String("binding_id", e.bindingID))
	}
	if e.operation != "" {
		attrs = append(attrs, slog.String("operation_id", e.operation))
	}
	h.cfg.Log.LogAttrs(r.Context(), e.level(), "request", append(attrs, errorAttrs(e.err)...)...)
}

// level is Error where the operator should look: a failure of ours or of a backend. What
// is asked all the time and changes nothing is Debug while it succeeds.
func (e *exchange) level() slog.Level {
	switch {
	case e.statusCode() >= 500:
		return slog.LevelError
	case e.route == "/healthz" || e.route == "/readyz", e.catalog && e.statusCode() < 400:
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// errorAttrs gives of an error what may be logged: violations only by their
// place, since their text may quote what the user sent.
func errorAttrs(err *core.Error) []slog.Attr {
	if err == nil {
		return nil
	}
	attrs := []slog.Attr{slog.String("error", string(err.Code)), slog.String("message", err.Message)}
	if err.Detail != "" {
		attrs = append(attrs, slog.String("detail", err.Detail))
	}
	if len(err.Violations) > 0 {
		var at []string
		for _, v := range err.Violations {
			at = append(at, v.Pointer)
		}
		attrs = append(attrs, slog.Any("violations_at", at))
	}
	return attrs
}

func headerSize(r *http.Request) int {
	n := len(r.RequestURI)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(v)
		}
	}
	return n
}
