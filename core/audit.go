package core

import (
	"log/slog"
)

// outcomeWords are the results in audit records.
var outcomeWords = map[Outcome]string{Created: "created", Unchanged: "unchanged", Done: "done", Accepted: "accepted"}

// auditRequest records who asked for what, and what they were told.
func (b *Broker) auditRequest(r *request, outcome Outcome, err error) {
	attrs := append(b.auditSubject(r.verb, r.instanceID, r.bindingID, r.operation), slog.String("event", "request"),
		slog.String("service_id", r.serviceID), slog.String("plan_id", r.planID))
	attrs = append(attrs, auditCaller(r.Caller)...)
	if err != nil {
		attrs = append(attrs, slog.String("result", string(CodeOf(err))))
	} else {
		attrs = append(attrs, slog.String("result", outcomeWords[outcome]))
	}
	b.cfg.Audit.LogAttrs(b.ctx, slog.LevelInfo, "audit", attrs...)
}

// auditFinish records how an operation ended, under the name of who asked for it.
func (b *Broker) auditFinish(op *Operation) {
	attrs := append(b.auditSubject(op.Verb, op.InstanceID, op.BindingID, op.ID), slog.String("event", "finished"))
	attrs = append(attrs, auditCaller(Caller{User: op.User, Identity: op.Identity, RequestID: op.RequestID})...)
	if op.Error == nil {
		attrs = append(attrs, slog.String("result", string(op.State)))
	} else {
		attrs = append(attrs, slog.String("result", string(op.Error.Code)))
		b.cfg.Log.Warn("operation failed", "operation_id", op.ID, "instance_id", op.InstanceID, "binding_id", op.BindingID,
			"verb", op.Verb, "backend", op.Backend, "error", op.Error)
	}
	b.cfg.Audit.LogAttrs(b.ctx, slog.LevelInfo, "audit", attrs...)
}

// auditOperator records an operator's verb.
func (b *Broker) auditOperator(by Caller, verb, instanceID, operation string, err error) {
	attrs := []slog.Attr{slog.String("event", "operator"), slog.String("verb", verb),
		slog.String("instance_id", instanceID), slog.String("operation_id", operation)}
	attrs = append(attrs, auditCaller(by)...)
	result := "done"
	if err != nil {
		result = string(CodeOf(err))
	}
	b.cfg.Audit.LogAttrs(b.ctx, slog.LevelInfo, "audit", append(attrs, slog.String("result", result))...)
}

func (b *Broker) auditSubject(verb Verb, instanceID, bindingID, operation string) []slog.Attr {
	attrs := []slog.Attr{slog.String("verb", string(verb)), slog.String("instance_id", instanceID)}
	if bindingID != "" {
		attrs = append(attrs, slog.String("binding_id", bindingID))
	}
	if operation != "" {
		attrs = append(attrs, slog.String("operation_id", operation))
	}
	return attrs
}

func auditCaller(c Caller) []slog.Attr {
	attrs := []slog.Attr{slog.String("user", c.User), slog.String("request_id", c.RequestID)}
	if len(c.Identity) > 0 {
		attrs = append(attrs, slog.String("identity", string(c.Identity)))
	}
	return attrs
}
