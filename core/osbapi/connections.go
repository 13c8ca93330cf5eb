package osbapi

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds how many connections a server keeps. When one more comes, the one
// goes that has been without a request for the longest time, whether it idles or has not
// sent a whole header yet. Connections with a request are never closed for others: if
// all have one, the newcomer goes.
type connections struct {
	limit int

	mu    sync.Mutex
	since map[net.Conn]time.Time // without a request since; zero: it has one
}

func newConnections(limit int) *connections {
	return &connections{limit: limit, since: map[net.Conn]time.Time{}}
}

// changed is http.Server.ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if victim := c.note(conn, state); victim != nil {
		_ = victim.Close() // its server's goroutine ends with an error, and tells us of its end
	}
}

func (c *connections) note(conn net.Conn, state http.ConnState) (victim net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateActive:
		c.since[conn] = time.Time{}
	case http.StateClosed, http.StateHijacked:
		delete(c.since, conn)
	case http.StateIdle:
		c.since[conn] = time.Now()
	case http.StateNew:
		c.since[conn] = time.Now()
		if len(c.since) > c.limit {
			victim = c.oldest()
			c.since[victim] = time.Time{} // on its way out: chosen once
		}
	}
	return victim
}

// oldest is the connection that has been without a request for the longest time.
func (c *connections) oldest() (oldest net.Conn) {
	for conn, since := range c.since {
		if !since.IsZero() && (oldest == nil || since.Before(c.since[oldest])) {
			oldest = conn
		}
	}
	return oldest
}
