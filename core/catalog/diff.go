package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// Change is one difference between two catalogs.
type Change struct {
	Service   string `json:"service"` // name
	ServiceID string `json:"service_id"`
	Plan      string `json:"plan,omitempty"` // name; "" if the change is of the service
	PlanID    string `json:"plan_id,omitempty"`
	// Kind is added, removed (nothing uses it), retired (instances use it: kept, but
	// hidden), changed, or renumbered (the same name has a new id).
	Kind string `json:"kind"`
	// Text says what is different, in one line.
	Text string `json:"text"`
	// Fields are the paths that differ, for changed only: plans' as in the YAML.
	Fields []string `json:"fields,omitempty"`
	// Instances is how many instances have the plan, or any plan of the service.
	Instances int `json:"instances"`
	// Breaking is true where a platform or an instance can lose something: `catalog
	// diff` then exits with a status of its own.
	Breaking bool `json:"breaking"`
}

// Diff lists what changes from old to new, services and plans in the order of
// their names. uses tells how many instances there are.
func Diff(old, new *core.Snapshot, uses []core.PlanUse) []Change {
	d := differ{old: old, new: new, byPlan: map[string]int{}, byService: map[string]int{}}
	for _, u := range uses {
		d.byPlan[u.ServiceID+"\x00"+u.PlanID] += u.Instances
		d.byService[u.ServiceID] += u.Instances
	}
	was, is := byID(old.Services, serviceID), byID(new.Services, serviceID)
	for _, id := range union2(was, is) {
		d.service(was[id], is[id])
	}
	slices.SortStableFunc(d.out, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Plan, b.Plan), cmp.Compare(a.Kind, b.Kind))
	})
	return d.out
}

// Breaking tells whether one of the changes is.
func Breaking(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool { return c.Breaking })
}

// Diff says what a reload would change now, without changing anything. With an
// error among the problems it would change nothing.
func (c *Catalog) Diff(ctx context.Context) ([]Change, []core.Problem, error) {
	src, problems := c.read(ctx)
	return c.DiffSources(ctx, src, problems)
}

// DiffSources is Diff for files from elsewhere, with the offerings as they are; problems are those of reading them.
func (c *Catalog) DiffSources(ctx context.Context, src *Sources, problems []core.Problem) ([]Change, []core.Problem, error) {
	c.addOfferings(src)
	parsed, more := Parse(src, c.options(true))
	problems = append(problems, more...)
	if Refused(problems) {
		return nil, problems, nil
	}
	uses, err := c.inUse(ctx)
	if err != nil {
		return nil, problems, err
	}
	return Diff(c.Snapshot(), parsed.Snapshot(c.cfg.Now(), nil), uses), problems, nil
}

type differ struct {
	old, new          *core.Snapshot
	byPlan, byService map[string]int
	out               []Change
}

func serviceID(s *core.Service) string { return s.ID }
func planID(p *core.Plan) string       { return p.ID }

func byID[T any](list []T, id func(T) string) map[string]T {
	m := make(map[string]T, len(list))
	for _, e := range list {
		m[id(e)] = e
	}
	return m
}

