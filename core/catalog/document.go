package catalog

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// place is a key of a plan that holds a template.
type place struct {
	key  string
	kind core.NodeKind // what the template must yield
	// verb whose parameters it reads as .parameters
	verb core.Verb
	// outputs tells what it may read: nothing, the instance's, or both
	outputs outputScope
	inputs  bool // it makes the inputs of a plugin call
}

type outputScope int

const (
	noOutputs outputScope = iota
	instanceOutputs
	bothOutputs
)

// places lists every template of a plan.
var places = []place{
	{"provision", core.NodeMapping, core.VerbProvision, noOutputs, true},
	{"update", core.NodeMapping, core.VerbUpdate, instanceOutputs, true},
	{"deprovision", core.NodeMapping, core.VerbDeprovision, instanceOutputs, true},
	{"bind", core.NodeMapping, core.VerbBind, instanceOutputs, true},
	{"unbind", core.NodeMapping, core.VerbUnbind, bothOutputs, true},
	{"credentials", core.NodeMapping, core.VerbBind, bothOutputs, false},
	{"dashboardURL", core.NodeScalar, core.VerbProvision, noOutputs, false},
	{"metadataLabels", core.NodeMapping, core.VerbProvision, noOutputs, false},
	{"metadataAttributes", core.NodeMapping, core.VerbProvision, noOutputs, false},
	{"endpoints", core.NodeList, core.VerbBind, bothOutputs, false},
	{"volumeMounts", core.NodeList, core.VerbBind, bothOutputs, false},
	{"syslogDrainURL", core.NodeScalar, core.VerbBind, bothOutputs, false},
	{"routeServiceURL", core.NodeScalar, core.VerbBind, bothOutputs, false},
	{"expiresAt", core.NodeScalar, core.VerbBind, bothOutputs, false},
	{"renewBefore", core.NodeScalar, core.VerbBind, bothOutputs, false},
}

func placeOf(key string) (place, bool) {
	for _, p := range places {
		if p.key == key {
			return p, true
		}
	}
	return place{}, false
}

// serviceDocument is one service file as decoded, before plans get the service's settings.
type serviceDocument struct {
	node core.Node

	id, name, description, backend string
	tags, requires                 []string
	metadata                       map[string]any
	bindable                       *bool
	instancesRetrievable           *bool
	bindingsRetrievable            *bool
	allowContextUpdates            *bool
	planUpdateable                 *bool
	dashboardClient                *dashboardClient
	settings                       settings // for the positions of what is wrong; plans decode the merged ones
	plans                          core.Node
	examples                       []Example
}

type dashboardClient struct{ id, secret, redirectURI string }

// planDocument is one plan with the service's settings merged in.
type planDocument struct {
	node core.Node
	own  core.Node // without the service's settings

	id, name, description string
	metadata              map[string]any
	free                  *bool
	bindable              *bool
	planUpdateable        *bool
	settings              settings
}

// settings are the keys that a plan has and that a service can hold as their default.
type settings struct {
	templates        map[string]core.Node // by place key; files are resolved already
	schemas          map[string]core.Node // provision, update, bind
	maintenanceInfo  *core.MaintenanceInfo
	async            map[core.Verb]core.AsyncMode
	timeouts         map[core.Verb]time.Duration
	requiresApp      *bool
	bindingRotatable *bool
	isolated         *bool
}

// where is the path of a setting: the service's, unless the plan has a word of its own.
func (p *planDocument) where(path, key string) string {
	first, _, _ := strings.Cut(key, ".")
	_, own := fieldOf(p.own, first)
	_, inherited := fieldOf(p.node, first)
	if !own && inherited && slices.Contains(settingKeys, first) {
		return key
	}
	return join(path, key)
}

func text[T any](key string, at func(*T) *string) field[T] {
	return field[T]{key, "string", func(d *decoder, n core.Node, path string, into *T) { *at(into) = d.text(n, path) }}
}

func boolean[T any](key string, at func(*T) **bool) field[T] {
	return field[T]{key, "boolean", func(d *decoder, n core.Node, path string, into *T) { *at(into) = d.boolean(n, path) }}
}

