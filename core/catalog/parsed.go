package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// Parsed is a catalog that was read, checked and compiled.
type Parsed struct {
	// Services in the order of their file names, those that are held back left out.
	Services []*core.Service
	// Held names services that are left out because their plugin is not known yet.
	Held []string
	// LeftOut names offerings ("offerings/backend/name.yaml") that cannot be used, sorted.
	LeftOut []string
	// Examples by service id, in the order of the file.
	Examples map[string][]Example
	// Revision is the content's digest without retired plans: comments and layout do not count.
	Revision string

	sources *Sources
	loaded  []*loaded
	options Options
	plugins map[string]*pluginWord
}

// Example is one of a service's examples: parameters that work.
type Example struct {
	Name        string
	Description string
	Plan        string // name of the plan; "" means the first
	Provision   map[string]any
	Update      map[string]any // nil: the example has no update
	Bind        map[string]any // nil: the example does not bind
	Context     map[string]any // the OSB context to render with; nil: SampleContext

	node core.Node
	path string
}

// loaded is one service file on its way.
type loaded struct {
	doc   serviceDocument
	svc   *core.Service
	plans []loadedPlan
	hash  [sha256.Size]byte
	hold  bool
}

type loadedPlan struct {
	doc  planDocument
	plan *core.Plan
}

func (p *parser) result(services []*loaded) *Parsed {
	out := &Parsed{Examples: map[string][]Example{}, sources: p.src, loaded: services, options: p.options, plugins: p.plugins}
	h := sha256.New()
	for _, l := range services {
		if l.hold {
			out.Held = append(out.Held, l.doc.name)
			continue
		}
		out.Services = append(out.Services, l.svc)
		out.Examples[l.doc.id] = l.doc.examples
		h.Write(l.hash[:])
	}
	out.Revision = hex.EncodeToString(h.Sum(nil))
	return out
}

// Snapshot makes a snapshot of the parsed services and the retired plans.
func (p *Parsed) Snapshot(at time.Time, retired []*core.Plan) *core.Snapshot {
	revision := p.Revision
	if len(retired) > 0 {
		h := sha256.New()
		h.Write([]byte(p.Revision))
		for _, plan := range retired {
			h.Write([]byte(plan.Definition.Digest))
		}
		revision = hex.EncodeToString(h.Sum(nil))
	}
	return core.NewSnapshot(revision, at, p.Services, retired)
}
