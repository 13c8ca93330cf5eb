package core

import (
	"sync"
	"time"
)

// census counts the unfinished operations that this broker holds, in total, by backend
// and by user, so that neither a slow backend nor a busy user takes every place.
// Counting an operation twice, or taking out one that was never counted, changes nothing.
type census struct {
	mu        sync.Mutex
	instances map[string]map[string]place // instance id, operation id
	total     int
	backends  map[string]int
	users     map[string]int
}

// place is what one operation takes.
type place struct{ backend, user string }

func newCensus() *census {
	return &census{instances: map[string]map[string]place{}, backends: map[string]int{}, users: map[string]int{}}
}

// add counts an operation in.
func (c *census) add(op *Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addLocked(op)
}

func (c *census) addLocked(op *Operation) {
	ops := c.instances[op.InstanceID]
	if _, counted := ops[op.ID]; counted {
		return
	}
	if ops == nil {
		ops = map[string]place{}
		c.instances[op.InstanceID] = ops
	}
	p := place{backend: op.Backend, user: op.User}
	ops[op.ID] = p
	c.total++
	c.backends[p.backend]++
	c.users[p.user]++
}

// remove counts an operation out.
func (c *census) remove(op *Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(op.InstanceID, op.ID)
}

func (c *census) removeLocked(instance, operation string) {
	ops := c.instances[instance]
	p, counted := ops[operation]
	if !counted {
		return
	}
	if delete(ops, operation); len(ops) == 0 {
		delete(c.instances, instance)
	}
	c.total--
	lower(c.backends, p.backend)
	lower(c.users, p.user)
}

func lower(counts map[string]int, key string) {
	if counts[key]--; counts[key] <= 0 {
		delete(counts, key)
	}
}

// set makes ops all that is counted of the instance.
func (c *census) set(instance string, ops []*Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.instances[instance] {
		c.removeLocked(instance, id)
	}
	for _, op := range ops {
		c.addLocked(op)
	}
}

// clear counts everything out.
func (c *census) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.instances)
	clear(c.backends)
	clear(c.users)
	c.total = 0
}

// admit counts a new operation in, or gives the error with which it is refused. It is
// called in the accepting transaction, so that requests which are decided at the same
// moment see each other; whoever does not commit takes the operation out again.
func (c *census) admit(op *Operation, cfg *Config) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var e *Error
	_, again := c.instances[op.InstanceID][op.ID] // the transaction runs once more
	switch {
	case again:
		return nil
	case c.total >= allowed(op, cfg.MaxUnfinished):
		e = Errorf(CodeOverloaded, "The broker has too many unfinished operations; nothing was changed.")
	case c.backends[op.Backend] >= allowed(op, cfg.MaxUnfinishedPerBackend):
		e = Errorf(CodeOverloaded, "The backend %q has too many unfinished operations; nothing was changed.", op.Backend)
	case c.users[op.User] >= allowed(op, cfg.MaxUnfinishedPerUser):
		e = Errorf(CodeOverloaded, "The user %q has too many unfinished operations; nothing was changed.", op.User)
	default:
		c.addLocked(op)
		return nil
	}
	e = e.WithHint("Send the request again later.")
	e.RetryAfter = 10 * time.Second
	return e
}

// keptForRemoval is the part of every limit that only deletions may use: they are what
// makes room again.
const keptForRemoval = 16

// allowed is what of a limit the operation's verb may use.
func allowed(op *Operation, limit int) int {
	if removes(op.Verb) {
		return limit
	}
	return limit - limit/keptForRemoval
}

// share is the default of a limit that belongs to one of several: three quarters.
func share(total int) int { return max(1, total-total/4) }
