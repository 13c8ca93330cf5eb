package osbapi

import (
	"encoding/json"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// operationRow is an operation as operators see it: without inputs, handles,
// seeds and parameters.
type operationRow struct {
	ID         string              `json:"id"`
	Verb       core.Verb           `json:"verb"`
	InstanceID string              `json:"instance_id"`
	BindingID  string              `json:"binding_id,omitempty"`
	State      core.OperationState `json:"state"`
	Phase      core.Phase          `json:"phase"`
	ServiceID  string              `json:"service_id,omitempty"`
	PlanID     string              `json:"plan_id,omitempty"` // the wanted one
	Backend    string              `json:"backend"`
	Definition string              `json:"definition"`

	Calls           int        `json:"calls"` // plugin calls started
	Failures        int        `json:"failures"`
	ProgressText    string     `json:"progress_text,omitempty"`
	ProgressPercent *int       `json:"progress_percent,omitempty"`
	NextAt          *time.Time `json:"next_at,omitempty"`
	Deadline        time.Time  `json:"deadline"`

	CancelledBy string      `json:"cancelled_by,omitempty"`
	Error       *core.Error `json:"error,omitempty"` // with the operator's detail
	Left        []string    `json:"left,omitempty"`  // what the plugin left at the backend on purpose

	User      string          `json:"user,omitempty"`
	Identity  json.RawMessage `json:"identity,omitempty"`
	RequestID string          `json:"request_id,omitempty"`
	Holder    string          `json:"holder,omitempty"`

	CreatedAt  time.Time  `json:"created_at"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
}

// stepRow is one line of a timeline.
type stepRow struct {
	Seq    int64         `json:"seq"`
	At     time.Time     `json:"at"`
	Kind   core.StepKind `json:"kind"`
	Text   string        `json:"text,omitempty"`
	Detail string        `json:"detail,omitempty"`
}

func newOperationRow(o *core.Operation) operationRow {
	row := operationRow{
		ID: o.ID, Verb: o.Verb, InstanceID: o.InstanceID, BindingID: o.BindingID, State: o.State, Phase: o.Phase,
		ServiceID: o.Wanted.ServiceID, PlanID: o.Wanted.PlanID, Backend: o.Backend, Definition: o.Definition,
		Calls: o.Calls, Failures: o.Failures, ProgressText: o.ProgressText, Deadline: o.Deadline,
		CancelledBy: o.CancelledBy, Error: o.Error, Left: o.Left,
		User: o.User, Identity: o.Identity, RequestID: o.RequestID, Holder: o.Holder,
		CreatedAt: o.CreatedAt, NextAt: orNil(o.NextAt), StartedAt: orNil(o.StartedAt), FinishedAt: orNil(o.FinishedAt),
	}
	if o.ProgressPercent >= 0 {
		row.ProgressPercent = &o.ProgressPercent
	}
	return row
}

// orNil makes nothing of a time that never was.
func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// adminOperations is GET /admin/v1/operations.
func (h *handler) adminOperations(c *call) (reply, error) {
	c.filters("instance_id", "binding_id", "verb", "state", "before", "limit")
	q := c.query.values
	filter := core.OperationFilter{
		InstanceID: q.Get("instance_id"), BindingID: q.Get("binding_id"),
		Verb: c.verbFilter(), States: c.states(), Before: q.Get("before"), Limit: c.limit(),
	}
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	list, err := h.cfg.Broker.Operations(c.r.Context(), filter)
	if err != nil {
		return reply{}, err
	}
	rows := make([]operationRow, 0, len(list))
	for _, o := range list {
		rows = append(rows, newOperationRow(o))
	}
	body := doc{"operations": rows}
	if len(rows) == filter.Limit {
		body["next"] = rows[len(rows)-1].ID
	}
	return ok(body), nil
}

// adminOperation is GET /admin/v1/operations/:operation_id, with the timeline.
func (h *handler) adminOperation(c *call) (reply, error) {
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	o, steps, err := h.cfg.Broker.Timeline(c.r.Context(), c.operation)
	if err != nil {
		return reply{}, err
	}
	rows := make([]stepRow, 0, len(steps))
	for _, s := range steps {
		rows = append(rows, stepRow{Seq: s.Seq, At: s.At, Kind: s.Kind, Text: s.Text, Detail: s.Detail})
	}
	return ok(doc{"operation": newOperationRow(o), "timeline": rows}), nil
}

// adminCancel is POST /admin/v1/operations/:operation_id/cancel.
func (h *handler) adminCancel(c *call) (reply, error) {
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	if err := h.cfg.Broker.Cancel(c.r.Context(), c.caller, c.operation); err != nil {
		return reply{}, err
	}
	return ok(doc{"operation": c.operation}), nil
}

// adminRetry is POST /admin/v1/operations/:operation_id/retry. The answer names the new operation.
func (h *handler) adminRetry(c *call) (reply, error) {
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	id, err := h.cfg.Broker.Retry(c.r.Context(), c.caller, c.operation)
	if err != nil {
		return reply{}, err
	}
	return ok(doc{"operation": id, "retries": c.operation}), nil
}

// adminAbandon is POST /admin/v1/operations/:operation_id/abandon.
func (h *handler) adminAbandon(c *call) (reply, error) {
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	if err := h.cfg.Broker.Abandon(c.r.Context(), c.caller, c.operation); err != nil {
		return reply{}, err
	}
	return ok(doc{"operation": c.operation}), nil
}