func union2[T any](a, b map[string]T) []string {
	ids := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (d *differ) add(s *core.Service, p *core.Plan, kind string, breaking bool, fields []string, format string, args ...any) {
	c := Change{Service: s.Name, ServiceID: s.ID, Kind: kind, Text: fmt.Sprintf(format, args...), Fields: fields,
		Breaking: breaking, Instances: d.byService[s.ID]}
	if p != nil {
		c.Plan, c.PlanID, c.Instances = p.Name, p.ID, d.byPlan[s.ID+"\x00"+p.ID]
	}
	d.out = append(d.out, c)
}

func (d *differ) service(was, is *core.Service) {
	switch {
	case was == nil:
		if same := find(d.old.Services, func(s *core.Service) bool { return s.Name == is.Name }); same != nil {
			d.add(same, nil, "renumbered", true, []string{"id"}, "the id changed from %s to %s: to platforms it is another service, and its instances are lost to them", same.ID, is.ID)
		} else {
			d.add(is, nil, "added", false, nil, "new service with %s", counted(len(is.Plans), "plan"))
		}
		for _, p := range is.Plans {
			d.add(is, p, "added", false, nil, "new plan")
		}
	case is == nil:
		d.gone(was, nil)
		for _, p := range was.Plans {
			d.gone(was, p)
		}
	default:
		d.changedService(was, is)
		before, after := byID(was.Plans, planID), byID(is.Plans, planID)
		for _, id := range union2(before, after) {
			d.plan(was, is, before[id], after[id])
		}
	}
}

// gone is a service or plan that the new catalog lacks.
func (d *differ) gone(s *core.Service, p *core.Plan) {
	n := d.byService[s.ID]
	if p != nil {
		n = d.byPlan[s.ID+"\x00"+p.ID]
	}
	if n > 0 {
		keep := " keep it"
		if n == 1 {
			keep = " keeps it"
		}
		d.add(s, p, "retired", true, nil, "hidden from the marketplace; %s and can still bind, unbind, update and be deleted", counted(n, "instance")+keep)
	} else {
		d.add(s, p, "removed", true, nil, "no longer in the marketplace; nothing uses it")
	}
}

func (d *differ) plan(was, is *core.Service, before, after *core.Plan) {
	switch {
	case before == nil:
		same := find(was.Plans, func(p *core.Plan) bool { return p.Name == after.Name })
		if same != nil {
			d.add(is, same, "renumbered", true, []string{"id"}, "the id changed from %s to %s: to platforms it is another plan, and its instances are lost to them", same.ID, after.ID)
			return
		}
		d.add(is, after, "added", false, nil, "new plan")
	case after == nil:
		d.gone(was, before)
	default:
		fields := differences("", d.planView(before), d.planView(after))
		if len(fields) > 0 {
			d.add(is, after, "changed", breaksPlan(before, after), fields, "%s", d.changeText(fields))
		}
	}
}

// counted gives a number with its noun, in the plural where it takes one.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func find[T any](list []*T, match func(*T) bool) *T {
	if i := slices.IndexFunc(list, match); i >= 0 {
		return list[i]
	}
	return nil
}

func (d *differ) changedService(was, is *core.Service) {
	fields := differences("", serviceView(was), serviceView(is))
	if len(fields) == 0 {
		return
	}
	breaking := was.Backend != is.Backend || was.Bindable && !is.Bindable || was.Name != is.Name ||
		was.InstancesRetrievable && !is.InstancesRetrievable || was.BindingsRetrievable && !is.BindingsRetrievable ||
		was.PlanUpdateable && !is.PlanUpdateable || was.AllowContextUpdates && !is.AllowContextUpdates
	text := d.changeText(fields)
	if was.Backend != is.Backend {
		text += fmt.Sprintf("; the backend changes from %s to %s, existing instances stay with the old one", was.Backend, is.Backend)
	}
	d.add(is, nil, "changed", breaking, fields, "%s", text)
}

func (d *differ) changeText(fields []string) string {
	const most = 6
	if len(fields) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(fields[:most], ", "), len(fields)-most)
	}
	return strings.Join(fields, ", ")
}

// serviceView is what of a service, without its plans, can be seen.
func serviceView(s *core.Service) any {
	copied := *s
	copied.Plans = nil
	return jsonView(copied)
}

// planView is the plan of the definition, positions left out.
func (d *differ) planView(p *core.Plan) any {
	var def definition
	if json.Unmarshal(p.Definition.Blob, &def) != nil {
		return p.Definition.Digest
	}
	templates := map[string]any{}
	for key, raw := range def.Templates {
		var n core.Node
		if json.Unmarshal(raw, &n) == nil {
			templates[key] = nodeValue(n)
		}
	}
	view, _ := jsonView(def.Plan).(map[string]any)
	maps.Copy(view, templates)
	return view
}

func jsonView(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	out, err := core.JSONValue(raw)
	if err != nil {
		return err.Error()
	}
	return out
}

// differences lists the paths at which two JSON-like values differ, sorted.
func differences(path string, a, b any) []string {
	ma, okA := a.(map[string]any)
	mb, okB := b.(map[string]any)
	if !okA || !okB {
		ra, _ := core.CanonicalJSON(a)
		rb, _ := core.CanonicalJSON(b)
		if string(ra) == string(rb) {
			return nil
		}
		return []string{path}
	}
	var out []string
	for _, key := range union2(ma, mb) {
		va, hasA := ma[key]
		vb, hasB := mb[key]
		if hasA != hasB {
			out = append(out, join(path, key))
			continue
		}
		out = append(out, differences(join(path, key), va, vb)...)
	}
	return out
}
