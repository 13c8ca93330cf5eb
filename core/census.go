package core

import (
	"slices"
	"sync"
	"time"
)

// census counts the unfinished operations that this broker holds, in total, by backend
// and by user, so that neither a slow backend nor a busy user takes every place.
// Counting an operation twice, or taking out one that was never counted, changes nothing.
type census struct {
	mu        sync.Mutex
	instances map[string][]place // by instance id: there are few of each, mostly one
	total     int
	backends  map[string]int
	users     map[string]int
}

// place is what one operation takes.
type place struct{ operation, backend, user string }

func newCensus() *census {
	return &census{instances: map[string][]place{}, backends: map[string]int{}, users: map[string]int{}}
}

// add counts an operation in.
func (c *census) add(op *Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addLocked(op)
}

func (c *census) addLocked(op *Operation) {
	if c.at(op.InstanceID, op.ID) >= 0 {
		return
	}
	p := place{operation: op.ID, backend: op.Backend, user: op.User}
	c.instances[op.InstanceID] = append(c.instances[op.InstanceID], p)
	c.total++
	c.backends[p.backend]++
	c.users[p.user]++
}

// at finds an operation's place; -1 if it is not counted.
func (c *census) at(instance, operation string) int {
	return slices.IndexFunc(c.instances[instance], func(p place) bool { return p.operation == operation })
}

// remove counts an operation out.
func (c *census) remove(op *Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removeLocked(op.InstanceID, op.ID)
}

func (c *census) removeLocked(instance, operation string) {
	i := c.at(instance, operation)
	if i < 0 {
		return
	}
	places := c.instances[instance]
	p := places[i]
	if places = slices.Delete(places, i, i+1); len(places) > 0 {
		c.instances[instance] = places
	} else {
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
	for _, p := range slices.Clone(c.instances[instance]) {
		c.removeLocked(instance, p.operation)
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
	switch {
	case c.at(op.InstanceID, op.ID) >= 0: // the transaction runs once more
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
