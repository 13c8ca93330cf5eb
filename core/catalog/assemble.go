package catalog

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"github.com/chandler-broker/chandler/core"
)

// compileService makes the core's service and plans.
func (p *parser) compileService(ps *problems, l *loaded) {
	s := &l.doc
	ds := definedService{ID: s.id, Name: s.name, Description: s.description, Tags: s.tags, Requires: s.requires,
		Bindable: s.bindable == nil || *s.bindable, InstancesRetrievable: orTrue(s.instancesRetrievable),
		BindingsRetrievable: orTrue(s.bindingsRetrievable), AllowContextUpdates: orFalse(s.allowContextUpdates),
		PlanUpdateable: orFalse(s.planUpdateable), Metadata: s.metadata, Backend: s.backend}
	raw, err := json.Marshal(ds)
	if err != nil {
		ps.at(s.node, "", "", "cannot be written as JSON: %v", err)
		return
	}
	l.svc = ds.service()
	h := sha256.New()
	h.Write(raw)
	if c := s.dashboardClient; c != nil {
		l.svc.DashboardClient = p.dashboardClient(ps, s)
		fmt.Fprintf(h, "%q", *l.svc.DashboardClient)
	}
	for i := range l.plans {
		p.compilePlan(ps, l, raw, i, h)
	}
	checkExamples(ps, l, p.plugins[s.backend])
	h.Sum(l.hash[:0])
}

func orTrue(b *bool) bool  { return b == nil || *b }
func orFalse(b *bool) bool { return b != nil && *b }

func (p *parser) dashboardClient(ps *problems, s *serviceDocument) *core.DashboardClient {
	c := &core.DashboardClient{ID: s.dashboardClient.id, Secret: s.dashboardClient.secret, RedirectURI: s.dashboardClient.redirectURI}
	if p.options.Secret != nil {
		resolved, err := p.options.Secret(c.Secret)
		if err != nil {
			at, _ := fieldOf(s.node, "dashboardClient")
			at, _ = fieldOf(at, "secret")
			ps.at(at, "dashboardClient.secret", "", "cannot be resolved: %v", err)
		}
		c.Secret = resolved
	}
	return c
}

// compilePlan makes plan i and adds to seen what of it a platform or an operation can see.
func (p *parser) compilePlan(ps *problems, l *loaded, service json.RawMessage, i int, seen io.Writer) {
	doc, path := &l.plans[i].doc, index("plans", i)
	sc := scopes{schemas: map[string]*schema{}, plugin: p.plugins[l.doc.backend]}
	dp := definedPlan{ID: doc.id, Name: doc.name, Description: doc.description, Metadata: doc.metadata,
		Free: orTrue(doc.free), Bindable: doc.bindable, PlanUpdateable: doc.planUpdateable,
		BindingRotatable: orFalse(doc.settings.bindingRotatable), RequiresApp: orFalse(doc.settings.requiresApp),
		Schemas: map[string]json.RawMessage{},
		Async:   map[core.Verb]string{}, Timeouts: map[core.Verb]string{}}
	if m := doc.settings.maintenanceInfo; m != nil {
		dp.MaintenanceInfo = &maintenanceInfo{m.Version, m.Description}
	}
	for _, verb := range core.Verbs {
		if mode := doc.settings.async[verb]; mode != "" {
			dp.Async[verb] = string(mode)
		}
		timeout := core.DefaultTimeouts[verb]
		if t := doc.settings.timeouts[verb]; t > 0 {
			timeout = t
		}
		dp.Timeouts[verb] = timeout.String()
	}
	usable := p.compileSchemas(ps, doc, path, &dp, sc)
	p.checkIsolation(ps, doc, path, sc)

	plan, err := dp.plan(l.svc)
	if err != nil {
		ps.at(doc.node, path, "", "%v", err)
		return
	}
	raw, err := json.Marshal(dp)
	if err != nil {
		ps.at(doc.node, path, "", "cannot be written as JSON: %v", err)
		return
	}
	seen.Write(raw)
	setSchemas(plan, sc.schemas)
	plan.Definition = encodeDefinition(service, raw, p.compileTemplates(ps, plan, doc, path, sc, seen))
	if !usable {
		return // nothing can be held against its schemas
	}
	l.plans[i].plan = plan
	l.svc.Plans = append(l.svc.Plans, plan)
}

