package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// Mask is what stands for a secret wherever something is rendered without a backend.
const Mask = "********"

// SampleContext is the OSB context that examples are rendered with unless they
// bring their own: what Kubernetes and Cloud Foundry send, together.
func SampleContext() map[string]any {
	return map[string]any{
		"platform": "kubernetes", "namespace": "default", "clusterid": "sample-cluster", "instance_name": "sample",
		"organization_guid": "sample-organization", "organization_name": "sample-organization",
		"space_guid": "sample-space", "space_name": "sample-space",
		"organization_annotations": map[string]any{}, "space_annotations": map[string]any{},
		"namespace_annotations": map[string]any{}, "instance_annotations": map[string]any{},
	}
}

// maskedSecrets gives Mask for every stable secret: nothing is made by a render.
type maskedSecrets struct{}

func (maskedSecrets) InstanceSecret(string, int) (string, error) { return Mask, nil }
func (maskedSecrets) BindingSecret(string, int) (string, error)  { return Mask, nil }

// planOf finds the example's plan by name; the first without one.
func (e Example) planOf(svc *core.Service) *core.Plan {
	for _, p := range svc.Plans {
		if e.Plan == "" || e.Plan == p.Name {
			return p
		}
	}
	return nil
}

// sampleData is what templates of the plan read for an example. Outputs are made
// up from what the plugin declares.
func sampleData(plan *core.Plan, w *pluginWord, e Example, more ...core.Template) core.TemplateData {
	const instanceID, bindingID = "sample-instance", "sample-binding"
	params := plan.SchemaUpdate.Effective(plan.SchemaProvision.Effective(orEmpty(e.Provision)))
	context := e.Context
	if context == nil {
		context = SampleContext()
	}
	return core.TemplateData{
		Parameters: params,
		Instance: core.InstanceData{ID: instanceID, ShortID: core.ShortID(instanceID), Parameters: params,
			Outputs: w.sampleOutputs(plan, false, more), Context: context},
		Binding: &core.BindingData{ID: bindingID, Parameters: plan.SchemaBind.Effective(e.Bind), Outputs: w.sampleOutputs(plan, true, more)},
		Service: core.NameData{ID: plan.Service.ID, Name: plan.Service.Name},
		Plan:    core.NameData{ID: plan.ID, Name: plan.Name},
		Context: context, User: map[string]any{"platform": "kubernetes", "username": "sample-user", "user_id": "sample-user"},
		Secrets: maskedSecrets{},
	}
}

// dataAt is the data as the template at a place sees it: an update is made with the
// example's parameters for it, everything else with those of the provision.
func dataAt(data core.TemplateData, pl place, plan *core.Plan, e Example) core.TemplateData {
	if pl.verb == core.VerbUpdate {
		merged := maps.Clone(orEmpty(e.Provision))
		maps.Copy(merged, e.Update)
		maps.DeleteFunc(merged, func(_ string, v any) bool { return v == nil })
		data.Parameters = plan.SchemaUpdate.Effective(plan.SchemaProvision.Effective(merged))
		data.Instance.Parameters = data.Parameters
	}
	if pl.verb == core.VerbBind || pl.verb == core.VerbUnbind {
		data.Parameters = data.Binding.Parameters
	} else {
		data.Binding = nil
	}
	return data
}

// outputNames finds what a template's text reads of the outputs.
var outputNames = map[bool]*regexp.Regexp{
	false: regexp.MustCompile(`\.instance\.outputs\.(\w+)`),
	true:  regexp.MustCompile(`\.binding\.outputs\.(\w+)`),
}

// sampleOutputs makes up outputs: of the plugin's schema, or, if that is unknown,
// strings for the names that the plan's templates, and more of them, mention.
func (w *pluginWord) sampleOutputs(plan *core.Plan, binding bool, more []core.Template) map[string]any {
	out := map[string]any{}
	s := w.outputSchemas[binding]
	if s == nil {
		templates := slices.Clone(more)
		for _, pl := range places {
			templates = append(templates, TemplateOf(plan, pl.key))
		}
		for _, t := range templates {
			if t != nil && !w.known {
				source, _ := json.Marshal(t.Source())
				for _, m := range outputNames[binding].FindAllSubmatch(source, -1) {
					out[string(m[1])] = "sample-" + string(m[1])
				}
			}
		}
		return out
	}
	all := s.expand([]map[string]any{s.root}, true)
	for _, name := range propertyNames(all) {
		out[name] = s.sample(name, s.ofProperty(all, name), 0)
	}
	return out
}

