package osbapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/chandler-broker/chandler/core"
)

// CatalogAdmin is the operators' view of the catalog directory.
type CatalogAdmin interface {
	// Status says which catalog is active and what is wrong with the files, if anything.
	Status(context.Context) (CatalogStatus, error)
	// Diff says what a reload would change now, without changing it. With files
	// ("catalog/…" and "templates/…") these stand in for the directories.
	Diff(ctx context.Context, files map[string]string) (CatalogDiff, error)
	// Reload reads the directory and activates it if it is valid; the status says
	// whether it was. The error is of the reload itself, such as an unusable store.
	Reload(context.Context) (CatalogStatus, error)
}

// CatalogStatus is GET /admin/v1/catalog.
type CatalogStatus struct {
	Revision string    `json:"revision"` // of the active catalog
	LoadedAt time.Time `json:"loaded_at"`
	Services int       `json:"services"`
	Plans    int       `json:"plans"`
	Retired  int       `json:"retired"` // plans that left the files but still have instances
	// Held names services that wait for their plugin, LeftOut offerings that cannot be used.
	Held    []string `json:"held,omitempty"`
	LeftOut []string `json:"left_out,omitempty"`
	// Active is the numbered revision of the files that the active catalog is made of.
	Active CatalogRevision `json:"active"`
	// Differs is true while this broker's directory holds something else.
	Differs bool `json:"differs"`
	// Valid is false while the directory, or the active revision of the other
	// replicas, is not in use because of the problems.
	Valid     bool           `json:"valid"`
	CheckedAt time.Time      `json:"checked_at"`
	Problems  []core.Problem `json:"problems"` // warnings too
}

// CatalogRevision is one state of the catalog's files, numbered over all replicas.
type CatalogRevision struct {
	Number int64     `json:"number"`
	Digest string    `json:"digest"` // SHA-256 of the files, hexadecimal
	By     string    `json:"by"`     // the replica that proposed it
	At     time.Time `json:"at"`
}

// CatalogDiff is GET /admin/v1/catalog/diff.
type CatalogDiff struct {
	Changes  []CatalogChange `json:"changes"`
	Problems []core.Problem  `json:"problems"` // with an error among them a reload would change nothing
}

// CatalogChange is one difference between the active catalog and the files.
type CatalogChange struct {
	Service   string `json:"service"` // name
	ServiceID string `json:"service_id"`
	Plan      string `json:"plan,omitempty"` // name; none if the change is of the service
	PlanID    string `json:"plan_id,omitempty"`
	Kind      string `json:"kind"` // added, removed, retired, changed, renumbered
	Text      string `json:"text"` // what is different, in words
	// Fields are the paths that differ, as in the YAML; for changed only.
	Fields    []string `json:"fields,omitempty"`
	Instances int      `json:"instances"`
	// Breaking is true where a platform or an instance can lose something.
	Breaking bool `json:"breaking"`
}

// BackendsAdmin is the operators' view of the backends.
type BackendsAdmin interface {
	Backends(context.Context) ([]BackendStatus, error)
}

// BackendStatus is one line of GET /admin/v1/backends.
type BackendStatus struct {
	Name    string `json:"name"`
	Plugin  string `json:"plugin"`
	Version string `json:"version,omitempty"` // of the plugin; none before it was described
	State   string `json:"state"`             // running, starting, backing off, invalid, …
	Message string `json:"message,omitempty"` // why it is not running; no secrets
	Digest  string `json:"digest,omitempty"`  // SHA-256 of the executable, hexadecimal
	PID     int    `json:"pid,omitempty"`
	// Calls are the plugin calls that run now; Restarts counts since the broker started.
	Calls    int       `json:"calls"`
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since,omitzero"` // when it came into the state
}

// Version is GET /admin/v1/version.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go,omitempty"`
	OSB     string `json:"osb"` // filled in by New
}

