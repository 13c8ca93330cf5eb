package catalog_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/template"
)

// Every mistake is found, at its place, with words that help.
func TestProblems(t *testing.T) {
	tests := []struct {
		name, why, covers string
		text              string
		want              []string // each is in a line of the problems
	}{
		{name: "unknown key of a service", why: "a typo must not be ignored silently",
			text: service("bindabel: true\n", ""), want: []string{`catalog/a.yaml:6:1: bindabel: unknown key "bindabel" (did you mean "bindable"?)`}},
		{name: "snake case", why: "OSB's own spelling is what people type first",
			text: service("bindings_retrievable: true\n", ""), want: []string{`6:1: bindings_retrievable: unknown key`, `did you mean "bindingsRetrievable"?`}},
		{name: "unknown key of a plan", why: "the path says which plan",
			text: service("", "  fre: true\n"), want: []string{`catalog/a.yaml:10:3: plans[0].fre: unknown key "fre" (did you mean "free"?)`}},
		{name: "unknown key far from all", why: "without a guess the known ones help",
			text: service("", "  maintenanceInfo: {version: 1.0.0, colour: red}\n"), want: []string{`plans[0].maintenanceInfo.colour: unknown key "colour" (known keys: version, description)`}},
		{name: "duplicate key", why: "the second would win silently",
			text: service("name: again\n", ""), want: []string{`catalog/a.yaml:6:1: the key "name" is here twice; the first is in line 2`}},
		{name: "wrong types", why: "all at once, each at its place",
			text: service("tags: s3\nmetadata: [a]\nplanUpdateable: yes\n", "  free: 1\n"), want: []string{
				`6:7: tags: expected a list of strings, found a string`, `7:11: metadata: expected a mapping, found a list`,
				`8:17: planUpdateable: expected true or false, found a string (write true)`, `plans[0].free: expected true or false, found a number`}},
		{name: "number for a string", why: "YAML reads 1.0 as a number", covers: "CAT-24",
			text: service("maintenanceInfo: {version: 1.0}\n", ""), want: []string{`6:28: maintenanceInfo.version: expected a string, found a number (put quotes around it)`}},
		{name: "not a semantic version", why: "OSB wants 2.0", covers: "CAT-24",
			text: service("maintenanceInfo: {version: \"1.0\"}\n", ""), want: []string{`maintenanceInfo.version: must be a semantic version 2.0`}},
		{name: "no plans", why: "OSB needs one", covers: "CAT-16", text: minimal, want: []string{"plans: a service needs at least one plan"}},
		{name: "empty plans", why: "an empty list is no plan either", covers: "CAT-16", text: minimal + "plans: []\n", want: []string{"6:8: plans: a service needs at least one plan"}},
		{name: "missing keys", why: "one line per key", covers: "CAT-03 CAT-05 CAT-07 CAT-17 CAT-18 CAT-19",
			text: "bindable: false\nplans:\n- {}\n", want: []string{`1:1: id: "id" is required`, `1:1: name: "name" is required`,
				`1:1: description: "description" is required`, `1:1: backend: "backend" is required`, `3:3: plans[0].id: "id" is required`,
				`3:3: plans[0].name: "name" is required`, `3:3: plans[0].description: "description" is required`}},
		{name: "empty strings", why: "present, but worth nothing", covers: "CAT-03 CAT-05 CAT-07",
			text: "id: ''\nname: ''\ndescription: ' '\nbackend: demo\nbindable: false\n" + minimalPlan,
			want: []string{"1:5: id: must not be empty", "2:7: name: must not be empty", "3:14: description: must not be empty"}},
		{name: "names", why: "command lines cannot take them", covers: "CAT-04",
			text: strings.Replace(service("", ""), "name: small", "name: my service", 1), want: []string{"2:7: name: a name has only letters, digits, dots and dashes"}},
		{name: "meaningless name", why: "a dash is no name", covers: "CAT-04",
			text: strings.Replace(service("", ""), "name: only", "name: '-'", 1), want: []string{"plans[0].name: a name has only letters"}},
		{name: "same id twice", why: "ids are global", covers: "CAT-05 CAT-17",
			text: service("", "- {id: 5e5a8c5c-0000-4000-8000-000000000001, name: two, description: Two.}\n"),
			want: []string{`10:8: plans[1].id: the id "5e5a8c5c-0000-4000-8000-000000000001" is used already at catalog/a.yaml:1`}},
		{name: "same plan name twice", why: "unique within the service", covers: "CAT-18",
			text: service("", "- {id: x, name: only, description: Two.}\n"), want: []string{`plans[1].name: the plan name "only" is used already`}},
		{name: "requires", why: "OSB knows three words", covers: "CAT-09",
			text: service("requires: [syslog_drian]\n", ""), want: []string{`6:12: requires[0]: OSB knows only syslog_drain, route_forwarding, volume_mount (did you mean "syslog_drain"?)`}},
		{name: "dashboard client", why: "both are needed", covers: "CAT-14",
			text: service("dashboardClient: {id: x}\n", ""), want: []string{`dashboardClient.secret: "secret" is required`}},
		{name: "bindable without credentials", why: "an application would get nothing",
			text: strings.Replace(service("", ""), "bindable: false", "bindable: true", 1), want: []string{"7:3: plans[0].credentials: a bindable plan needs credentials, syslogDrainURL, routeServiceURL or volumeMounts"}},
		{name: "asynchronous bind nobody can fetch", why: "platforms fetch asynchronous credentials by GET", covers: "ASY-03",
			text: strings.Replace(service("bindingsRetrievable: false\nasync: {bind: required}\ncredentials: {a: b}\n", ""), "bindable: false", "bindable: true", 1),
			want: []string{"7:15: async.bind: a bind that must be asynchronous needs retrievable bindings"}},
		{name: "places that need requires", why: "platforms ignore what the service does not require",
			text: service("", "  syslogDrainURL: syslog://x\n  routeServiceURL: https://x\n  volumeMounts: []\n"), want: []string{
				"plans[0].syslogDrainURL: platforms ignore it unless the service requires syslog_drain",
				"plans[0].routeServiceURL: platforms ignore it unless the service requires route_forwarding",
				"plans[0].volumeMounts: platforms ignore it unless the service requires volume_mount"}},
		{name: "async words", why: "three modes", text: service("async: {provision: always, bin: auto}\n", ""),
			want: []string{`async.provision: expected one of auto, required, never, found "always"`, `async.bin: unknown key "bin" (did you mean "bind"?)`}},
		{name: "timeouts", why: "no unit, nothing, too short", text: service("timeouts: {provision: 30, bind: soon, unbind: 0s}\n", ""),
			want: []string{`timeouts.provision: expected a duration, found a number`, `timeouts.bind: expected a duration, found "soon"`, `timeouts.unbind: the duration must be between 1s and 8760h`}},
		{name: "template error", why: "found at load and not at the first bind", text: service("", "  provision: {a: '{{ .paramters.x }}', b: '{{ nofunc 1 }}'}\n"),
			want: []string{`catalog/a.yaml:10:18: plans[0].provision.a:`, `did you mean`, `plans[0].provision.b:`}},
		{name: "outputs in the dashboard URL", why: "it goes into the first answer, before there are outputs",
			text: service("", "  dashboardURL: 'https://x/{{ .instance.outputs.host }}'\n"), want: []string{"10:17: plans[0].dashboardURL:"}},
		{name: "undeclared parameter", why: "a name that nobody declared is an error",
			text: service("", "  provision: {a: '{{ .parameters.nmae }}'}\n  schemas: {provision: {properties: {name: {type: string}}}}\n"), want: []string{"plans[0].provision.a:", "name"}},
		{name: "no such template file", why: "with what was meant", text: service("", "  credentials: credentials/cnss.yaml\n"),
			want: []string{`10:16: plans[0].credentials: there is no file credentials/cnss.yaml under templates/ (did you mean "credentials/cns.yaml"?)`}},
		{name: "template file outside", why: "the catalog reaches only templates/", text: service("", "  credentials: ../../etc/passwd.yaml\n"),
			want: []string{`plans[0].credentials: the template file ../../etc/passwd.yaml cannot be read: a template file is named by its path under templates/`}},
		{name: "default that breaks its schema", why: "every provision would fail",
			text: service("schemas: {provision: {properties: {size: {type: integer, default: big}}}}\n", ""),
			want: []string{`6:67: schemas.provision/properties/size/default: the default breaks its own schema: must be an integer, found a string`}},
		{name: "schema that is none", why: "at its line",
			text: service("schemas:\n  provision:\n    properties:\n      size: {type: nonsense}\n", ""), want: []string{`catalog/a.yaml:9:20: `, "not a valid JSON Schema"}},
		{name: "broken schema and broken templates", why: "all problems come in one run, also those behind a schema that cannot be used",
			text: service("schemas: {provision: {properties: {a: {type: nonsense}}}}\n", "  provision: {a: '{{ nofunc 1 }}', b: '{{ .parameters.a', c: '{{ .instnce.id }}'}\n"), want: []string{
				"not a valid JSON Schema", "plans[0].provision.a:", "plans[0].provision.b:", "plans[0].provision.c:"}},
		{name: "external reference", why: "OSB forbids it; nothing is fetched", covers: "CAT-27",
			text: service("schemas: {bind: {properties: {a: {$ref: 'https://example.com/x.json'}}}}\n", ""), want: []string{`6:41: schemas.bind/properties/a/$ref: a reference must stay in its document`}},
		{name: "reference to nothing", why: "", covers: "CAT-27",
			text: service("schemas: {bind: {properties: {a: {$ref: '#/definitions/x'}}}}\n", ""), want: []string{`schemas.bind`, `the reference #/definitions/x leads nowhere`}},
		{name: "keyword of a later draft", why: "it would not be checked", covers: "CAT-26",
			text: service("schemas: {bind: {properties: {a: {const: 1}}}}\n", ""), want: []string{`schemas.bind/properties/a/const: a schema without $schema is of draft 4, which does not know const (write "$schema: http://json-schema.org/draft-06/schema#")`}},
		{name: "misspelled keyword", why: "JSON Schema ignores it silently",
			text: service("schemas: {bind: {properties: {a: {maxLenght: 1}}}}\n", ""), want: []string{`unknown JSON Schema keyword "maxLenght" (did you mean "maxLength"?`}},
		{name: "unknown draft", why: "", covers: "CAT-26", text: service("schemas: {bind: {$schema: 'http://example.com/x'}}\n", ""), want: []string{`6:27: schemas.bind.$schema: unknown JSON Schema draft http://example.com/x`}},
		{name: "schema that is too large", why: "OSB allows 64 kB", covers: "CAT-28",
			text: service("schemas: {bind: {description: '"+strings.Repeat("x", 65536)+"'}}\n", ""), want: []string{"schemas.bind: the schema has 65", "OSB allows 65536"}},
		{name: "schema for no object", why: "parameters are an object", text: service("schemas: {bind: {type: string}}\n", ""), want: []string{"schemas.bind.type: parameters are always an object"}},
		{name: "example that breaks the schema", why: "examples are documentation: they must work",
			text: service("schemas: {provision: {properties: {size: {type: integer}}}}\nexamples:\n- {name: a, provision: {size: big, sise: 1}}\n", ""), want: []string{
				`8:31: examples[0].provision/size: the example breaks the schema of plan only: must be an integer, found a string`,
				`examples[0].provision/sise: the example breaks the schema of plan only: is not known; did you mean "size"?`}},
		{name: "example of no plan", why: "", text: service("examples: [{name: a, plan: onyl}]\n", ""), want: []string{`examples[0].plan: the service has no plan "onyl" (did you mean "only"?)`}},
		{name: "example that cannot be rendered", why: "the template fails for it",
			text: service("examples: [{name: a}]\n", "  provision: {a: '{{ required \"give a name\" .context.nickname }}'}\n"), want: []string{`examples[0]: the example cannot be rendered with plan only: provision:`}},
		{name: "YAML syntax", why: "with the line", text: "id: x\n  name: y: z\n", want: []string{"catalog/a.yaml:2:1: not valid YAML:"}},
		{name: "unquoted template", why: "YAML reads braces as a mapping", text: service("", "  provision: {a: {{ .parameters.x }}}\n"), want: []string{"catalog/a.yaml:10"}},
		{name: "two documents", why: "one service per file", text: service("", "") + "---\nid: x\n", want: []string{"a second YAML document begins here"}},
		{name: "empty file", why: "an editor's first save", text: "", want: []string{"catalog/a.yaml:1:1: the file is empty"}},
		{name: "not a mapping", why: "", text: "- a\n", want: []string{"expected a mapping, found a list"}},
		{name: "key that is no string", why: "JSON has only strings", text: service("metadata: {1: x}\n", ""), want: []string{"6:12: a key must be a string (put quotes around the key if it is meant as text)"}},
		{name: "tags of YAML", why: "they are not data", text: service("metadata: {a: !!binary aGk=, b: !mine x}\n", ""), want: []string{"the YAML tag !!binary is not used here", "the YAML tag !mine is not used here"}},
		{name: "numbers that JSON lacks", why: "", text: service("metadata: {a: .inf, b: 99999999999999999999}\n", ""), want: []string{".inf is not a number that JSON has"}},
		{name: "alias in itself", why: "it would never end", text: service("metadata: &a {b: *a}\n", ""), want: []string{"the alias *a is inside of what it stands for"}},
		{name: "alias bomb", why: "nine lines that mean a billion values", text: service("metadata:\n"+bomb(), ""), want: []string{"the document is too large: at most 100000 values"}},
		{name: "deep nesting", why: "the stack is finite", text: service("metadata: {a: "+strings.Repeat("[", 100)+strings.Repeat("]", 100)+"}\n", ""), want: []string{"the document is too large"}},
		{name: "too many bytes", why: "nobody writes that by hand", text: strings.Repeat("#", 1<<20+1), want: []string{"the file has 1048577 bytes; at most 1048576 are read"}},
	}
	for _, tt := range tests {
		t.Run(strings.TrimSpace(tt.covers+" "+tt.name), func(t *testing.T) {
			parsed, problems := parse(map[string]string{"catalog/a.yaml": tt.text, "templates/credentials/cns.yaml": "a: b\n"}, catalog.Options{})
			if parsed != nil {
				t.Errorf("accepted (%s)", tt.why)
			}
			got := texts(problems)
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no problem says\n  %s\nin\n%s\n(%s)", want, got, tt.why)
				}
			}
		})
	}
}

