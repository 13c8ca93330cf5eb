package osbapi

import (
	"context"
	"net/http"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// KeysAdmin is the operators' view of the keys that seal the store. *core.Keys implements it.
type KeysAdmin interface {
	Status(context.Context) (core.KeysStatus, error)
	// Rotate, Rewrap and RotateMaster tell their progress while they run, which may be
	// long; the end of ctx interrupts them, and the next Rewrap goes on.
	Rotate(ctx context.Context, by core.Caller, tell func(core.KeysProgress)) error
	Rewrap(ctx context.Context, by core.Caller, tell func(core.KeysProgress)) error
	RotateMaster(ctx context.Context, by core.Caller, tell func(core.KeysProgress)) error
}

// keysTable is the part of /admin/v1 about keys.
func (h *handler) keysTable() []adminRoute {
	k := h.cfg.KeysAdmin
	if k == nil {
		return nil
	}
	return []adminRoute{
		{http.MethodGet, "/keys", h.adminKeys},
		{http.MethodPost, "/keys/rotate", streamed(k.Rotate)},
		{http.MethodPost, "/keys/rotate-master", streamed(k.RotateMaster)},
		{http.MethodPost, "/keys/rewrap", streamed(k.Rewrap)},
	}
}

// replicaRow is a live replica and the keyset that it has confirmed.
type replicaRow struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Revision int64  `json:"revision"` // 0: it works without encryption
}

// adminKeys is GET /admin/v1/keys.
func (h *handler) adminKeys(c *call) (reply, error) {
	s, err := h.cfg.KeysAdmin.Status(c.r.Context())
	if err != nil {
		return reply{}, err
	}
	replicas := []replicaRow{}
	for _, r := range s.Replicas {
		replicas = append(replicas, replicaRow{Name: r.Name, Version: r.Version, Revision: r.Keys})
	}
	return ok(doc{"keyset": s.Keyset, "replicas": replicas}), nil
}

// lineTimeout is how long a client may take to read one line of a stream.
const lineTimeout = 30 * time.Second

// streamed makes a route of a verb that tells its progress: one JSON object a line,
// the last one {"done": true} or an error. What fails before the first line is an
// ordinary error answer.
func streamed(verb func(context.Context, core.Caller, func(core.KeysProgress)) error) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		out := &lines{e: c.exchange, control: http.NewResponseController(c.exchange)}
		// The server's deadline for reading a request would end the context of a long one.
		_ = out.control.SetReadDeadline(time.Time{})
		err := verb(c.r.Context(), c.caller, func(p core.KeysProgress) { out.write(p) })
		if err != nil && !out.begun {
			return reply{}, err
		}
		if err != nil {
			c.exchange.err = core.AsError(err).WithID(c.exchange.requestID)
			out.write(doc{"error": c.exchange.err.Code, "description": c.exchange.err.UserMessage()})
		} else {
			out.write(doc{"done": true})
		}
		return reply{sent: true}, nil
	}
}

// lines writes one JSON object a line, each at once.
type lines struct {
	e       *exchange
	control *http.ResponseController
	begun   bool
}

func (l *lines) write(v any) {
	if !l.begun {
		l.begun = true
		l.e.Header().Set("Content-Type", "application/x-ndjson")
		l.e.WriteHeader(http.StatusOK)
	}
	_ = l.control.SetWriteDeadline(time.Now().Add(lineTimeout)) // where it cannot be set, the server's own holds
	_, _ = l.e.Write(append(encode(v), '\n'))                   // a client that went away ends the context
	_ = l.control.Flush()
}
