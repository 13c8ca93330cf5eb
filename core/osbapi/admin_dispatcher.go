package osbapi

import "github.com/chandler-broker/chandler/core"

// maxWhy bounds the body of a pause in bytes.
const maxWhy = 4 << 10

// dispatcherView is the state of the dispatcher as operators see it.
func dispatcherView(s core.DispatcherState) reply {
	d := doc{"paused": s.Paused, "final": s.Final, "moved": s.Moved}
	if s.Why != "" {
		d["why"] = s.Why
	}
	if s.By != "" {
		d["by"] = s.By
	}
	if !s.Since.IsZero() {
		d["since"] = s.Since
	}
	return ok(d)
}

// adminDispatcher is GET /admin/v1/dispatcher.
func (h *handler) adminDispatcher(c *call) (reply, error) {
	s, err := h.cfg.Broker.Dispatcher(c.r.Context())
	return dispatcherView(s), err
}

// adminPause is POST /admin/v1/dispatcher/pause?why=….
func (h *handler) adminPause(c *call) (reply, error) {
	c.filters("why")
	why := c.query.values.Get("why")
	if len(why) > maxWhy {
		c.problem("?why", "has %d bytes; expected at most %d", len(why), maxWhy)
	}
	if err := c.invalid(); err != nil {
		return reply{}, err
	}
	s, err := h.cfg.Broker.Pause(c.r.Context(), c.caller, why)
	return dispatcherView(s), err
}

// adminResume is POST /admin/v1/dispatcher/resume.
func (h *handler) adminResume(c *call) (reply, error) {
	s, err := h.cfg.Broker.Resume(c.r.Context(), c.caller)
	return dispatcherView(s), err
}