// One mistake is one problem: what follows from it is not told as well.
func TestNoConsequences(t *testing.T) {
	bindable := strings.Replace(service("", ""), "bindable: false", "bindable: true", 1)
	tests := []struct{ name, why, text, want string }{
		{"missing template file", "the plan has credentials; only their file is missing", bindable + "  credentials: credentials/cnss.yaml\n", "there is no file"},
		{"credentials of a wrong type", "they are there", bindable + "  credentials: [a]\n", "expected a mapping or the name of a file"},
		{"parameter of a broken schema", "nobody can tell whether it is declared",
			service("schemas: {provision: {type: object, properties: 3}}\n", "  provision: {a: '{{ .parameters.size }}'}\n"), "not a valid JSON Schema"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := parse(map[string]string{"catalog/a.yaml": tt.text}, catalog.Options{})
			if len(problems) != 1 || !strings.Contains(problems[0].Message, tt.want) {
				t.Errorf("want one problem that says %q (%s), got\n%s", tt.want, tt.why, texts(problems))
			}
		})
	}
}

// bomb is the "billion laughs" in YAML, as the content of metadata.
func bomb() string {
	text := "  a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 9; i++ {
		last := "*a" + string(rune('0'+i-1))
		text += "  a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [" + strings.Repeat(last+",", 8) + last + "]\n"
	}
	return text
}