// adminRoute is one route of the operators' API, below /admin/v1.
type adminRoute struct {
	method, path string
	serve        func(*call) (reply, error)
}

// adminTable lists the operators' API; docs/admin-api.md describes each of them.
func (h *handler) adminTable() []adminRoute {
	table := []adminRoute{
		{http.MethodGet, "/version", h.adminVersion},
		{http.MethodGet, "/status", h.adminStatus},
		{http.MethodGet, "/replicas", h.adminReplicas},
		{http.MethodGet, "/dispatcher", h.adminDispatcher},
		{http.MethodPost, "/dispatcher/pause", h.adminPause},
		{http.MethodPost, "/dispatcher/resume", h.adminResume},
		{http.MethodGet, "/instances", h.adminInstances},
		{http.MethodGet, "/instances/:instance_id", h.adminInstance},
		{http.MethodPost, "/instances/:instance_id/purge", h.adminPurge},
		{http.MethodGet, "/instances/:instance_id/inspect", h.adminInspect},
		{http.MethodPost, "/instances/:instance_id/adopt", h.adminAdopt},
		{http.MethodGet, "/backends/:backend/inventory", h.adminInventory},
		{http.MethodGet, "/operations", h.adminOperations},
		{http.MethodGet, "/operations/:operation_id", h.adminOperation},
		{http.MethodPost, "/operations/:operation_id/cancel", h.adminCancel},
		{http.MethodPost, "/operations/:operation_id/retry", h.adminRetry},
		{http.MethodPost, "/operations/:operation_id/abandon", h.adminAbandon},
	}
	if h.cfg.CatalogAdmin != nil {
		table = append(table, []adminRoute{
			{http.MethodGet, "/catalog", h.adminCatalog},
			{http.MethodGet, "/catalog/diff", func(c *call) (reply, error) { return h.adminCatalogDiff(c, nil) }},
			{http.MethodPost, "/catalog/diff", h.adminCatalogDiffFiles},
			{http.MethodPost, "/catalog/reload", h.adminCatalogReload},
		}...)
	}
	if h.cfg.BackendsAdmin != nil {
		table = append(table, adminRoute{http.MethodGet, "/backends", h.adminBackends})
	}
	return append(append(table, h.keysTable()...), h.exportTable()...)
}

func (h *handler) adminRoutes() {
	for _, route := range h.adminTable() {
		path := "/admin/v1" + route.path
		h.router.Handle(route.method, path, h.admin(path, route.serve))
	}
}

// admin is the way of an operator's request.
func (h *handler) admin(route string, serve func(*call) (reply, error)) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
		e := exchangeOf(w)
		e.route = route
		if !h.authenticate(e, r, nil, RoleOperator) {
			return
		}
		c := &call{exchange: e, r: r, version: newestMinor}
		c.readQuery()
		c.strictQuery()
		e.instanceID = c.pathID(params, "instance_id")
		e.operation = c.pathID(params, "operation_id")
		c.backend = c.pathID(params, "backend")
		c.caller.User, c.caller.RequestID, c.caller.Started = e.user, e.requestID, e.started
		c.caller.Trace = traceparent(r.Header)

		answer, err := serve(c)
		if err != nil {
			e.sendError(core.AsError(err), "", c.version)
			return
		}
		e.send(answer)
	}
}

func ok(body any) reply { return reply{status: http.StatusOK, raw: encode(body)} }

// filters refuses query parameters that are not among names: a misspelt filter
// would otherwise select everything.
func (c *call) filters(names ...string) {
	for name := range c.query.values {
		if !slices.Contains(names, name) {
			c.problem("?"+name, "is not a filter; expected one of %s", strings.Join(names, ", "))
		}
	}
}

// limit reads how many rows are wanted: 1 to 1000, 100 if nothing is said.
func (c *call) limit() int {
	const usual, most = 100, 1000
	s := c.query.values.Get("limit")
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		c.problem("?limit", "is %q; expected a number from 1 to %d", s, most)
		return usual
	}
	return n
}