// compileTemplates sets the plan's templates and returns their sources by place.
func (p *parser) compileTemplates(ps *problems, plan *core.Plan, doc *planDocument, path string, sc scopes, seen io.Writer) map[string]json.RawMessage {
	sources := map[string]json.RawMessage{}
	for _, pl := range places {
		n, has := doc.settings.templates[pl.key]
		if pl.key == "provision" || pl.key == "bind" && plan.Bindable || has {
			sc.checkInputs(ps, pl, n, has, doc.node, doc.where(path, pl.key))
		}
		if !has {
			continue
		}
		compiled := p.cache.template(p.options.Templates, n, pl, sc)
		for _, problem := range compiled.problems {
			problem.Path = templatePath(doc.where(path, pl.key), problem.Path)
			ps.add(problem)
		}
		if compiled.template != nil { // a nil pointer must not become a template
			setTemplate(plan, pl.key, compiled.template)
		}
		encoded := p.cache.encode(n)
		sources[pl.key] = encoded.full
		fmt.Fprintf(seen, "%s:", pl.key)
		seen.Write(encoded.bare)
	}
	return sources
}

// templatePath puts the place before the path that the template language gives.
func templatePath(place, inner string) string {
	if inner == "" || inner[0] == '[' {
		return place + inner
	}
	return place + "." + inner
}

// anyParameters stands in for a schema that cannot be used: what else is wrong with the
// plan's templates is told in the same run.
const anyParameters = `{"$schema":"http://json-schema.org/draft-04/schema#","type":"object","additionalProperties":true}`

// compileSchemas publishes and compiles the plan's schemas; false if one cannot be used.
func (p *parser) compileSchemas(ps *problems, doc *planDocument, path string, dp *definedPlan, sc scopes) bool {
	ok := true
	for _, key := range schemaVerbs {
		n, has := doc.settings.schemas[key]
		if !has {
			continue
		}
		where := doc.where(path, "schemas."+key)
		published := p.publish(ps, n, where)
		if published != nil {
			s, err := p.cache.schema(published)
			if err == nil {
				sc.schemas[key], dp.Schemas[key] = s, published
				continue
			}
			reportSchema(ps, n, where, err)
		}
		ok = false
		sc.schemas[key], _ = p.cache.schema(json.RawMessage(anyParameters)) // a constant that compiles
	}
	return ok
}

// publish makes the document of a schema once. A schema that is wrong is looked at
// again for every plan; its problems are told once.
func (p *parser) publish(ps *problems, n core.Node, path string) json.RawMessage {
	key := keyOf(n)
	p.cache.mu.Lock()
	doc, ok := p.cache.published[key]
	p.cache.mu.Unlock()
	if ok {
		return doc
	}
	if doc = publishSchema(ps, n, path); doc == nil {
		return nil
	}
	if s, err := p.cache.schema(doc); err == nil {
		checkDefaults(ps, n, path, s)
	}
	p.cache.mu.Lock()
	defer p.cache.mu.Unlock()
	p.cache.published[key] = doc
	return doc
}

// checkIsolation refuses a promise of private credentials that the backend does not keep.
func (p *parser) checkIsolation(ps *problems, doc *planDocument, path string, sc scopes) {
	if !orFalse(doc.settings.isolated) || !sc.plugin.known || sc.plugin.isolated {
		return
	}
	at, _ := fieldOf(doc.node, "isolated")
	ps.at(at, doc.where(path, "isolated"), "", "the plan promises credentials of its own for every binding, but the backend is not isolated: all its bindings share an account")
}