// Problems of several files and places come in one run, each once, in order.
func TestAllProblemsAtOnce(t *testing.T) {
	_, problems := parse(map[string]string{
		"catalog/b.yaml": service("colour: red\n", ""),
		"catalog/a.yaml": service("timeouts: {bind: x}\ntag: []\n", "- {id: z, name: two, description: Two.}\n"),
	}, catalog.Options{})
	want := []string{
		`catalog/a.yaml:6:18: timeouts.bind: expected a duration, found "x" (write a number and a unit, such as 90s, 30m or 2h)`,
		`catalog/a.yaml:7:1: tag: unknown key "tag" (did you mean "tags"?)`,
		`catalog/b.yaml:1:5: id: the id "5e5a8c5c-0000-4000-8000-000000000001" is used already at catalog/a.yaml:1`,
		`catalog/b.yaml:2:7: name: the service name "small" is used already at catalog/a.yaml:2`,
	}
	got := strings.Split(texts(problems), "\n")
	for i, w := range want {
		if i >= len(got) || got[i] != w {
			t.Errorf("problem %d:\n got %s\nwant %s", i, strings.Join(got, "\n     "), w)
			break
		}
	}
	if n := strings.Count(texts(problems), "expected a duration"); n != 1 {
		t.Errorf("the service's default was reported %d times, for every plan", n)
	}
}

