package osbapi

import (
	"context"
	"net/http"

	"github.com/julienschmidt/httprouter"
)

// ReadyReport is the answer of GET /readyz. Anybody can read it, so it must have
// no secret in it.
type ReadyReport struct {
	// Ready is false only while requests cannot be served at all, that is while
	// the store is unusable or the broker is starting or stopping. A broken catalog
	// file or backend is a check that is not OK of a broker that is ready.
	Ready  bool         `json:"ready"`
	Checks []ReadyCheck `json:"checks"`
}

// ReadyCheck is one thing that /readyz looks at.
type ReadyCheck struct {
	Name string `json:"name"` // store, catalog, backend:<name>, …
	OK   bool   `json:"ok"`
	// Messages say what is wrong, for an operator; none if it is OK.
	Messages []string `json:"messages,omitempty"`
}

// healthRoutes need no authentication: orchestrators probe without.
func (h *handler) healthRoutes() {
	get := func(path string, serve func(*exchange, *http.Request)) {
		handle := func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
			e := exchangeOf(w)
			e.route = path
			serve(e, r)
		}
		h.router.GET(path, handle)
		h.router.HEAD(path, handle)
	}
	get("/healthz", func(e *exchange, _ *http.Request) {
		e.send(reply{status: http.StatusOK, body: doc{"status": "ok"}})
	})
	get("/readyz", func(e *exchange, r *http.Request) { e.send(h.readiness(r.Context())) })
	if h.cfg.Metrics == nil {
		return
	}
	get("/metrics", func(e *exchange, r *http.Request) {
		if h.cfg.PublicMetrics || h.authenticate(e, r, nil, RoleMetrics, RoleOperator) {
			h.cfg.Metrics.ServeHTTP(e, r)
		}
	})
}

func (h *handler) readiness(ctx context.Context) reply {
	report := ReadyReport{Ready: true}
	if h.cfg.Ready != nil {
		report = h.cfg.Ready(ctx)
	}
	if report.Checks == nil {
		report.Checks = []ReadyCheck{}
	}
	status := http.StatusOK
	if !report.Ready {
		status = http.StatusServiceUnavailable
	}
	return reply{status: status, raw: encode(report)}
}
