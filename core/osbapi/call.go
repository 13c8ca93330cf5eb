package osbapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/julienschmidt/httprouter"

	"github.com/chandler-broker/chandler/core"
)

// call is one request of the OSB API after authentication and version check.
// Problems of its form are collected, so that the user sees all of them at once.
type call struct {
	*exchange
	r       *http.Request
	version version
	verb    core.Verb // "" where nothing is changed
	caller  core.Caller
	query   query
	backend string // of an operator's path
	// platform is the first word of the originating identity; "" if none was sent.
	platform string
	problems []core.Violation

	room    *room // nil for operators, who are always let in
	release []func()
}

// osb is the way of an OSB request: authentication, version, then the form of
// path, query and headers (decision C-2). serve looks at the body.
func (h *handler) osb(route string, verb core.Verb, users []string, serve func(*call) (reply, error)) httprouter.Handle {
	return func(w http.ResponseWriter, r *http.Request, params httprouter.Params) {
		e := exchangeOf(w)
		e.route = route
		if !h.authenticate(e, r, users, RolePlatform) {
			return
		}
		v, ok := parseVersion(r.Header)
		if !ok {
			e.fail(http.StatusPreconditionFailed, "UnsupportedAPIVersion",
				"The header %s must name a version 2.x of the Open Service Broker API, as in %q; this broker speaks 2.0 to 2.%d.",
				headerVersion, fmt.Sprintf("2.%d", newestMinor), newestMinor)
			return
		}
		c := &call{exchange: e, r: r, version: v, verb: verb, room: h.room}
		c.readQuery()
		c.readIdentity()
		e.instanceID = c.pathID(params, "instance_id")
		e.bindingID = c.pathID(params, "binding_id")
		c.caller.User, c.caller.RequestID, c.caller.Started = e.user, e.requestID, e.started
		c.caller.Trace = traceparent(r.Header)

		answer, err := c.served(serve, r.Method == http.MethodPut || r.Method == http.MethodPatch || strings.HasSuffix(route, "/v2/catalog"))
		if err != nil {
			e.sendError(core.AsError(err), verb, v)
			return
		}
		e.send(answer)
	}
}

// served calls serve, in a place of its own unless that is taken later (with the body)
// or not at all (the catalog is only sent). What it took is free before the answer goes out.
func (c *call) served(serve func(*call) (reply, error), later bool) (reply, error) {
	defer func() {
		for _, free := range c.release {
			free()
		}
	}()
	if !later {
		if err := c.enter(); err != nil {
			return reply{}, err
		}
	}
	return serve(c)
}

// enter takes a place to be worked on.
func (c *call) enter() error {
	if c.room == nil {
		return nil
	}
	leave, err := c.room.enter(c.user, c.verb != "")
	if err == nil {
		c.release = append(c.release, leave)
	}
	return err
}

// receive takes room for a body of at most limit bytes.
func (c *call) receive(limit int64) error {
	if c.room == nil || c.r.ContentLength == 0 || c.r.ContentLength > limit { // none, or refused without being read
		return nil
	}
	size := limit // of a body that does not say how long it is
	if c.r.ContentLength > 0 {
		size = c.r.ContentLength
	}
	done, err := c.room.receive(c.user, size)
	if err == nil {
		c.release = append(c.release, done)
	}
	return err
}

// authenticate answers 401 or 403 and gives false unless the sender of r has one
// of the roles and is one of users (nil: anybody).
func (h *handler) authenticate(e *exchange, r *http.Request, users []string, roles ...Role) bool {
	if h.cfg.Anonymous && h.cfg.Authenticator == nil {
		return true
	}
	p, ok := h.cfg.Authenticator.Authenticate(r)
	if !ok {
		e.Header()["Www-Authenticate"] = []string{`Basic realm="service broker", charset="UTF-8"`, "Bearer"}
		e.fail(http.StatusUnauthorized, "Unauthorized",
			"The request needs the name and password of a user of this broker (HTTP basic authentication) or a bearer token.")
		return false
	}
	e.user = p.Name
	if !p.May(roles...) || len(users) > 0 && !slices.Contains(users, p.Name) {
		e.fail(http.StatusForbidden, "Forbidden", "The user %q may not use this part of the broker.", p.Name)
		return false
	}
	return true
}

// problem notes that what at place is not what was expected. Places outside the
// body are written as users write them: a header's name, ?name for the query.
func (c *call) problem(place, format string, args ...any) {
	c.problems = append(c.problems, core.Violation{Pointer: place, Message: fmt.Sprintf(format, args...)})
}

// invalid is the error of all problems; nil if there are none.
func (c *call) invalid() error {
	if len(c.problems) == 0 {
		return nil
	}
	err := core.Errorf(core.CodeInvalid, "The request is malformed")
	err.Violations = c.problems
	return err
}

// pathID unescapes an id of the path, once. "" where the route has no such id.
func (c *call) pathID(params httprouter.Params, name string) string {
	i := slices.IndexFunc(params, func(p httprouter.Param) bool { return p.Key == name })
	if i < 0 {
		return ""
	}
	place := "path " + name
	id, err := url.PathUnescape(params[i].Value)
	switch {
	case err != nil:
		c.problem(place, "has a %% that is not followed by two hexadecimal digits")
	case id == "":
		c.problem(place, "is empty; expected an id")
	case len(id) > MaxID:
		c.problem(place, "is too long; expected at most %d bytes, got %d", MaxID, len(id))
		return "" // so that the log does not carry it
	case !utf8.ValidString(id) || strings.ContainsRune(id, 0):
		c.problem(place, "is not text; expected UTF-8 without the NUL character")
		return ""
	}
	return id
}

// emptyID answers the paths that end where an id should be.
func emptyID(c *call) (reply, error) {
	c.problem("path", "ends with an empty id; expected the id of an instance or a binding")
	return reply{}, c.invalid()
}

// query is the request's query, decoded.
type query struct {
	values url.Values
	err    error // what ParseQuery could not read; values has the rest
}

func (c *call) readQuery() {
	c.query.values, c.query.err = url.ParseQuery(c.r.URL.RawQuery)
	c.caller.AcceptsIncomplete = c.query.values.Get("accepts_incomplete") == "true"
}

// strictQuery refuses a query that cannot be decoded. Polls do without it: for
// some platforms a 400 to a poll ends the operation.
func (c *call) strictQuery() {
	if c.query.err != nil {
		c.problem("query", "cannot be decoded; expected percent-encoded name=value pairs joined by &")
	}
}

// required gives a query parameter that must be there and not empty.
func (c *call) required(name string) string {
	v := c.query.values.Get(name)
	if v == "" {
		c.problem("?"+name, "is missing; expected the %s as in the request that created this", name)
	}
	return v
}

// optional gives a query parameter that must not be empty if it is there.
func (c *call) optional(name string) string {
	v := c.query.values.Get(name)
	if v == "" && c.query.values.Has(name) {
		c.problem("?"+name, "is empty; leave it out or give it a value")
	}
	return v
}