// everything is a service that says all that OSB 2.17 has a word for.
const everything = `
id: svc-1
name: all.Things
description: Everything.
tags: [a, b]
requires: [syslog_drain, route_forwarding, volume_mount]
metadata: {displayName: All, imageUrl: "https://x/i.png", longDescription: L, providerDisplayName: P, documentationUrl: "https://x", supportUrl: "https://y", shareable: true, vendor: {depth: [1, 2.5, null]}}
backend: demo
bindable: false
instancesRetrievable: false
bindingsRetrievable: false
allowContextUpdates: true
planUpdateable: true
dashboardClient: {id: c, secret: "${env:S}", redirectURI: "https://z"}
timeouts: {provision: 5s, update: 6s, deprovision: 90s, bind: 7s, unbind: 8s}
async: {provision: required, bind: never}
plans:
- id: plan-1
  name: One
  description: First.
  free: false
  bindable: true
  planUpdateable: false
  bindingRotatable: true
  requiresApp: true
  isolated: false
  metadata: {bullets: [x], costs: [{amount: {usd: 9.5}, unit: MONTHLY}], displayName: D}
  maintenanceInfo: {version: 1.2.3-rc.1+b, description: M}
  schemas:
    provision: {properties: {size: {type: integer}}}
    update: {$schema: "http://json-schema.org/draft-07/schema#", properties: {size: {const: 1}}}
    bind: {}
  provision: {a: 1}
  update: {b: "{{ .instance.outputs.x }}"}
  deprovision: {c: x}
  bind: {d: x}
  unbind: {e: x}
  credentials: {f: "{{ .binding.outputs.y }}"}
  dashboardURL: "https://d/{{ .instance.id }}"
  metadataLabels: {l: "{{ .plan.name }}"}
  metadataAttributes: {at: 1}
  endpoints: [{host: h, ports: ["1"], protocol: tcp}]
  volumeMounts: [{driver: nfs}]
  syslogDrainURL: syslog://x
  routeServiceURL: https://r
  expiresAt: "2030-01-01T00:00:00.0Z"
  renewBefore: "2029-01-01T00:00:00.0Z"
- {id: plan-2, name: Two, description: Second.}
`

