package catalog

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/chandler-broker/chandler/core"
)

// cache shares what many plans have in common during one load: template sources
// that they inherit from their service, and schemas. Safe for concurrent use.
type cache struct {
	mu        sync.Mutex
	published map[nodeKey]json.RawMessage
	schemas   map[string]*schema // by document
	templates map[templateKey]compiledTemplate
	sources   map[nodeKey]encodedNode
	scopes    map[templateKey]core.TemplateScope // node left out
}

func newCache() *cache {
	return &cache{published: map[nodeKey]json.RawMessage{}, schemas: map[string]*schema{},
		templates: map[templateKey]compiledTemplate{}, sources: map[nodeKey]encodedNode{}, scopes: map[templateKey]core.TemplateScope{}}
}

// nodeKey identifies a node: by its place and by the memory of its children,
// which merged copies of the same place do not share.
type nodeKey struct {
	file         string
	line, column int
	fields       *core.Field
	items        *core.Node
}

func keyOf(n core.Node) nodeKey {
	k := nodeKey{file: n.File, line: n.Line, column: n.Column}
	if len(n.Fields) > 0 {
		k.fields = &n.Fields[0]
	}
	if len(n.Items) > 0 {
		k.items = &n.Items[0]
	}
	return k
}

// templateKey is a node with everything that its scope is made of.
type templateKey struct {
	node                    nodeKey
	place                   string
	provision, update, bind *schema
	plugin                  *pluginWord
}

type compiledTemplate struct {
	template core.Template
	problems []core.Problem
}

type encodedNode struct {
	full json.RawMessage // with positions
	bare json.RawMessage // without
}

// schema compiles a published document once.
func (c *cache) schema(doc json.RawMessage) (*schema, error) {
	c.mu.Lock()
	s, ok := c.schemas[string(doc)]
	c.mu.Unlock()
	if ok {
		return s, nil
	}
	s, err := compileSchema(doc)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.schemas[string(doc)]; ok {
		return first, nil // the same pointer for the same document: it is part of templateKey
	}
	c.schemas[string(doc)] = s
	return s, nil
}

// template compiles a source in a scope once.
func (c *cache) template(t core.Templates, n core.Node, pl place, sc scopes) compiledTemplate {
	key := templateKey{keyOf(n), pl.key, sc.schemas["provision"], sc.schemas["update"], sc.schemas["bind"], sc.plugin}
	scopeKey := key
	scopeKey.node = nodeKey{}
	c.mu.Lock()
	out, ok := c.templates[key]
	scope, made := c.scopes[scopeKey]
	c.mu.Unlock()
	if ok {
		return out
	}
	if !made {
		scope = sc.of(pl)
	}
	out.template, out.problems = t.Compile(n, scope)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.templates[key], c.scopes[scopeKey] = out, scope
	return out
}

// encode writes a node as JSON once.
func (c *cache) encode(n core.Node) encodedNode {
	key := keyOf(n)
	c.mu.Lock()
	out, ok := c.sources[key]
	c.mu.Unlock()
	if ok {
		return out
	}
	// A Node is made of what JSON has; encoding it cannot fail.
	out.full, _ = json.Marshal(n)
	out.bare, _ = json.Marshal(bareNode(n))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sources[key] = out
	return out
}

// bareNode is n without positions: what a comment in the file does not change.
func bareNode(n core.Node) core.Node {
	n.File, n.Line, n.Column = "", 0, 0
	if n.Fields != nil {
		fields := make([]core.Field, len(n.Fields))
		for i, f := range n.Fields {
			fields[i] = core.Field{Key: f.Key, Value: bareNode(f.Value)}
		}
		n.Fields = fields
	}
	if n.Items != nil {
		items := make([]core.Node, len(n.Items))
		for i, e := range n.Items {
			items[i] = bareNode(e)
		}
		n.Items = items
	}
	return n
}

