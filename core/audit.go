package core

import (
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
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
	if who := auditIdentity(c.Identity); who != "" {
		attrs = append(attrs, slog.String("identity", who))
	}
	return attrs
}

// identityFields are what an audit record keeps of an originating identity: who it is. The
// rest of the header is the platform's own and may be anything.
var identityFields = []string{"platform", "user_id", "user_name", "username", "uid"}

func auditIdentity(identity json.RawMessage) string {
	if len(identity) == 0 {
		return ""
	}
	who := object(identity)
	maps.DeleteFunc(who, func(field string, value any) bool {
		_, text := value.(string)
		return !text || !slices.Contains(identityFields, field)
	})
	raw, err := CanonicalJSON(who)
	if err != nil || len(who) == 0 {
		return ""
	}
	return string(raw)
}