// states reads the filter `state`, which may be repeated or a list with commas.
func (c *call) states() []core.OperationState {
	known := []core.OperationState{core.OperationPending, core.OperationCancelling, core.OperationSucceeded, core.OperationFailed}
	var states []core.OperationState
	for _, word := range strings.Split(strings.Join(c.query.values["state"], ","), ",") {
		switch s := core.OperationState(word); {
		case word == "":
		case slices.Contains(known, s):
			states = append(states, s)
		default:
			c.problem("?state", "is %q; expected some of %s", word, join(known))
		}
	}
	return states
}

// verbFilter reads the filter `verb`.
func (c *call) verbFilter() core.Verb {
	v := core.Verb(c.query.values.Get("verb"))
	if v != "" && !slices.Contains(core.Verbs, v) {
		c.problem("?verb", "is %q; expected one of %s", string(v), join(core.Verbs))
	}
	return v
}

func join[S ~string](words []S) string {
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return strings.Join(list, ", ")
}

func (h *handler) adminVersion(*call) (reply, error) {
	v := h.cfg.Version
	v.OSB = fmt.Sprintf("2.%d", newestMinor)
	return ok(v), nil
}

func (h *handler) adminStatus(c *call) (reply, error) {
	counts, err := h.cfg.Broker.Counts(c.r.Context())
	if err != nil {
		return reply{}, err
	}
	unfinished := map[core.Verb]int64{}
	for _, v := range core.Verbs {
		unfinished[v] = counts.Unfinished[v]
	}
	return ok(doc{
		"instances": counts.Instances, "bindings": counts.Bindings, "unfinished": unfinished,
		"catalog_revision": h.cfg.Broker.Catalog().Revision,
	}), nil
}

func (h *handler) adminCatalog(c *call) (reply, error) {
	s, err := h.cfg.CatalogAdmin.Status(c.r.Context())
	return okCatalog(s, err)
}

func (h *handler) adminCatalogReload(c *call) (reply, error) {
	s, err := h.cfg.CatalogAdmin.Reload(c.r.Context())
	return okCatalog(s, err)
}

func okCatalog(s CatalogStatus, err error) (reply, error) {
	if err != nil {
		return reply{}, err
	}
	if s.Problems == nil {
		s.Problems = []core.Problem{}
	}
	return ok(s), nil
}

// maxCatalog bounds the files of a diff in bytes.
const maxCatalog = 32 << 20

// adminCatalogDiffFiles is POST /admin/v1/catalog/diff with {"files": {name: text}}.
func (h *handler) adminCatalogDiffFiles(c *call) (reply, error) {
	b, err := c.readBody(maxCatalog)
	if err != nil {
		return reply{}, err
	}
	var files map[string]string
	if err := json.Unmarshal(b.fields["files"], &files); err != nil || len(files) == 0 {
		c.problem("/files", "is missing or wrong; expected an object of file names and texts")
		return reply{}, c.invalid()
	}
	return h.adminCatalogDiff(c, files)
}

func (h *handler) adminCatalogDiff(c *call, files map[string]string) (reply, error) {
	d, err := h.cfg.CatalogAdmin.Diff(c.r.Context(), files)
	if err != nil {
		return reply{}, err
	}
	if d.Changes == nil {
		d.Changes = []CatalogChange{}
	}
	if d.Problems == nil {
		d.Problems = []core.Problem{}
	}
	return ok(d), nil
}

func (h *handler) adminBackends(c *call) (reply, error) {
	list, err := h.cfg.BackendsAdmin.Backends(c.r.Context())
	if err != nil {
		return reply{}, err
	}
	if list == nil {
		list = []BackendStatus{}
	}
	d := doc{"backends": list}
	if h.cfg.ConfigurationProblem != nil {
		if p := h.cfg.ConfigurationProblem(); p != "" {
			d["configuration_problem"] = p
		}
	}
	return ok(d), nil
}
