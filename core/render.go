package core

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// maxDocument is the longest JSON that goes to or comes from a plugin.
const maxDocument = 1 << 20

// renderer evaluates a plan's templates for one operation, inside its transaction.
type renderer struct {
	plan    *Plan
	data    TemplateData
	secrets *secretSource
}

// newRenderer gathers what templates can read. instParams and context are the
// instance's: those wanted by a provision or update, else the applied ones.
// bind is nil for instance verbs.
func (b *Broker) newRenderer(tx Tx, plan *Plan, inst *Instance, instParams map[string]any, context json.RawMessage,
	identity json.RawMessage, bind *Binding) *renderer {
	r := &renderer{plan: plan, secrets: &secretSource{tx: tx, clock: b.clock, instance: inst.ID}}
	r.data = TemplateData{
		Instance: InstanceData{ID: inst.ID, ShortID: ShortID(inst.ID), Parameters: effectiveInstance(plan, instParams),
			Outputs: object(inst.Applied.Outputs), Context: object(inst.Context)},
		Service: NameData{ID: plan.Service.ID, Name: plan.Service.Name},
		Plan:    NameData{ID: plan.ID, Name: plan.Name},
		Context: object(context),
		User:    object(identity),
		Secrets: r.secrets,
	}
	r.data.Parameters = r.data.Instance.Parameters
	if bind == nil {
		r.data.Instance.Context = r.data.Context
		return r
	}
	r.secrets.bindingID = bind.ID
	params := effective(plan.SchemaBind, object(bind.Parameters))
	r.data.Parameters = params
	r.data.Binding = &BindingData{ID: bind.ID, Parameters: params, Outputs: object(bind.Applied.Outputs)}
	return r
}

func effective(schema Schema, params map[string]any) map[string]any {
	if schema == nil {
		return maps.Clone(params)
	}
	return schema.Effective(params)
}

// effectiveInstance fills in what the provision and the update schema declare.
func effectiveInstance(plan *Plan, params map[string]any) map[string]any {
	return effective(plan.SchemaUpdate, effective(plan.SchemaProvision, params))
}

// mapping renders a template that yields a mapping, as canonical JSON; a plan
// without it gives {}.
func (r *renderer) mapping(t Template, place string) (json.RawMessage, error) {
	v, err := r.value(t, place)
	if err != nil {
		return nil, err
	}
	if v == nil {
		v = map[string]any{}
	}
	if _, ok := v.(map[string]any); !ok {
		return nil, misrendered(place, "a mapping")
	}
	return encoded(v, place)
}

// list renders a template that yields a list; nil if there is none.
func (r *renderer) list(t Template, place string) (json.RawMessage, error) {
	v, err := r.value(t, place)
	if err != nil || v == nil {
		return nil, err
	}
	if _, ok := v.([]any); !ok {
		return nil, misrendered(place, "a list")
	}
	return encoded(v, place)
}

// text renders a template that yields a string; "" if there is none.
func (r *renderer) text(t Template, place string) (string, error) {
	v, err := r.value(t, place)
	if err != nil || v == nil {
		return "", err
	}
	s, ok := v.(string)
	if !ok {
		return "", misrendered(place, "a string")
	}
	return s, nil
}

func (r *renderer) value(t Template, place string) (any, error) {
	if t == nil {
		return nil, nil
	}
	v, err := t.Render(r.data)
	switch {
	case r.secrets.failed != nil:
		return nil, storeError(r.secrets.failed)
	case err == nil:
		return v, nil
	}
	e := AsError(err)
	if e.Code == CodeInvalid {
		return nil, e
	}
	return nil, (&Error{Code: CodeFailed, Message: "The catalog's " + place + " template could not be rendered."}).
		WithHint("The operator finds the cause in the log under the id.").WithDetail("%s", e.Error())
}

func misrendered(place, want string) *Error {
	return (&Error{Code: CodeFailed, Message: "The catalog's " + place + " template could not be rendered."}).
		WithDetail("the %s template did not yield %s", place, want)
}

func encoded(v any, place string) (json.RawMessage, error) {
	raw, err := CanonicalJSON(v)
	if err != nil {
		return nil, misrendered(place, "JSON").WithCause(err)
	}
	if len(raw) > maxDocument {
		return nil, Errorf(CodeInvalid, "The request makes the %s inputs longer than 1 MiB.", place)
	}
	return raw, nil
}

// instanceWanted renders what a provision or an update is to bring about.
func (r *renderer) instanceWanted(inputs Template, place string, w *Wanted) (err error) {
	if w.Inputs, err = r.mapping(inputs, place); err != nil {
		return err
	}
	if w.DashboardURL, err = r.text(r.plan.DashboardURL, "dashboardURL"); err != nil {
		return err
	}
	if w.Labels, err = r.optional(r.plan.InstanceLabels, "metadataLabels"); err != nil {
		return err
	}
	if w.Attributes, err = r.optional(r.plan.InstanceAttributes, "metadataAttributes"); err != nil {
		return err
	}
	w.Secrets = r.masked(r.plan.SchemaProvision, r.plan.SchemaUpdate)
	return nil
}

// optional is mapping, with nil for a template that is not there or yields nothing.
func (r *renderer) optional(t Template, place string) (json.RawMessage, error) {
	raw, err := r.mapping(t, place)
	if err != nil || string(raw) == "{}" {
		return nil, err
	}
	return raw, nil
}

// masked lists what logs must not show: secret parameters and stable secrets.
func (r *renderer) masked(schemas ...Schema) []string {
	list := slices.Clone(r.secrets.used)
	for _, s := range schemas {
		if s != nil {
			list = append(list, s.Secrets(r.data.Parameters)...)
		}
	}
	return tidy(list)
}

// bindingResult renders what the application gets, once, when a bind is done.
func (r *renderer) bindingResult() (*BindingResult, error) {
	p, res := r.plan, &BindingResult{}
	var err error
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	var e error
	if p.Credentials != nil {
		res.Credentials, e = r.mapping(p.Credentials, "credentials")
		keep(e)
	}
	res.Endpoints, e = r.list(p.Endpoints, "endpoints")
	keep(e)
	if slices.Contains(p.Service.Requires, "volume_mount") {
		res.VolumeMounts, e = r.list(p.VolumeMounts, "volumeMounts")
		keep(e)
	}
	if slices.Contains(p.Service.Requires, "syslog_drain") {
		res.SyslogDrainURL, e = r.text(p.SyslogDrainURL, "syslogDrainURL")
		keep(e)
	}
	if slices.Contains(p.Service.Requires, "route_forwarding") {
		res.RouteServiceURL, e = r.text(p.RouteServiceURL, "routeServiceURL")
		keep(e)
	}
	res.ExpiresAt, e = r.timestamp(p.ExpiresAt, "expiresAt")
	keep(e)
	res.RenewBefore, e = r.timestamp(p.RenewBefore, "renewBefore")
	keep(e)
	if err == nil && res.ExpiresAt != "" && res.RenewBefore > res.ExpiresAt {
		err = misrendered("renewBefore", "a time before expiresAt")
	}
	if err != nil {
		return nil, err
	}
	return res, nil
}

// osbTime is the pattern of the specification: yyyy-mm-ddThh:mm:ss.sZ. Strings of
// it sort by time.
const osbTime = "2006-01-02T15:04:05.0Z"

func (r *renderer) timestamp(t Template, place string) (string, error) {
	s, err := r.text(t, place)
	if err != nil || s == "" {
		return "", err
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return "", misrendered(place, "a time such as 2006-01-02T15:04:05Z")
	}
	return at.UTC().Format(osbTime), nil
}
