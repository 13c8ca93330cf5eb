package catalog

import (
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/chandler-broker/chandler/core"
)

// plainName is what every platform and command line takes without thinking (decision C-5).
var plainName = regexp.MustCompile(`^[a-z0-9-]+$`)

// Conventional names in metadata (CAT-32); near misses are pointed out.
var (
	serviceMetadata = []string{"displayName", "imageUrl", "longDescription", "providerDisplayName", "documentationUrl", "supportUrl", "shareable"}
	planMetadata    = []string{"bullets", "costs", "displayName"}
	urlMetadata     = []string{"imageUrl", "documentationUrl", "supportUrl"}
)

// wellKnown are names that applications often get, with the entry of servicebinding.io that means the same.
var wellKnown = map[string]string{
	"hostname": "host", "user": "username", "login": "username", "url": "uri", "connectionstring": "uri",
	"pass": "password", "passwd": "password", "pwd": "password", "ca": "certificates", "cert": "certificates",
	"certificate": "certificates", "privatekey": "private-key", "key": "private-key",
}

// Lint gives warnings: what OSB allows, but platforms or people stumble over.
// Places are those of the files.
func (p *Parsed) Lint() []core.Problem {
	var ps problems
	for _, l := range p.loaded {
		lintService(&ps, &l.doc)
		for i := range l.plans {
			lintPlan(&ps, &l.plans[i].doc, index("plans", i))
		}
		lintExamples(&ps, l)
	}
	for i := range ps.list {
		ps.list[i].File = p.sources.Place(ps.list[i].File)
	}
	sortProblems(ps.list)
	return ps.list
}

func lintService(ps *problems, s *serviceDocument) {
	lintNames(ps, s.node, "")
	lintMetadata(ps, s.node, "", serviceMetadata, planMetadata)
	tags, _ := fieldOf(s.node, "tags")
	for i, tag := range s.tags {
		if slices.Contains(s.tags[:i], tag) {
			ps.warn(tags.Items[i], index("tags", i), "", "the tag %q is there twice", tag)
		}
	}
	if c := s.dashboardClient; c != nil {
		at, _ := fieldOf(s.node, "dashboardClient")
		at, _ = fieldOf(at, "secret")
		if !strings.HasPrefix(c.secret, "${") {
			ps.warn(at, "dashboardClient.secret", "write ${env:NAME} or ${file:/path}", "a secret in the catalog ends up in version control")
		}
	}
}

func lintPlan(ps *problems, p *planDocument, path string) {
	lintNames(ps, p.node, path)
	lintMetadata(ps, p.node, path, planMetadata, serviceMetadata)
	if credentials, has := p.settings.templates["credentials"]; has {
		lintCredentials(ps, credentials, p.where(path, "credentials"))
	}
	if m := p.settings.maintenanceInfo; m != nil && m.Description == "" {
		at, _ := fieldOf(p.node, "maintenanceInfo")
		ps.warn(at, p.where(path, "maintenanceInfo.description"), "", "users are not told what the maintenance does to their instances")
	}
	_, updates := p.settings.schemas["update"]
	if _, has := p.settings.templates["update"]; has && !updates && !orFalse(p.planUpdateable) {
		at, _ := fieldOf(p.node, "update")
		ps.warn(at, p.where(path, "update"), "add schemas.update or planUpdateable: true", "no update can reach this template: the plan takes no update parameters")
	}
}

// lintNames checks id, name and description of a service or plan.
func lintNames(ps *problems, n core.Node, path string) {
	for _, key := range []string{"id", "name", "description"} {
		at, there := fieldOf(n, key)
		value, ok := at.Value.(string)
		if !there || !ok {
			continue
		}
		where := join(path, key)
		switch {
		case key == "description":
			if len([]rune(value)) > 255 {
				ps.warn(at, where, "move the rest to metadata.longDescription", "more than 255 characters; platforms may cut it")
			}
		case len(value) > 63:
			ps.warn(at, where, "", "more than 63 characters; Kubernetes cannot show it")
		case key == "name" && !plainName.MatchString(value):
			ps.warn(at, where, "use a-z, 0-9 and dashes", "the name is awkward on command lines and refused by some platforms")
		case key == "id":
			if _, err := uuid.Parse(value); err != nil || len(value) != 36 {
				ps.warn(at, where, "for example "+uuid.NewSHA1(uuid.NameSpaceURL, []byte(value)).String()+"; never change one that was published",
					"an id should be a GUID, so that it is unique among all brokers of a platform")
			}
		}
	}
}

func lintMetadata(ps *problems, n core.Node, path string, conventional, others []string) {
	metadata, there := fieldOf(n, "metadata")
	if !there || metadata.Kind != core.NodeMapping {
		return
	}
	path = join(path, "metadata")
	for _, f := range metadata.Fields {
		at := core.Node{File: f.Value.File, Line: f.Line, Column: f.Column}
		_, isText := f.Value.Value.(string)
		switch {
		case slices.Contains(urlMetadata, f.Key) && !isText:
			ps.warn(f.Value, join(path, f.Key), "", "must be a string; some platforms crash otherwise")
		case f.Key == "costs":
			lintCosts(ps, f.Value, join(path, f.Key))
		case f.Key == "bullets" && f.Value.Kind != core.NodeList:
			ps.warn(f.Value, join(path, f.Key), "", "must be a list of strings")
		case slices.Contains(conventional, f.Key), slices.Contains(others, f.Key):
		default:
			if hint := didYouMean(f.Key, conventional); hint != "" {
				ps.warn(at, join(path, f.Key), hint, "not a conventional name; platforms do not show it")
			}
		}
	}
}

// lintCosts checks costs: a list of {amount: {currency: number}, unit}.
func lintCosts(ps *problems, n core.Node, path string) {
	bad := n.Kind != core.NodeList
	for _, cost := range n.Items {
		amount, hasAmount := fieldOf(cost, "amount")
		unit, hasUnit := fieldOf(cost, "unit")
		_, isText := unit.Value.(string)
		bad = bad || !hasAmount || !hasUnit || !isText || amount.Kind != core.NodeMapping
		for _, f := range amount.Fields {
			_, isFloat := f.Value.Value.(float64)
			bad = bad || f.Value.Int == nil && !isFloat
		}
	}
	if bad {
		ps.warn(n, path, "for example [{amount: {usd: 9.5}, unit: MONTHLY}]", "must be a list of amount (a number per currency) and unit")
	}
}

func lintCredentials(ps *problems, n core.Node, path string) {
	for _, f := range n.Fields {
		at := core.Node{File: f.Value.File, Line: f.Line, Column: f.Column}
		plain := strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(f.Key))
		known, miss := wellKnown[plain]
		if _, has := fieldOf(n, known); miss && f.Key != known && !has {
			ps.warn(at, join(path, f.Key), "name it "+known+", or give both", "applications that follow servicebinding.io look for %q", known)
		}
	}
}

// lintExamples points out plans and verbs that no example shows.
func lintExamples(ps *problems, l *loaded) {
	if len(l.doc.examples) == 0 {
		ps.warn(l.doc.node, "examples", "examples are documentation and the input of `chandler catalog test`", "the service has no examples")
	}
	for _, e := range l.doc.examples {
		if e.Update == nil || l.svc == nil {
			continue
		}
		if plan := e.planOf(l.svc); plan != nil && plan.SchemaUpdate.JSON() == nil && len(e.Update) > 0 {
			at, _ := fieldOf(e.node, "update")
			ps.warn(at, e.path+".update", "", "plan %s takes no update parameters", plan.Name)
		}
	}
}