func texts[T any](key string, at func(*T) *[]string) field[T] {
	return field[T]{key, "list of strings", func(d *decoder, n core.Node, path string, into *T) { *at(into) = d.texts(n, path) }}
}

func object[T any](key string, at func(*T) *map[string]any) field[T] {
	return field[T]{key, "mapping", func(d *decoder, n core.Node, path string, into *T) { *at(into) = d.object(n, path) }}
}

var serviceFields = append([]field[serviceDocument]{
	text("id", func(s *serviceDocument) *string { return &s.id }),
	text("name", func(s *serviceDocument) *string { return &s.name }),
	text("description", func(s *serviceDocument) *string { return &s.description }),
	text("backend", func(s *serviceDocument) *string { return &s.backend }),
	texts("tags", func(s *serviceDocument) *[]string { return &s.tags }),
	texts("requires", func(s *serviceDocument) *[]string { return &s.requires }),
	object("metadata", func(s *serviceDocument) *map[string]any { return &s.metadata }),
	boolean("bindable", func(s *serviceDocument) **bool { return &s.bindable }),
	boolean("instancesRetrievable", func(s *serviceDocument) **bool { return &s.instancesRetrievable }),
	boolean("bindingsRetrievable", func(s *serviceDocument) **bool { return &s.bindingsRetrievable }),
	boolean("allowContextUpdates", func(s *serviceDocument) **bool { return &s.allowContextUpdates }),
	boolean("planUpdateable", func(s *serviceDocument) **bool { return &s.planUpdateable }),
	{"dashboardClient", "mapping", func(d *decoder, n core.Node, path string, s *serviceDocument) {
		s.dashboardClient = &dashboardClient{}
		decodeFields(d, n, path, dashboardClientFields, s.dashboardClient)
	}},
	{"plans", "list of mappings", func(d *decoder, n core.Node, path string, s *serviceDocument) {
		if s.plans = n; n.Kind != core.NodeList {
			d.wrong(n, path, "a list of plans")
		}
	}},
	{"examples", "list of mappings", func(d *decoder, n core.Node, path string, s *serviceDocument) {
		if n.Kind != core.NodeList {
			d.wrong(n, path, "a list of examples")
			return
		}
		for i, e := range n.Items {
			ex := Example{node: e, path: index(path, i)}
			if decodeFields(d, e, ex.path, exampleFields, &ex) {
				s.examples = append(s.examples, ex)
			}
		}
	}},
}, lift(settingsFields, func(s *serviceDocument) *settings { return &s.settings })...)

var dashboardClientFields = []field[dashboardClient]{
	text("id", func(c *dashboardClient) *string { return &c.id }),
	text("secret", func(c *dashboardClient) *string { return &c.secret }),
	text("redirectURI", func(c *dashboardClient) *string { return &c.redirectURI }),
}

var planFields = append([]field[planDocument]{
	text("id", func(p *planDocument) *string { return &p.id }),
	text("name", func(p *planDocument) *string { return &p.name }),
	text("description", func(p *planDocument) *string { return &p.description }),
	object("metadata", func(p *planDocument) *map[string]any { return &p.metadata }),
	boolean("free", func(p *planDocument) **bool { return &p.free }),
	boolean("bindable", func(p *planDocument) **bool { return &p.bindable }),
	boolean("planUpdateable", func(p *planDocument) **bool { return &p.planUpdateable }),
}, lift(settingsFields, func(p *planDocument) *settings { return &p.settings })...)

var settingsFields = append(placeFields(), []field[settings]{
	{"schemas", "mapping of JSON Schemas", func(d *decoder, n core.Node, path string, s *settings) {
		s.schemas = map[string]core.Node{}
		decodeFields(d, n, path, schemasFields, &s.schemas)
	}},
	{"maintenanceInfo", "mapping", func(d *decoder, n core.Node, path string, s *settings) {
		s.maintenanceInfo = &core.MaintenanceInfo{}
		decodeFields(d, n, path, maintenanceInfoFields, s.maintenanceInfo)
	}},
	{"async", "mapping of verbs", func(d *decoder, n core.Node, path string, s *settings) {
		s.async = map[core.Verb]core.AsyncMode{}
		decodeFields(d, n, path, asyncFields, &s.async)
	}},
	{"timeouts", "mapping of verbs", func(d *decoder, n core.Node, path string, s *settings) {
		s.timeouts = map[core.Verb]time.Duration{}
		decodeFields(d, n, path, timeoutFields, &s.timeouts)
	}},
	boolean("requiresApp", func(s *settings) **bool { return &s.requiresApp }),
	boolean("bindingRotatable", func(s *settings) **bool { return &s.bindingRotatable }),
	boolean("isolated", func(s *settings) **bool { return &s.isolated }),
}...)