// sample makes up a value: the schema's own words if it has some, else one of its type.
func (s *schema) sample(name string, list []map[string]any, depth int) any {
	all := s.expand(list, false)
	for _, sub := range all {
		if sub["writeOnly"] == true {
			return Mask
		}
		if examples, _ := sub["examples"].([]any); len(examples) > 0 {
			return core.CopyJSON(examples[0])
		}
		for _, key := range []string{"const", "default"} {
			if v, ok := sub[key]; ok {
				return core.CopyJSON(v)
			}
		}
		if enum, _ := sub["enum"].([]any); len(enum) > 0 {
			return core.CopyJSON(enum[0])
		}
	}
	switch s.typeOf(list) {
	case "integer", "number":
		return int64(1)
	case "boolean":
		return true
	case "array":
		return []any{}
	case "object":
		out := map[string]any{}
		for _, n := range propertyNames(all) {
			if depth < 4 {
				out[n] = s.sample(n, s.ofProperty(all, n), depth+1)
			}
		}
		return out
	}
	for _, sub := range all {
		if sub["format"] == "uri" {
			return "https://" + strings.ToLower(name) + ".example.com:8443/path"
		}
	}
	return "sample-" + name
}

// checkExamples holds the examples against the schemas and renders their templates.
func checkExamples(ps *problems, l *loaded, w *pluginWord) {
	seen := map[string]bool{}
	for _, e := range l.doc.examples {
		need(ps, e.node, e.path, "name", e.Name)
		if seen[e.Name] && e.Name != "" {
			at, _ := fieldOf(e.node, "name")
			ps.at(at, e.path+".name", "", "another example has the name %q", e.Name)
		}
		seen[e.Name] = true
		var names []string
		declared := false
		for _, p := range l.plans {
			names = append(names, p.doc.name)
			declared = declared || p.doc.name == e.Plan
		}
		if e.Plan != "" && !declared {
			at, _ := fieldOf(e.node, "plan")
			ps.at(at, e.path+".plan", didYouMean(e.Plan, names), "the service has no plan %q", e.Plan)
			continue
		}
		plan := e.planOf(l.svc)
		if plan == nil || Refused(ps.list) {
			continue // the plan could not be compiled
		}
		if e.check(ps, plan) {
			e.render(ps, plan, w)
		}
	}
}

// check holds the parameters against the plan's schemas.
func (e Example) check(ps *problems, plan *core.Plan) bool {
	good := true
	for _, part := range []struct {
		key    string
		params map[string]any
		schema core.Schema
	}{{"provision", e.Provision, plan.SchemaProvision}, {"update", e.Update, plan.SchemaUpdate}, {"bind", e.Bind, plan.SchemaBind}} {
		at, there := fieldOf(e.node, part.key)
		if !there && part.key != "provision" {
			continue
		}
		for _, v := range part.schema.Validate(part.params) {
			good = false
			ps.at(nodeAt(at, v.Pointer), e.path+"."+part.key+v.Pointer, "", "the example breaks the schema of plan %s: %s", plan.Name, v.Message)
		}
	}
	if e.Bind != nil && !plan.Bindable {
		at, _ := fieldOf(e.node, "bind")
		ps.at(at, e.path+".bind", "", "plan %s is not bindable", plan.Name)
		return false
	}
	return good
}

// render evaluates every template of the plan. What reads made-up outputs can fail
// because of them, so that is only a warning.
func (e Example) render(ps *problems, plan *core.Plan, w *pluginWord) {
	data := sampleData(plan, w, e)
	for _, pl := range places {
		t := TemplateOf(plan, pl.key)
		if t == nil || pl.key == "update" && e.Update == nil || pl.verb == core.VerbBind && e.Bind == nil || pl.key == "unbind" && e.Bind == nil {
			continue
		}
		if pl.outputs != noOutputs && (!w.known || w.anyOutputs) {
			continue // nothing is known to make outputs up of
		}
		_, err := t.Render(dataAt(data, pl, plan, e))
		if err == nil {
			continue
		}
		message := fmt.Sprintf("the example cannot be rendered with plan %s: %s: %v", plan.Name, pl.key, err)
		if pl.outputs != noOutputs {
			ps.warn(e.node, e.path, "outputs were made up of what the plugin declares", "%s", message)
		} else {
			ps.at(e.node, e.path, "", "%s", message)
		}
	}
}
