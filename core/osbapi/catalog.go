package osbapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// getCatalog is GET /v2/catalog. A malformed originating identity does not matter
// here: the specification has no 400 for this endpoint.
func (h *handler) getCatalog(c *call) (reply, error) {
	c.catalog = true
	p := h.catalog.page(h.cfg.Broker.Catalog(), c.version)
	coded := &p.plain
	if acceptsGzip(c.r.Header) {
		coded = &p.zipped
	}
	if notModified(c.r.Header, coded.etag, p.modified) {
		return coded.unchanged, nil
	}
	return coded.whole, nil
}

// page is the catalog as one minor version sees it.
type page struct {
	plain, zipped coded
	modified      time.Time
}

// coded is a page in one encoding: its two answers, ready to send.
type coded struct {
	etag             string
	whole, unchanged reply
}

func newCoded(body []byte, etag, encoding string, modified time.Time) coded {
	header := http.Header{
		"Vary":          {headerVersion + ", Accept-Encoding"},
		"Cache-Control": {"private, no-cache"}, // keep it, but ask each time: that costs a 304
		"Last-Modified": {modified.Format(http.TimeFormat)},
		"Etag":          {etag},
	}
	c := coded{etag: etag, unchanged: reply{status: http.StatusNotModified, header: header}}
	header = header.Clone()
	header["Content-Length"] = []string{strconv.Itoa(len(body))}
	if encoding != "" {
		header["Content-Encoding"] = []string{encoding}
	}
	c.whole = reply{status: http.StatusOK, raw: body, header: header}
	return c
}

// catalogCache keeps the pages of one revision of the catalog.
type catalogCache struct {
	mu       sync.Mutex
	revision string
	modified time.Time // whole seconds, UTC
	pages    map[version]*page
}

// page gives the page of s for v; it is made once per revision and version.
func (cc *catalogCache) page(s *core.Snapshot, v version) *page {
	cc.mu.Lock()
	defer cc.mu.Unlock()
	if cc.pages == nil || cc.revision != s.Revision {
		modified := s.LoadedAt.UTC().Truncate(time.Second)
		// Two revisions within a second must not share the date that a client asks by.
		if cc.pages != nil && !modified.After(cc.modified) {
			modified = cc.modified.Add(time.Second)
		}
		cc.revision, cc.modified, cc.pages = s.Revision, modified, map[version]*page{}
	}
	p := cc.pages[v]
	if p == nil {
		p = newPage(s, v, cc.modified)
		cc.pages[v] = p
	}
	return p
}

// newPage tags each encoding by its own bytes, so that a tag never stands for
// bytes that a client does not have.
func newPage(s *core.Snapshot, v version, modified time.Time) *page {
	raw := encode(catalogBody(s, v))
	sum := sha256.Sum256(raw)
	tag := hex.EncodeToString(sum[:16])
	return &page{modified: modified, plain: newCoded(raw, `"`+tag+`"`, "", modified),
		zipped: newCoded(zip(raw), `"`+tag+`-gzip"`, "gzip", modified)}
}

func zip(raw []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(raw); err != nil {
		panic(fmt.Errorf("osbapi: gzip into memory: %w", err))
	}
	if err := z.Close(); err != nil {
		panic(fmt.Errorf("osbapi: gzip into memory: %w", err))
	}
	return buf.Bytes()
}

func catalogBody(s *core.Snapshot, v version) doc {
	services := make([]doc, 0, len(s.Services))
	for _, svc := range s.Services {
		services = append(services, serviceBody(svc, v))
	}
	return doc{"services": services}
}

func serviceBody(s *core.Service, v version) doc {
	d := doc{
		"id": s.ID, "name": s.Name, "description": s.Description,
		"bindable":              s.Bindable,
		"instances_retrievable": s.InstancesRetrievable,
		"bindings_retrievable":  s.BindingsRetrievable,
		"allow_context_updates": s.AllowContextUpdates,
		"plan_updateable":       s.PlanUpdateable,
	}
	d.put("tags", s.Tags)
	d.put("requires", s.Requires)
	d.put("metadata", s.Metadata)
	if c := s.DashboardClient; c != nil {
		client := doc{"id": c.ID, "secret": c.Secret}
		client.put("redirect_uri", c.RedirectURI)
		d.put("dashboard_client", client)
	}
	plans := make([]doc, 0, len(s.Plans))
	for _, p := range s.Plans {
		plans = append(plans, planBody(p, v))
	}
	d["plans"] = plans
	return v.speak(objService, d)
}

// planBody says free and bindable always: clients read a missing one as false.
func planBody(p *core.Plan, v version) doc {
	d := doc{
		"id": p.ID, "name": p.Name, "description": p.Description,
		"free":              p.Free,
		"bindable":          p.Bindable,
		"plan_updateable":   p.PlanUpdateable,
		"binding_rotatable": p.BindingRotatable,
	}
	d.put("metadata", p.Metadata)
	if p.MaximumPollingDuration > 0 {
		d["maximum_polling_duration"] = seconds(p.MaximumPollingDuration)
	}
	if m := p.MaintenanceInfo; m != nil {
		info := doc{"version": m.Version}
		info.put("description", m.Description)
		d.put("maintenance_info", info)
	}
	d.put("schemas", schemasBody(p))
	return v.speak(objPlan, d)
}

func schemasBody(p *core.Plan) doc {
	parameters := func(s core.Schema) doc {
		d := doc{}
		if s != nil {
			d.put("parameters", s.JSON())
		}
		return d
	}
	instance, binding, all := doc{}, doc{}, doc{}
	instance.put("create", parameters(p.SchemaProvision))
	instance.put("update", parameters(p.SchemaUpdate))
	if p.Bindable {
		binding.put("create", parameters(p.SchemaBind))
	}
	all.put("service_instance", instance)
	all.put("service_binding", binding)
	return all
}