// Everything of OSB's service and plan objects arrives (CAT-03 to CAT-25).
func TestEverything(t *testing.T) {
	options := catalog.Options{Secret: func(ref string) (string, error) { return "resolved " + ref, nil }}
	svc := mustParse(t, map[string]string{"catalog/a.yaml": everything}, options).Services[0]
	one, two := svc.Plans[0], svc.Plans[1]
	want := core.Service{ID: "svc-1", Name: "all.Things", Description: "Everything.", Tags: []string{"a", "b"},
		Requires:            []string{"syslog_drain", "route_forwarding", "volume_mount"},
		AllowContextUpdates: true, PlanUpdateable: true, Backend: "demo",
		Metadata: map[string]any{"displayName": "All", "imageUrl": "https://x/i.png", "longDescription": "L", "providerDisplayName": "P",
			"documentationUrl": "https://x", "supportUrl": "https://y", "shareable": true, "vendor": map[string]any{"depth": []any{int64(1), 2.5, nil}}},
		DashboardClient: &core.DashboardClient{ID: "c", Secret: "resolved ${env:S}", RedirectURI: "https://z"}}
	got := *svc
	got.Plans = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
	for _, key := range []string{"provision", "update", "deprovision", "bind", "unbind", "credentials", "dashboardURL", "metadataLabels",
		"metadataAttributes", "endpoints", "volumeMounts", "syslogDrainURL", "routeServiceURL", "expiresAt", "renewBefore"} {
		if catalog.TemplateOf(one, key) == nil {
			t.Errorf("plan One has no template %s", key)
		}
		if catalog.TemplateOf(two, key) != nil {
			t.Errorf("plan Two has a template %s", key)
		}
	}
	if diff := cmp.Diff(map[core.Verb]time.Duration{core.VerbProvision: 5 * time.Second, core.VerbUpdate: 6 * time.Second,
		core.VerbDeprovision: 90 * time.Second, core.VerbBind: 7 * time.Second, core.VerbUnbind: 8 * time.Second}, one.Timeouts); diff != "" {
		t.Errorf("timeouts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[core.Verb]core.AsyncMode{core.VerbProvision: core.AsyncRequired, core.VerbUpdate: core.AsyncAuto,
		core.VerbDeprovision: core.AsyncAuto, core.VerbBind: core.AsyncNever, core.VerbUnbind: core.AsyncAuto}, one.Async); diff != "" {
		t.Errorf("async (-want +got):\n%s", diff)
	}
	type flags struct {
		Free, Bindable, BindableSet, Updateable, UpdateableSet, Rotatable, App bool
		Polling                                                                time.Duration
		Maintenance                                                            *core.MaintenanceInfo
	}
	of := func(p *core.Plan) flags {
		return flags{p.Free, p.Bindable, p.BindableSet, p.PlanUpdateable, p.UpdateableSet, p.BindingRotatable, p.RequiresApp, p.MaximumPollingDuration, p.MaintenanceInfo}
	}
	// CAT-23: the longest timeout and a minute of grace.
	wantOne := flags{Bindable: true, BindableSet: true, UpdateableSet: true, Rotatable: true, App: true, Polling: 150 * time.Second,
		Maintenance: &core.MaintenanceInfo{Version: "1.2.3-rc.1+b", Description: "M"}}
	if diff := cmp.Diff([]flags{wantOne, {Free: true, Updateable: true, Polling: 150 * time.Second}}, []flags{of(one), of(two)}); diff != "" {
		t.Errorf("plans (-want +got):\n%s", diff)
	}
	if two.SchemaProvision.JSON() != nil || one.SchemaBind.JSON() == nil {
		t.Error("a schema that is not written is published, or an empty one is not")
	}
}

