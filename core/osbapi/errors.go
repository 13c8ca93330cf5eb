package osbapi

import (
	"net/http"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// meaning is what a core.ErrorCode is in HTTP: a status and OSB's error word.
type meaning struct {
	status int
	word   string
}

// meanings is the one translation of the domain's errors to HTTP.
var meanings = map[core.ErrorCode]meaning{
	core.CodeInvalid:         {http.StatusBadRequest, "BadRequest"},
	core.CodeConflict:        {http.StatusConflict, "Conflict"},
	core.CodeNotFound:        {http.StatusNotFound, "NotFound"},
	core.CodeGone:            {http.StatusGone, "Gone"},
	core.CodeAsyncRequired:   {http.StatusUnprocessableEntity, "AsyncRequired"},
	core.CodeConcurrency:     {http.StatusUnprocessableEntity, "ConcurrencyError"},
	core.CodeRequiresApp:     {http.StatusUnprocessableEntity, "RequiresApp"},
	core.CodeMaintenanceInfo: {http.StatusUnprocessableEntity, "MaintenanceInfoConflict"},
	core.CodeUnprocessable:   {http.StatusUnprocessableEntity, "Unprocessable"},
	core.CodeOverloaded:      {http.StatusTooManyRequests, "Overloaded"},
	core.CodeUnavailable:     {http.StatusInternalServerError, "Unavailable"},
	core.CodeCancelled:       {http.StatusInternalServerError, "Cancelled"},
	core.CodeDeadline:        {http.StatusInternalServerError, "DeadlineExceeded"},
	core.CodeFailed:          {http.StatusInternalServerError, "Failed"},
	core.CodeStillRunning:    {http.StatusInternalServerError, "StillRunning"},
}

// exactDescriptions are those by which the most used client library recognises
// three of the errors at all; what we have to say besides goes into a field
// of its own.
var exactDescriptions = map[core.ErrorCode]string{
	core.CodeAsyncRequired: "This service plan requires client support for asynchronous service operations.",
	core.CodeConcurrency:   "The Service Broker does not support concurrent requests that mutate the same resource.",
	core.CodeRequiresApp:   "This service supports generation of credentials through binding an application only.",
}

// fieldMessage carries what the broker says besides an exact description. Vendor
// fields have the project's name as their prefix (EXT-02).
const fieldMessage = "chandler_message"

// overloadedAfter is the Retry-After of a refusal that names none.
const overloadedAfter = 5 * time.Second

// translate gives the meaning of err as an answer to verb ("" for a read).
func translate(err *core.Error, verb core.Verb) meaning {
	m, known := meanings[err.Code]
	if !known {
		return meanings[core.CodeFailed]
	}
	// A name that is taken at the backend is not an id that is taken (409), and
	// what a backend does not find is not the instance of the URL (404).
	if err.Backend && (err.Code == core.CodeConflict || err.Code == core.CodeNotFound) {
		if verb == core.VerbProvision || verb == core.VerbBind {
			m.status = http.StatusBadRequest
		} else {
			m.status = http.StatusUnprocessableEntity
		}
	}
	return m
}

// sendError answers err in OSB's form and keeps it for the log.
func (e *exchange) sendError(err *core.Error, verb core.Verb, v version) {
	e.err = err
	if err.ID == "" {
		err = err.WithID(e.requestID)
	} else if e.operation == "" && err.ID != e.requestID {
		e.operation = err.ID
	}
	m := translate(err, verb)
	answer := reply{status: m.status, retryAfter: err.RetryAfter, body: v.speak(objError, errorBody(err, m, verb))}
	if err.Code == core.CodeOverloaded && answer.retryAfter <= 0 {
		answer.retryAfter = overloadedAfter
	}
	e.send(answer)
}

// errorBody is OSB's error object; instance_usable and update_repeatable only
// where the specification defines them.
func errorBody(err *core.Error, m meaning, verb core.Verb) doc {
	d := doc{"error": m.word, "description": err.UserMessage()}
	if exact, ok := exactDescriptions[err.Code]; ok {
		d["description"] = exact
		d[fieldMessage] = err.UserMessage()
	}
	if verb == core.VerbUpdate || verb == core.VerbDeprovision {
		d.put("instance_usable", err.InstanceUsable)
	}
	if verb == core.VerbUpdate {
		d.put("update_repeatable", err.UpdateRepeatable)
	}
	return d
}
