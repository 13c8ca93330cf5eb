package catalog

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/Masterminds/semver/v3"

	"github.com/chandler-broker/chandler/core"
)

// namePattern is what command lines can take: CAT-04 with decision C-5.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9.-]*[A-Za-z0-9][A-Za-z0-9.-]*$`)

// requirements are the words of OSB's "requires", with the place that needs each.
var requirements = []struct{ word, place string }{
	{"syslog_drain", "syslogDrainURL"},
	{"route_forwarding", "routeServiceURL"},
	{"volume_mount", "volumeMounts"},
}

// need reports a key that is missing or empty.
func need(ps *problems, n core.Node, path, key, value string) {
	at, there := fieldOf(n, key)
	if there && !isNull(at) {
		if _, isText := at.Value.(string); isText && strings.TrimSpace(value) == "" {
			ps.at(at, join(path, key), "", "must not be empty")
		}
		return
	}
	ps.at(at, join(path, key), "", "%q is required", key)
}

func checkName(ps *problems, n core.Node, path, value string) {
	need(ps, n, path, "name", value)
	if at, there := fieldOf(n, "name"); there && value != "" && !namePattern.MatchString(value) {
		ps.at(at, join(path, "name"), "for example my-service", "a name has only letters, digits, dots and dashes, and at least one letter or digit")
	}
}

func checkID(ps *problems, n core.Node, path, value string) {
	need(ps, n, path, "id", value)
	if at, there := fieldOf(n, "id"); there && (strings.IndexFunc(value, unicode.IsControl) >= 0 || !utf8.ValidString(value)) {
		ps.at(at, join(path, "id"), "", "an id must not hold control characters")
	}
}

// checkService reports what is wrong with the service itself.
func checkService(ps *problems, s *serviceDocument) {
	checkID(ps, s.node, "", s.id)
	checkName(ps, s.node, "", s.name)
	need(ps, s.node, "", "description", s.description)
	need(ps, s.node, "", "backend", s.backend)
	if at, there := fieldOf(s.node, "plans"); !there || at.Kind == core.NodeList && len(at.Items) == 0 || isNull(at) {
		ps.at(at, "plans", "", "a service needs at least one plan")
	}
	words := make([]string, len(requirements))
	for i, r := range requirements {
		words[i] = r.word
	}
	at, _ := fieldOf(s.node, "requires")
	for i, r := range s.requires {
		if !slices.Contains(words, r) {
			ps.at(at.Items[i], index("requires", i), didYouMean(r, words), "OSB knows only %s", strings.Join(words, ", "))
		}
	}
	if c := s.dashboardClient; c != nil {
		at, _ := fieldOf(s.node, "dashboardClient")
		need(ps, at, "dashboardClient", "id", c.id)
		need(ps, at, "dashboardClient", "secret", c.secret)
	}
}

// checkPlan reports what is wrong with a plan, its service's settings merged in.
func checkPlan(ps *problems, s *serviceDocument, p *planDocument, path string) {
	checkID(ps, p.node, path, p.id)
	checkName(ps, p.node, path, p.name)
	need(ps, p.node, path, "description", p.description)
	if m := p.settings.maintenanceInfo; m != nil {
		at, _ := fieldOf(p.node, "maintenanceInfo")
		need(ps, at, p.where(path, "maintenanceInfo"), "version", m.Version)
		if v, there := fieldOf(at, "version"); there && m.Version != "" {
			if _, err := semver.StrictNewVersion(m.Version); err != nil {
				ps.at(v, p.where(path, "maintenanceInfo.version"), "for example 1.0.0", "must be a semantic version 2.0")
			}
		}
	}
	checkBindable(ps, s, p, path)
	for _, r := range requirements {
		if n, has := p.settings.templates[r.place]; has && !slices.Contains(s.requires, r.word) {
			ps.at(n, p.where(path, r.place), "write requires: ["+r.word+"] at the service", "platforms ignore it unless the service requires %s", r.word)
		}
	}
	if n, has := p.settings.templates["renewBefore"]; has {
		if _, expires := p.settings.templates["expiresAt"]; !expires {
			ps.at(n, p.where(path, "renewBefore"), "", "has no meaning without expiresAt")
		}
	}
}

// checkBindable holds what a plan says about binding against each other.
func checkBindable(ps *problems, s *serviceDocument, p *planDocument, path string) {
	t := p.settings.templates
	if !p.isBindable(s) {
		if p.settings.bindingRotatable != nil && *p.settings.bindingRotatable {
			at, _ := fieldOf(p.node, "bindingRotatable")
			ps.at(at, p.where(path, "bindingRotatable"), "", "a plan that is not bindable cannot rotate bindings")
		}
		return
	}
	at, said := fieldOf(p.node, "credentials") // what is wrong with it was reported
	if has := said && !isNull(at); !has && t["syslogDrainURL"].Kind == "" && t["routeServiceURL"].Kind == "" && t["volumeMounts"].Kind == "" {
		ps.at(p.node, join(path, "credentials"), "or say bindable: false",
			"a bindable plan needs credentials, syslogDrainURL, routeServiceURL or volumeMounts: what the application gets")
	}
	if p.settings.async[core.VerbBind] == core.AsyncRequired && s.bindingsRetrievable != nil && !*s.bindingsRetrievable {
		at, _ := fieldOf(p.node, "async")
		at, _ = fieldOf(at, "bind")
		ps.at(at, p.where(path, "async.bind"), "say bindingsRetrievable: true at the service",
			"a bind that must be asynchronous needs retrievable bindings: platforms could never fetch the credentials")
	}
}

// isBindable is the plan's own word, or the service's; a service is bindable unless it says otherwise.
func (p *planDocument) isBindable(s *serviceDocument) bool {
	if p.bindable != nil {
		return *p.bindable
	}
	return s.bindable == nil || *s.bindable
}

// checkUnique reports ids and names that are used twice, over all services.
func checkUnique(ps *problems, services []*loaded) {
	type found struct {
		file string
		line int
	}
	ids, names := map[string]found{}, map[string]found{}
	once := func(seen map[string]found, n core.Node, path, key, value, what string) {
		at, there := fieldOf(n, key)
		if !there || value == "" {
			return
		}
		if first, twice := seen[value]; twice {
			ps.at(at, join(path, key), "", "the %s %q is used already at %s:%d", what, value, first.file, first.line)
			return
		}
		seen[value] = found{at.File, at.Line}
	}
	for _, l := range services {
		once(ids, l.doc.node, "", "id", l.doc.id, "id")
		once(names, l.doc.node, "", "name", l.doc.name, "service name")
		planNames := map[string]found{}
		for i, p := range l.plans {
			path := index("plans", i)
			once(ids, p.doc.node, path, "id", p.doc.id, "id")
			once(planNames, p.doc.node, path, "name", p.doc.name, "plan name")
		}
	}
}
