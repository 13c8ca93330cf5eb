package catalog

import (
	"errors"
	"io/fs"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/chandler-broker/chandler/core"
)

// Options is what Parse needs beside the files. Templates is required.
type Options struct {
	Templates core.Templates
	// Describe gives what a backend's plugin said of itself. Nil, as for a lint
	// without plugins: names of inputs and outputs are not checked.
	Describe func(backend string) (core.Description, bool)
	// KnownBackend tells whether a backend is configured or exists by itself. Nil: all are.
	KnownBackend func(backend string) bool
	// Listed gives the backend with which a service is in the catalog already: then it stays listed although
	// its plugin was never described, and a change to a backend that nobody knows is a mistake. Nil: none is.
	Listed func(serviceID string) (backend string, ok bool)
	// Secret resolves "${env:NAME}" and "${file:/path}" in dashboardClient.secret. Nil: it stays as written.
	Secret func(reference string) (string, error)

	// strict tells of which offerings ("offerings/…") a problem refuses the catalog. Nil: of none.
	strict func(name string) bool
}

// Parse reads, checks and compiles all services of the sources. It reports every
// problem of all files at once; Parsed is nil exactly if one is not a warning. An
// offering with problems is left out, and they are warnings.
func Parse(src *Sources, options Options) (*Parsed, []core.Problem) {
	var ps problems
	p := &parser{src: src, options: options, cache: newCache(), plugins: map[string]*pluginWord{}, files: map[string]core.Node{}}
	services, found := p.decodeServices()
	ps.addAll(found)
	services = p.override(&ps, services)
	checkUnique(&ps, p.ranked(services))
	p.askBackends(&ps, services)

	each := make([]problems, len(services))
	parallel(len(services), func(i int) { p.compileService(&each[i], services[i]) })
	for i := range each {
		ps.addAll(ofOffering(services[i], each[i].list))
	}
	services, leftOut := p.leaveOut(&ps, services)
	for i := range ps.list {
		ps.list[i].File = src.Place(ps.list[i].File)
	}
	sortProblems(ps.list)
	if ps.refused() {
		return nil, ps.list
	}
	out := p.result(services)
	out.LeftOut = leftOut
	return out, ps.list
}

// parser is the state of one Parse.
type parser struct {
	src     *Sources
	options Options
	cache   *cache
	plugins map[string]*pluginWord // by backend

	files map[string]core.Node // template files, decoded; guarded by cache.mu
}

// parallel runs fn for 0..n-1 on all processors and waits.
func parallel(n int, fn func(i int)) {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error { fn(i); return nil })
	}
	_ = g.Wait()
}

// decodeServices reads all service files up to their plans.
func (p *parser) decodeServices() ([]*loaded, []core.Problem) {
	names := p.src.services
	services := make([]*loaded, len(names))
	each := make([]problems, len(names))
	parallel(len(names), func(i int) { services[i] = p.decodeService(&each[i], names[i]) })
	var ps problems
	for i := range each {
		ps.addAll(each[i].list)
	}
	return slices.DeleteFunc(services, func(l *loaded) bool { return l == nil }), ps.list
}

// decodeService is nil where the file is not a YAML mapping.
func (p *parser) decodeService(ps *problems, name string) *loaded {
	root, wrong := decodeYAML(name, p.src.file(name))
	if ps.addAll(wrong); len(wrong) > 0 {
		return nil
	}
	root = p.resolveFiles(ps, ownBackend(ps, root), "")
	l := &loaded{doc: serviceDocument{node: root}}
	d := &decoder{ps: ps}
	if !decodeFields(d, root, "", serviceFields, &l.doc) {
		return nil
	}
	checkService(ps, &l.doc)
	checkOffering(ps, l)
	l.plans = make([]loadedPlan, 0, len(l.doc.plans.Items))
	for i, n := range l.doc.plans.Items {
		path := index("plans", i)
		if n.Kind != core.NodeMapping {
			d.wrong(n, path, "a mapping")
			continue
		}
		lp := loadedPlan{doc: planDocument{node: mergePlan(root, p.resolveFiles(ps, n, path)), own: n}}
		decodeFields(d, lp.doc.node, path, planFields, &lp.doc)
		checkPlan(ps, &l.doc, &lp.doc, path)
		l.plans = append(l.plans, lp)
	}
	return l
}