// What a service does not say has the defaults that the reference promises.
func TestDefaults(t *testing.T) {
	text := strings.Replace(service("credentials: {a: b}\n", ""), "bindable: false\n", "", 1)
	svc := mustParse(t, map[string]string{"catalog/a.yaml": text}, catalog.Options{}).Services[0]
	if !svc.Bindable || !svc.InstancesRetrievable || !svc.BindingsRetrievable || svc.AllowContextUpdates || svc.PlanUpdateable {
		t.Errorf("service: %+v", svc)
	}
	p := svc.Plans[0]
	if !p.Free || !p.Bindable || p.BindableSet || p.BindingRotatable || p.RequiresApp {
		t.Errorf("plan: %+v", p)
	}
	if diff := cmp.Diff(core.DefaultTimeouts, p.Timeouts); diff != "" {
		t.Error(diff)
	}
}

// Settings of the service are defaults of the plans: mappings are merged at every
// depth, scalars, lists and files replace, null takes away.
func TestMerge(t *testing.T) {
	text := strings.Replace(minimal, "bindable: false\n", "", 1) + `
provision: {keep: 1, over: 2, gone: 3, deep: {a: 1, b: [1, 2]}}
credentials: credentials/base.yaml
dashboardURL: https://default
timeouts: {provision: 5s, bind: 6s}
schemas: {provision: {properties: {a: {type: string}}}}
plans:
- {id: p1, name: inherits, description: D.}
- id: p2
  name: merges
  description: D.
  provision: {over: 20, gone: null, deep: {b: [3], c: 4}, own: 5}
  credentials: {extra: x}
  dashboardURL: null
  timeouts: {bind: 60s}
  schemas: {provision: {properties: {b: {type: integer}}}}
- {id: p3, name: replaces, description: D., credentials: credentials/other.yaml}
`
	files := map[string]string{"catalog/a.yaml": text, "templates/credentials/base.yaml": "uri: u\nname: n\n", "templates/credentials/other.yaml": "else: e\n"}
	plans := mustParse(t, files, catalog.Options{}).Services[0].Plans
	render := func(p *core.Plan, key string) any {
		tpl := catalog.TemplateOf(p, key)
		if tpl == nil {
			return "none"
		}
		v, err := tpl.Render(core.TemplateData{Instance: core.InstanceData{ID: "i"}, Binding: &core.BindingData{ID: "b"}, Context: map[string]any{}})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	tests := []struct {
		plan int
		key  string
		want any
	}{
		{0, "provision", map[string]any{"keep": int64(1), "over": int64(2), "gone": int64(3), "deep": map[string]any{"a": int64(1), "b": []any{int64(1), int64(2)}}}},
		{0, "credentials", map[string]any{"uri": "u", "name": "n"}},
		{0, "dashboardURL", "https://default"},
		{1, "provision", map[string]any{"keep": int64(1), "over": int64(20), "deep": map[string]any{"a": int64(1), "b": []any{int64(3)}, "c": int64(4)}, "own": int64(5)}},
		{1, "credentials", map[string]any{"uri": "u", "name": "n", "extra": "x"}},
		{1, "dashboardURL", "none"},
		{2, "credentials", map[string]any{"else": "e"}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, render(plans[tt.plan], tt.key)); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", plans[tt.plan].Name, tt.key, diff)
		}
	}
	if got := plans[1].Timeouts; got[core.VerbProvision] != 5*time.Second || got[core.VerbBind] != time.Minute {
		t.Errorf("timeouts: %v", got)
	}
	if v := plans[1].SchemaProvision.Validate(map[string]any{"a": "x", "b": int64(1)}); v != nil {
		t.Errorf("the merged schema refuses %v", v)
	}
	if v := plans[0].SchemaProvision.Validate(map[string]any{"b": int64(1)}); len(v) != 1 {
		t.Errorf("one plan's schema leaks into another: %v", v)
	}
}

