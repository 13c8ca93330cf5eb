package core

import "time"

// Verb is one of the five lifecycle calls; the same words in YAML, logs, metrics and the plugin contract.
type Verb string

// The verbs.
const (
	VerbProvision   Verb = "provision"
	VerbUpdate      Verb = "update"
	VerbDeprovision Verb = "deprovision"
	VerbBind        Verb = "bind"
	VerbUnbind      Verb = "unbind"
)

// VerbAdopt is the plugin call of a provision that makes something that exists at the
// backend the instance (Broker.Adopt), and the Attempt that it leaves. It is no verb
// of an operation: the operation is a provision with Wanted.Adopt.
const VerbAdopt Verb = "adopt"

// Verbs lists all verbs in the order in which documentation shows them.
var Verbs = []Verb{VerbProvision, VerbUpdate, VerbDeprovision, VerbBind, VerbUnbind}

// AsyncMode says how a plan answers a verb (catalog key `async`).
type AsyncMode string

// The modes. Auto answers 202 when the platform allows it and the work is not
// done within the fast-answer time; Required refuses a request without
// accepts_incomplete; Never always waits within the synchronous budget.
const (
	AsyncAuto     AsyncMode = "auto"
	AsyncRequired AsyncMode = "required"
	AsyncNever    AsyncMode = "never"
)

// DefaultTimeouts are the deadlines of operations whose plan sets none.
var DefaultTimeouts = map[Verb]time.Duration{
	VerbProvision:   time.Hour,
	VerbUpdate:      time.Hour,
	VerbDeprovision: 2 * time.Hour,
	VerbBind:        10 * time.Minute,
	VerbUnbind:      30 * time.Minute,
}
