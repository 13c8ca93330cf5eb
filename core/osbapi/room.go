package osbapi

import (
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// room is what the requests of the OSB API may take of this process at once: places to
// be worked on, and memory for bodies. What finds no room is refused before anything
// was done for it. A request has its place neither while its body comes in nor while its
// answer goes out, so that slow clients take none.
type room struct {
	requests pool // all requests, in requests
	changes  pool // of them those that may wait for a backend
	bodies   pool // bodies, in bytes
}

// newRoom divides cfg's limits: a quarter of the places is kept for reads, which never wait.
func newRoom(cfg *Config) *room {
	changes := func(n int) int64 { return max(1, int64(n)-int64(n)/4) }
	return &room{
		requests: newPool(int64(cfg.MaxRequests), int64(cfg.MaxRequestsPerUser)),
		changes:  newPool(changes(cfg.MaxRequests), changes(cfg.MaxRequestsPerUser)),
		bodies:   newPool(cfg.MaxBodies, max(cfg.MaxBody, cfg.MaxBodies-cfg.MaxBodies/4)),
	}
}

// enter takes a place for a request; leave gives it back.
func (r *room) enter(user string, change bool) (leave func(), err error) {
	if full := r.requests.take(user, 1); full != "" {
		return nil, noRoom(full, "is served as many requests at once as it may be")
	}
	if !change {
		return func() { r.requests.give(user, 1) }, nil
	}
	if full := r.changes.take(user, 1); full != "" {
		r.requests.give(user, 1)
		return nil, noRoom(full, "has as many changes going on at once as may be")
	}
	return func() {
		r.changes.give(user, 1)
		r.requests.give(user, 1)
	}, nil
}

// receive takes memory for a body of n bytes; done gives it back.
func (r *room) receive(user string, n int64) (done func(), err error) {
	if full := r.bodies.take(user, n); full != "" {
		return nil, noRoom(full, "sends as much at once as it may")
	}
	return func() { r.bodies.give(user, n) }, nil
}

// roomAfter is the Retry-After of a refusal for want of room: it comes back quickly.
const roomAfter = time.Second

func noRoom(whose, why string) *core.Error {
	e := core.Errorf(core.CodeOverloaded, "%s %s; nothing was changed.", whose, why).WithHint("Send the request again in a moment.")
	e.RetryAfter = roomAfter
	return e
}

// pool is an amount of something that users take from and give back to, and of which
// one user gets a share at most.
type pool struct {
	mu    sync.Mutex
	total int64
	share int64
	taken int64
	users map[string]int64
}

func newPool(total, share int64) pool {
	return pool{total: total, share: min(share, total), users: map[string]int64{}}
}

// take takes n; otherwise it says who has taken too much, at the beginning of a sentence.
func (p *pool) take(user string, n int64) (full string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.taken+n > p.total:
		return "The broker"
	case p.users[user]+n > p.share:
		return "The user"
	}
	p.taken += n
	p.users[user] += n
	return ""
}

func (p *pool) give(user string, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken -= n
	if p.users[user] -= n; p.users[user] == 0 {
		delete(p.users, user)
	}
}