// Merge keys and aliases work; what the mapping says itself wins.
func TestAliases(t *testing.T) {
	svc := mustParse(t, map[string]string{"catalog/a.yaml": service("metadata: {base: &b {x: 1, y: 2}, two: {<<: *b, y: 3}, list: {<<: [*b, {z: 4}]}, same: *b}\n", "")}, catalog.Options{}).Services[0]
	want := map[string]any{"base": map[string]any{"x": int64(1), "y": int64(2)}, "two": map[string]any{"x": int64(1), "y": int64(3)},
		"list": map[string]any{"x": int64(1), "y": int64(2), "z": int64(4)}, "same": map[string]any{"x": int64(1), "y": int64(2)}}
	if diff := cmp.Diff(want, svc.Metadata); diff != "" {
		t.Error(diff)
	}
}

// What the plugin declares is held against what the plans write.
func TestPluginDescription(t *testing.T) {
	d := core.Description{
		ProvisionInputs: json.RawMessage(`{"type":"object","required":["bucket"],"properties":{"bucket":{"type":"string"},"quota":{"type":"integer"},"onDelete":{"enum":["refuse","purge"]},"opts":{"type":"object","additionalProperties":false,"properties":{"fast":{"type":"boolean"}}}}}`),
		BindInputs:      json.RawMessage(`{"type":"object","properties":{"access":{"type":"string"}}}`),
		InstanceOutputs: json.RawMessage(`{"type":"object","properties":{"host":{"type":"string"}}}`),
		BindingOutputs:  json.RawMessage(`{"type":"object","properties":{"uri":{"type":"string","writeOnly":true}}}`),
	}
	bindable := func(plan string) string {
		return strings.Replace(service("", plan), "bindable: false\n", "", 1)
	}
	tests := []struct {
		name, why, text string
		want            string // "" means accepted
	}{
		{"fits", "", bindable("  provision: {bucket: b, quota: 5, onDelete: purge, opts: {fast: true}}\n  bind: {access: x}\n  credentials: {u: '{{ .binding.outputs.uri }}', h: '{{ .instance.outputs.host }}'}\n"), ""},
		{"unknown input", "the plugin would refuse it at every provision", bindable("  provision: {bukket: b, bucket: b}\n  credentials: {}\n"),
			`9:15: plans[0].provision.bukket: the plugin has no input "bukket" (did you mean "bucket"?)`},
		{"nested unknown input", "", bindable("  provision: {bucket: b, opts: {fats: '{{ .instance.id }}'}}\n  credentials: {}\n"), `plans[0].provision.opts.fats: the plugin has no input "fats" (did you mean "fast"?)`},
		{"literal of the wrong type", "", bindable("  provision: {bucket: b, quota: much}\n  credentials: {}\n"), "plans[0].provision.quota: the plugin's input must be an integer, found a string"},
		{"literal that is no word", "", bindable("  provision: {bucket: b, onDelete: prge}\n  credentials: {}\n"), `plans[0].provision.onDelete: the plugin's input must be one of "refuse", "purge"`},
		{"template of the wrong type", "", bindable("  provision: {bucket: b, quota: 'x{{ .instance.id }}'}\n  credentials: {}\n"), "plans[0].provision.quota:"},
		{"required input missing", "", bindable("  provision: {quota: 1}\n  credentials: {}\n"), `9:14: plans[0].provision: the plugin requires the input "bucket"`},
		{"no provision at all", "", bindable("  credentials: {}\n"), `plans[0].provision: the plugin requires the input "bucket"`},
		{"undeclared output", "found at load, not at the first bind", bindable("  provision: {bucket: b}\n  credentials: {u: '{{ .binding.outputs.url }}'}\n"), `10:20: plans[0].credentials.u: {{ .binding.outputs.url }}: no output of the binding is called "url" (did you mean "uri"?)`},
		{"outputs in provision", "there are none yet", bindable("  provision: {bucket: '{{ .instance.outputs.host }}'}\n  credentials: {}\n"), "plans[0].provision.bucket:"},
		{"outputs in the others", "", bindable("  provision: {bucket: b}\n  update: {bucket: '{{ .instance.outputs.host }}'}\n  deprovision: {bucket: '{{ .instance.outputs.host }}'}\n  bind: {access: '{{ .instance.outputs.host }}'}\n  unbind: {access: '{{ .binding.outputs.uri }}'}\n  credentials: {}\n"), ""},
		{"binding's outputs in bind", "there are none yet", bindable("  provision: {bucket: b}\n  bind: {access: '{{ .binding.outputs.uri }}'}\n  credentials: {}\n"), "plans[0].bind.access:"},
		{"private credentials on a shared account", "a promise that the backend breaks", bindable("  isolated: true\n  provision: {bucket: b}\n  credentials: {}\n"), "9:13: plans[0].isolated: the plan promises credentials of its own"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parsed, problems := parse(map[string]string{"catalog/a.yaml": tt.text}, catalog.Options{Describe: func(string) (core.Description, bool) { return d, true }})
			if tt.want == "" && (parsed == nil || len(problems) > 0) {
				t.Errorf("refused: %s", texts(problems))
			}
			if tt.want != "" && (parsed != nil || !strings.Contains(texts(problems), tt.want)) {
				t.Errorf("no problem says\n  %s\nin\n%s\n(%s)", tt.want, texts(problems), tt.why)
			}
		})
	}
}