// setTemplate puts a compiled template into its field of the plan.
func setTemplate(p *core.Plan, key string, t core.Template) {
	switch key {
	case "provision":
		p.Provision = t
	case "update":
		p.Update = t
	case "deprovision":
		p.Deprovision = t
	case "bind":
		p.Bind = t
	case "unbind":
		p.Unbind = t
	case "credentials":
		p.Credentials = t
	case "dashboardURL":
		p.DashboardURL = t
	case "metadataLabels":
		p.InstanceLabels = t
	case "metadataAttributes":
		p.InstanceAttributes = t
	case "endpoints":
		p.Endpoints = t
	case "volumeMounts":
		p.VolumeMounts = t
	case "syslogDrainURL":
		p.SyslogDrainURL = t
	case "routeServiceURL":
		p.RouteServiceURL = t
	case "expiresAt":
		p.ExpiresAt = t
	case "renewBefore":
		p.RenewBefore = t
	}
}

// TemplateOf gives the plan's template at a place of the YAML ("provision",
// "credentials", "endpoints", …); nil if it has none or there is no such place.
func TemplateOf(p *core.Plan, key string) core.Template {
	switch key {
	case "provision":
		return p.Provision
	case "update":
		return p.Update
	case "deprovision":
		return p.Deprovision
	case "bind":
		return p.Bind
	case "unbind":
		return p.Unbind
	case "credentials":
		return p.Credentials
	case "dashboardURL":
		return p.DashboardURL
	case "metadataLabels":
		return p.InstanceLabels
	case "metadataAttributes":
		return p.InstanceAttributes
	case "endpoints":
		return p.Endpoints
	case "volumeMounts":
		return p.VolumeMounts
	case "syslogDrainURL":
		return p.SyslogDrainURL
	case "routeServiceURL":
		return p.RouteServiceURL
	case "expiresAt":
		return p.ExpiresAt
	case "renewBefore":
		return p.RenewBefore
	}
	return nil
}

// setSchemas puts the schemas into the plan; a verb without one gets the schema that takes nothing.
func setSchemas(p *core.Plan, schemas map[string]*schema) {
	of := func(key string) core.Schema {
		if s := schemas[key]; s != nil {
			return s
		}
		return &schema{}
	}
	p.SchemaProvision, p.SchemaUpdate, p.SchemaBind = of("provision"), of("update"), of("bind")
}

// Compile makes a plan of a stored definition. Names of outputs were checked when it
// was stored; the plugin may be a newer one by now, so they are found out when it
// renders. Catalog.Plan does this with a cache.
func Compile(t core.Templates, def core.Definition) (*core.Plan, error) {
	d, err := decodeDefinition(def)
	if err != nil {
		return nil, err
	}
	var ds definedService
	if err := json.Unmarshal(d.Service, &ds); err != nil {
		return nil, fmt.Errorf("the definition %.12s is damaged: %w", def.Digest, err)
	}
	ds.Metadata = plainObject(ds.Metadata)
	svc := ds.service()
	plan, err := d.Plan.plan(svc)
	if err != nil {
		return nil, fmt.Errorf("the definition %.12s is damaged: %w", def.Digest, err)
	}
	svc.Plans = []*core.Plan{plan}
	plan.Definition = def
	sc := scopes{schemas: map[string]*schema{}, plugin: &pluginWord{}}
	for key, doc := range d.Plan.Schemas {
		if sc.schemas[key], err = compileSchema(doc); err != nil {
			return nil, fmt.Errorf("the definition %.12s: schema %s: %w", def.Digest, key, err)
		}
	}
	setSchemas(plan, sc.schemas)
	for key, raw := range d.Templates {
		pl, known := placeOf(key)
		if !known {
			return nil, fmt.Errorf("the definition %.12s has a template at an unknown place %q", def.Digest, key)
		}
		var n core.Node
		if err := json.Unmarshal(raw, &n); err != nil {
			return nil, fmt.Errorf("the definition %.12s is damaged: %w", def.Digest, err)
		}
		compiled, problems := t.Compile(n, sc.of(pl))
		if Refused(problems) {
			return nil, fmt.Errorf("the definition %.12s: %s", def.Digest, Text(problems[0]))
		}
		setTemplate(plan, key, compiled)
	}
	return plan, nil
}