// resolveFiles replaces file names at the places of templates by what the files hold.
func (p *parser) resolveFiles(ps *problems, n core.Node, path string) core.Node {
	if n.Kind != core.NodeMapping {
		return n
	}
	fields := slices.Clone(n.Fields)
	for i, f := range fields {
		pl, isPlace := placeOf(f.Key)
		file, isText := f.Value.Value.(string)
		if !isPlace || pl.kind == core.NodeScalar || !isText {
			continue
		}
		if offeredBy(f.Value.File) != "" {
			ps.at(f.Value, join(path, f.Key), "write what it holds here", "a service that a plugin brings cannot use files under templates/")
			continue
		}
		if content, ok := p.file(ps, f.Value, join(path, f.Key), file); ok {
			if content.Kind != pl.kind {
				ps.at(f.Value, join(path, f.Key), "", "the file %s holds %s, %s is needed", file, kindOf(content),
					map[core.NodeKind]string{core.NodeMapping: "a mapping", core.NodeList: "a list"}[pl.kind])
				continue
			}
			fields[i].Value = content
		}
	}
	n.Fields = fields
	return n
}

// file decodes a template file once.
func (p *parser) file(ps *problems, at core.Node, path, name string) (core.Node, bool) {
	p.cache.mu.Lock()
	n, ok := p.files[name]
	p.cache.mu.Unlock()
	if ok {
		return n, n.Kind != ""
	}
	data, err := p.src.template(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			ps.at(at, path, didYouMean(name, p.src.templateNames()), "there is no file %s under templates/", name)
		} else {
			ps.at(at, path, "", "the template file %s cannot be read: %s", name, cause(err))
		}
		return core.Node{}, false
	}
	n, wrong := decodeYAML("templates/"+name, data)
	if ps.addAll(wrong); len(wrong) > 0 {
		n = core.Node{}
	}
	p.cache.mu.Lock()
	defer p.cache.mu.Unlock()
	if first, ok := p.files[name]; ok {
		return first, first.Kind != "" // one node for all users of a file, so that they share what is compiled of it
	}
	p.files[name] = n
	return n, n.Kind != ""
}

// askBackends finds out what the plugins say, and holds back services whose plugin never said anything.
func (p *parser) askBackends(ps *problems, services []*loaded) {
	var known []string
	for _, l := range services {
		if p.options.KnownBackend != nil && p.options.KnownBackend(l.doc.backend) {
			known = append(known, l.doc.backend)
		}
	}
	for _, l := range services {
		backend := l.doc.backend
		if p.plugins[backend] == nil {
			p.plugins[backend] = &pluginWord{}
			if p.options.Describe != nil {
				if d, ok := p.options.Describe(backend); ok {
					p.plugins[backend] = compilePlugin(ps, backend, d)
				}
			}
		}
		if backend == "" || p.plugins[backend].known {
			continue
		}
		p.holdBack(ps, l, known)
	}
}

// holdBack decides what happens to a service whose plugin was never described.
func (p *parser) holdBack(ps *problems, l *loaded, known []string) {
	backend := l.doc.backend
	at, _ := fieldOf(l.doc.node, "backend")
	missing := p.options.KnownBackend != nil && !p.options.KnownBackend(backend)
	if !missing && p.options.Describe == nil {
		return // a lint without plugins
	}
	what := "was never described by its plugin"
	if missing {
		what = "is neither configured nor installed"
	}
	hint := didYouMean(backend, known)
	before, listed := "", false
	if p.options.Listed != nil {
		before, listed = p.options.Listed(l.doc.id)
	}
	switch {
	case listed && before == backend:
		ps.warn(at, "backend", hint, "the backend %q %s; the service stays listed, its operations wait", backend, what)
	case listed:
		ps.at(at, "backend", hint, "the backend %q %s; the service is listed with the backend %q", backend, what, before)
	default:
		l.hold = true
		ps.warn(at, "backend", hint, "the backend %q %s; the service is left out until it is", backend, what)
	}
}
