package catalog

import (
	"fmt"
	"slices"

	"github.com/chandler-broker/chandler/core"
)

// Preview renders every template of a plan for an example, without a backend and
// with secrets masked: by place ("provision", "credentials", …). shape, if not "",
// is a file under templates/ that stands in for the plan's credentials.
// An empty example name means the first of the plan, or none if there is none.
func (p *Parsed) Preview(serviceName, planName, exampleName, shape string) (map[string]any, []core.Problem) {
	var ps problems
	fail := func(hint, format string, args ...any) (map[string]any, []core.Problem) {
		return nil, []core.Problem{{Message: fmt.Sprintf(format, args...), Hint: hint}}
	}
	i := slices.IndexFunc(p.loaded, func(l *loaded) bool { return l.doc.name == serviceName })
	if i < 0 {
		var names []string
		for _, l := range p.loaded {
			names = append(names, l.doc.name)
		}
		return fail(didYouMean(serviceName, names), "there is no service %q", serviceName)
	}
	l := p.loaded[i]
	j := slices.IndexFunc(l.plans, func(lp loadedPlan) bool { return lp.doc.name == planName || planName == "" })
	if j < 0 {
		return fail("", "service %s has no plan %q", serviceName, planName)
	}
	plan, w := l.plans[j].plan, p.plugins[l.doc.backend]
	example, ok := l.example(plan.Name, exampleName)
	if !ok {
		return fail("", "service %s has no example %q for plan %s", serviceName, exampleName, plan.Name)
	}
	var shaped []core.Template // instead of the plan's credentials
	if shape != "" {
		pl, _ := placeOf("credentials")
		if t := p.shape(&ps, shape, pl, plan, w); t != nil {
			shaped = append(shaped, t)
		}
	}
	data := sampleData(plan, w, example, shaped...)
	out := map[string]any{}
	for _, pl := range places {
		t := TemplateOf(plan, pl.key)
		if pl.key == "credentials" && shape != "" {
			if t = nil; len(shaped) > 0 {
				t = shaped[0]
			}
		}
		if t == nil || !plan.Bindable && (pl.verb == core.VerbBind || pl.verb == core.VerbUnbind) {
			continue
		}
		v, err := t.Render(dataAt(data, pl, plan, example))
		if err != nil {
			hint := ""
			if !w.known {
				hint = "the plugin was not asked which outputs it has; texts stand in for them"
			}
			ps.add(core.Problem{Path: pl.key, Message: err.Error(), Hint: hint})
			continue
		}
		out[pl.key] = v
	}
	for i := range ps.list {
		ps.list[i].File = p.sources.Place(ps.list[i].File)
	}
	return out, ps.list
}

// example finds an example of a plan; an empty one if none is asked for and there is none.
func (l *loaded) example(plan, name string) (Example, bool) {
	first := l.plans[0].doc.name
	for _, e := range l.doc.examples {
		of := e.Plan
		if of == "" {
			of = first
		}
		if of == plan && (name == "" || name == e.Name) {
			return e, true
		}
	}
	return Example{Bind: map[string]any{}}, name == ""
}

// shape compiles a file under templates/ as the credentials of a plan.
func (p *Parsed) shape(ps *problems, name string, pl place, plan *core.Plan, w *pluginWord) core.Template {
	reader := &parser{src: p.sources, options: p.options, cache: newCache(), files: map[string]core.Node{}}
	n, ok := reader.file(ps, core.Node{}, "credentials", name)
	if !ok {
		return nil
	}
	sc := scopes{plugin: w, schemas: map[string]*schema{}}
	for key, s := range map[string]core.Schema{"provision": plan.SchemaProvision, "update": plan.SchemaUpdate, "bind": plan.SchemaBind} {
		sc.schemas[key], _ = s.(*schema)
	}
	t, problems := p.options.Templates.Compile(n, sc.of(pl))
	ps.addAll(problems)
	return t
}