// placeFields is one key per template.
func placeFields() []field[settings] {
	var fields []field[settings]
	for _, pl := range places {
		kind := map[core.NodeKind]string{
			core.NodeMapping: "template mapping, or a file under templates/",
			core.NodeList:    "template list, or a file under templates/",
			core.NodeScalar:  "template string",
		}[pl.kind]
		want := map[core.NodeKind]string{
			core.NodeMapping: "a mapping or the name of a file under templates/",
			core.NodeList:    "a list or the name of a file under templates/",
			core.NodeScalar:  "a string",
		}[pl.kind]
		fields = append(fields, field[settings]{pl.key, kind, func(d *decoder, n core.Node, path string, s *settings) {
			if _, isText := n.Value.(string); n.Kind != pl.kind || pl.kind == core.NodeScalar && !isText {
				if pl.kind == core.NodeScalar || !isText {
					d.wrong(n, path, want)
				} // else: a file that could not be read was reported
				return
			}
			if s.templates == nil {
				s.templates = map[string]core.Node{}
			}
			s.templates[pl.key] = n
		}})
	}
	return fields
}

var schemasFields = func() []field[map[string]core.Node] {
	var fields []field[map[string]core.Node]
	for _, key := range schemaVerbs {
		fields = append(fields, field[map[string]core.Node]{key, "JSON Schema", func(d *decoder, n core.Node, path string, into *map[string]core.Node) {
			if n.Kind != core.NodeMapping {
				d.wrong(n, path, "a JSON Schema (a mapping)")
				return
			}
			(*into)[key] = n
		}})
	}
	return fields
}()

// schemaVerbs are the keys of schemas.
var schemaVerbs = []string{"provision", "update", "bind"}

var maintenanceInfoFields = []field[core.MaintenanceInfo]{
	text("version", func(m *core.MaintenanceInfo) *string { return &m.Version }),
	text("description", func(m *core.MaintenanceInfo) *string { return &m.Description }),
}

var asyncFields = func() []field[map[core.Verb]core.AsyncMode] {
	var fields []field[map[core.Verb]core.AsyncMode]
	for _, verb := range core.Verbs {
		fields = append(fields, field[map[core.Verb]core.AsyncMode]{string(verb), "auto, required or never",
			func(d *decoder, n core.Node, path string, into *map[core.Verb]core.AsyncMode) {
				if s := d.oneOf(n, path, string(core.AsyncAuto), string(core.AsyncRequired), string(core.AsyncNever)); s != "" {
					(*into)[verb] = core.AsyncMode(s)
				}
			}})
	}
	return fields
}()

var timeoutFields = func() []field[map[core.Verb]time.Duration] {
	var fields []field[map[core.Verb]time.Duration]
	for _, verb := range core.Verbs {
		fields = append(fields, field[map[core.Verb]time.Duration]{string(verb), "duration",
			func(d *decoder, n core.Node, path string, into *map[core.Verb]time.Duration) {
				if v := d.duration(n, path); v > 0 {
					(*into)[verb] = v
				}
			}})
	}
	return fields
}()

var exampleFields = []field[Example]{
	text("name", func(e *Example) *string { return &e.Name }),
	text("description", func(e *Example) *string { return &e.Description }),
	text("plan", func(e *Example) *string { return &e.Plan }),
	object("provision", func(e *Example) *map[string]any { return &e.Provision }),
	object("update", func(e *Example) *map[string]any { return &e.Update }),
	object("bind", func(e *Example) *map[string]any { return &e.Bind }),
	object("context", func(e *Example) *map[string]any { return &e.Context }),
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