// keys that no Secret can have are pointed out, and do not refuse the catalog.
func TestSecretKeys(t *testing.T) {
	parsed, problems := parse(map[string]string{"catalog/a.yaml": service("", "  credentials: {'user name': x}\n")}, catalog.Options{})
	if parsed == nil || len(problems) != 1 || !problems[0].Warning || !strings.Contains(texts(problems), "user name") {
		t.Errorf("problems %s", texts(problems))
	}
}

// A service whose plugin was never heard of is left out, and the others are not touched.
func TestHeldBack(t *testing.T) {
	files := map[string]string{"catalog/a.yaml": service("", ""),
		"catalog/b.yaml": "id: s2\nname: other\ndescription: D.\nbackend: demoo\nbindable: false\nplans: [{id: p2, name: x, description: D.}]\n"}
	options := catalog.Options{Describe: func(b string) (core.Description, bool) { return core.Description{}, b == "demo" },
		KnownBackend: func(b string) bool { return b == "demo" }}
	parsed, problems := parse(files, options)
	want := `catalog/b.yaml:4:10: warning: backend: the backend "demoo" is neither configured nor installed; the service is left out until it is (did you mean "demo"?)`
	if got := texts(problems); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if parsed == nil || len(parsed.Services) != 1 || cmp.Diff([]string{"other"}, parsed.Held) != "" {
		t.Fatalf("parsed %+v", parsed)
	}
	options.Listed = func(id string) (string, bool) { return "demoo", id == "s2" }
	parsed, problems = parse(files, options)
	if parsed == nil || len(parsed.Services) != 2 || !strings.Contains(texts(problems), "stays listed") {
		t.Errorf("a service that was listed before is gone: %s", texts(problems))
	}
	options.Listed = func(id string) (string, bool) { return "demo", id == "s2" }
	if parsed, problems = parse(files, options); parsed != nil || !strings.Contains(texts(problems), `the service is listed with the backend "demo" (did you mean "demo"?)`) {
		t.Errorf("a typo in the backend of a listed service takes it away: %s", texts(problems))
	}
}

// The revision follows what can be seen: not comments, layout or the names of files.
func TestRevision(t *testing.T) {
	base := service("tags: [a]\n", "  provision: {a: 1, b: '{{ .instance.id }}'}\n")
	of := func(text string) string {
		return mustParse(t, map[string]string{"catalog/a.yaml": text}, catalog.Options{}).Revision
	}
	first := of(base)
	for _, same := range []string{"# a comment\n" + base, strings.Replace(base, "tags: [a]", "tags:\n- a", 1), base + "examples: [{name: x}]\n"} {
		if of(same) != first {
			t.Errorf("another revision for\n%s", same)
		}
	}
	for _, other := range []string{strings.Replace(base, "[a]", "[b]", 1), strings.Replace(base, "a: 1", "a: 2", 1),
		strings.Replace(base, ".instance.id", ".instance.shortID", 1), base + "dashboardClient: {id: a, secret: b}\n"} {
		if of(other) == first {
			t.Errorf("the same revision for\n%s", other)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(everything)
	f.Add(service("schemas: {provision: {properties: {a: {$ref: '#'}}, allOf: [{$ref: '#'}]}}\nexamples: [{name: a, provision: {a: {}}}]\n", ""))
	f.Add(strings.Replace(diffBase, "uri: x", "uri: '{{ .binding.id | upper }}'", 1))
	f.Fuzz(func(t *testing.T, text string) {
		parsed, problems := parse(map[string]string{"catalog/a.yaml": text, "templates/credentials/cns.yaml": text}, catalog.Options{Templates: template.New()})
		if (parsed == nil) != catalog.Refused(problems) {
			t.Errorf("parsed %v with problems %s", parsed != nil, texts(problems))
		}
		if parsed == nil {
			return
		}
		for _, s := range parsed.Services {
			for _, p := range s.Plans {
				if again, err := catalog.Compile(template.New(), p.Definition); err != nil || again.Definition.Digest != p.Definition.Digest {
					t.Errorf("the definition does not compile again: %v", err)
				}
			}
		}
	})
}
