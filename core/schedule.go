package core

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Causes with which a plugin call's context ends.
var (
	errShutdown    = errors.New("the broker shuts down")
	errInterrupted = errors.New("the operation was superseded or cancelled")
	errDeadline    = errors.New("the operation's deadline has passed")
)

// scheduler keeps the goroutines of the operations that this broker runs. What may
// run is decided from the store alone; the scheduler adds that an operation has one
// goroutine, and that no two calls touch the same thing even after an operator's
// abandon or purge took the row of a running call away.
type scheduler struct {
	b *Broker

	mu   sync.Mutex
	jobs map[string]*job // by operation id
	// busy are the running jobs by instance id.
	busy map[string][]*job
	done map[string]*watch
}

// job is the goroutine of one operation.
type job struct {
	id, instance, binding string
	ctx                   context.Context
	cancel                context.CancelCauseFunc
	serialize             bool // its plugin takes one call per instance
	calls                 int  // plugin calls of this run since the operation's phase began
}

// watch is closed when its operation finishes.
type watch struct {
	closed  chan struct{}
	watched int
}

func newScheduler(b *Broker) *scheduler {
	return &scheduler{b: b, jobs: map[string]*job{}, busy: map[string][]*job{}, done: map[string]*watch{}}
}

// hold reserves the id of an operation that is about to be journaled, so that only
// launch can start it.
func (s *scheduler) hold(id, instance, binding string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[id] = s.newJob(id, instance, binding)
}

func (s *scheduler) newJob(id, instance, binding string) *job {
	j := &job{id: id, instance: instance, binding: binding}
	j.ctx, j.cancel = context.WithCancelCause(s.b.ctx)
	return j
}

// launch starts a held operation with the call that its accepting transaction recorded.
func (s *scheduler) launch(id string, first *pendingCall) {
	serialize := first != nil && s.b.serializes(first.call.Backend)
	s.mu.Lock()
	j := s.jobs[id]
	j.serialize = serialize
	if first == nil || !s.start(j, first) {
		j.cancel(nil)
		delete(s.jobs, id)
	}
	s.mu.Unlock()
	if first == nil {
		s.consider(j.instance)
	}
}

// drop forgets a held operation that was not journaled.
func (s *scheduler) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[id].cancel(nil)
	delete(s.jobs, id)
}

// start starts the goroutine; false if another one is in the way (its end brings
// us back) or the broker closes. The lock is held.
func (s *scheduler) start(j *job, first *pendingCall) bool {
	for _, other := range s.busy[j.instance] {
		if other.binding == "" || j.binding == "" || other.binding == j.binding || other.serialize || j.serialize {
			return false
		}
	}
	started := s.b.spawn(func() {
		s.b.run(j, first)
		s.ended(j)
		s.consider(j.instance)
	})
	if started {
		s.busy[j.instance] = append(s.busy[j.instance], j)
	}
	return started
}

// ended forgets a job whose goroutine is done.
func (s *scheduler) ended(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.cancel(nil)
	delete(s.jobs, j.id)
	rest := slices.DeleteFunc(s.busy[j.instance], func(other *job) bool { return other == j })
	if len(rest) == 0 {
		delete(s.busy, j.instance)
	} else {
		s.busy[j.instance] = rest
	}
}

// consider looks at the unfinished operations of an instance and starts or
// interrupts what the store says.
func (s *scheduler) consider(instance string) {
	if s.b.ctx.Err() != nil {
		return
	}
	var ops []*Operation
	for failures := 0; ; failures++ {
		err := s.b.view(s.b.ctx, func(tx Tx) (err error) {
			ops, err = tx.Unfinished(instance)
			return err
		})
		if err == nil {
			break
		}
		s.b.cfg.Log.Error("the journal cannot be read; trying again", "instance_id", instance, "error", err)
		if !s.b.pause(s.b.ctx, s.b.backoff(failures)) {
			return
		}
	}
	for _, op := range ops {
		s.considerOne(op, ops)
	}
}

func (s *scheduler) considerOne(op *Operation, all []*Operation) {
	if !s.b.claim(op) { // or its goroutine would end at once, and its end consider it again
		return
	}
	if op.State == OperationCancelling {
		s.interrupt(op.ID)
	} else if s.b.blockedBy(op, all) != nil {
		return
	}
	serialize := s.b.serializes(op.Backend)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[op.ID] != nil {
		return
	}
	j := s.newJob(op.ID, op.InstanceID, op.BindingID)
	j.serialize = serialize
	if op.State == OperationCancelling {
		j.cancel(errInterrupted)
	}
	s.jobs[op.ID] = j
	if !s.start(j, nil) {
		j.cancel(nil)
		delete(s.jobs, op.ID)
	}
}

// interrupt ends the plugin call of an operation, if this broker makes one.
func (s *scheduler) interrupt(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[id]; j != nil {
		j.cancel(errInterrupted)
	}
}

// watch gives a channel that is closed when the operation finishes. Whoever
// watches looks at the store afterwards: it may have finished before.
func (s *scheduler) watch(id string) (finished <-chan struct{}, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.done[id]
	if w == nil {
		w = &watch{closed: make(chan struct{})}
		s.done[id] = w
	}
	w.watched++
	return w.closed, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.watched--; w.watched == 0 && s.done[id] == w {
			delete(s.done, id)
		}
	}
}

// finished tells all who watch the operation.
func (s *scheduler) finished(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.done[id]; w != nil {
		close(w.closed)
		delete(s.done, id)
	}
}
