package catalog

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// offeringsPrefix begins the names of the files that plugins bring: "offerings/backend/name.yaml".
const offeringsPrefix = "offerings/"

// SetOfferings replaces the files that plugins bring, by "backend/name.yaml".
func (s *Sources) SetOfferings(offerings map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[string][]byte{}
	}
	maps.DeleteFunc(s.files, func(name string, _ []byte) bool { return strings.HasPrefix(name, offeringsPrefix) })
	s.services = slices.DeleteFunc(s.services, func(name string) bool { return strings.HasPrefix(name, offeringsPrefix) })
	for name, data := range offerings {
		s.files[offeringsPrefix+name] = data
		s.services = append(s.services, offeringsPrefix+name)
	}
	slices.Sort(s.services) // "catalog/" comes first
}

// empty tells whether there are no service files, plugins' offerings left aside.
func (s *Sources) empty() bool {
	return !slices.ContainsFunc(s.services, func(name string) bool { return !strings.HasPrefix(name, offeringsPrefix) })
}

// offeredBy gives the backend whose plugin brings a file; "" for files of the directory.
func offeredBy(name string) string {
	rest, ok := strings.CutPrefix(name, offeringsPrefix)
	if !ok {
		return ""
	}
	backend, _, _ := strings.Cut(rest, "/")
	return backend
}

// ownBackend gives an offering's mapping the backend that brings it. It may name it, but no other.
func ownBackend(ps *problems, root core.Node) core.Node {
	backend := offeredBy(root.File)
	if backend == "" || root.Kind != core.NodeMapping {
		return root
	}
	at, named := fieldOf(root, "backend")
	if !named {
		value := core.Node{File: root.File, Line: root.Line, Column: root.Column, Kind: core.NodeScalar, Value: backend}
		root.Fields = append(slices.Clone(root.Fields), core.Field{Key: "backend", Line: root.Line, Column: root.Column, Value: value})
		return root
	}
	if name, _ := at.Value.(string); name != backend {
		ps.at(at, "backend", "leave it out", "the service is brought by the plugin of the backend %q and cannot be another one's", backend)
	}
	return root
}

// checkOffering refuses what reaches into the broker's files or environment: a plugin is not its operator.
func checkOffering(ps *problems, l *loaded) {
	c := l.doc.dashboardClient
	if !l.offered() || c == nil || !strings.Contains(c.secret, "${") {
		return
	}
	at, _ := fieldOf(l.doc.node, "dashboardClient")
	at, _ = fieldOf(at, "secret")
	ps.at(at, "dashboardClient.secret", "", "a service that a plugin brings cannot refer to variables and files of the broker")
}

func (l *loaded) offered() bool { return offeredBy(l.doc.node.File) != "" }

// ranked orders services by their right to an id or a name: files of the directory, then
// offerings that are listed already, then those that are new.
func (p *parser) ranked(services []*loaded) []*loaded {
	rank := func(l *loaded) int {
		if !l.offered() {
			return 0
		}
		if p.options.Listed != nil {
			if backend, listed := p.options.Listed(l.doc.id); listed && backend == l.doc.backend {
				return 1
			}
		}
		return 2
	}
	out := slices.Clone(services)
	slices.SortStableFunc(out, func(a, b *loaded) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// override leaves out offerings whose id or name another service has already.
func (p *parser) override(ps *problems, services []*loaded) []*loaded {
	ids, names := map[string]*loaded{}, map[string]*loaded{}
	out := map[*loaded]bool{}
	for _, l := range p.ranked(services) {
		key, first := "id", ids[l.doc.id]
		if l.doc.id == "" { // is a problem of its own
			first = nil
		}
		if first == nil && l.doc.name != "" {
			key, first = "name", names[l.doc.name]
		}
		if first == nil || !l.offered() { // two files of the directory are checkUnique's
			ids[l.doc.id], names[l.doc.name] = l, l
			continue
		}
		at, _ := fieldOf(l.doc.node, key)
		ps.warn(at, key, "", "the service is left out: %s has its %s already", first.doc.node.File, key)
		out[l] = true
	}
	return slices.DeleteFunc(services, func(l *loaded) bool { return out[l] })
}

// ofOffering gives an offering's problems its name where they have no place.
func ofOffering(l *loaded, list []core.Problem) []core.Problem {
	for i := range list {
		if list[i].File == "" && l.offered() {
			list[i].File = l.doc.node.File
		}
	}
	return list
}

// leaveOut takes broken offerings out of the services and makes their problems
// warnings: one plugin must not refuse the catalog of all.
func (p *parser) leaveOut(ps *problems, services []*loaded) (usable []*loaded, leftOut []string) {
	broken := map[string]bool{}
	for i, problem := range ps.list {
		name := problem.File
		if problem.Warning || offeredBy(name) == "" || p.options.strict != nil && p.options.strict(name) {
			continue
		}
		broken[name], ps.list[i].Warning = true, true
	}
	leftOut = slices.Sorted(maps.Keys(broken))
	for _, name := range leftOut {
		ps.add(core.Problem{File: name, Warning: true, Message: "what the plugin of the backend " + offeredBy(name) + " brings here cannot be used and is left out"})
	}
	return slices.DeleteFunc(services, func(l *loaded) bool { return broken[l.doc.node.File] }), leftOut
}
