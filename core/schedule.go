package core

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
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
	// census counts the unfinished operations that this broker holds.
	census *census
}

// job is the goroutine of one operation.
type job struct {
	id, instance, binding string
	tenure                *tenure // nil for one that is held in a time without
	epoch                 int64   // of the operation, when it came to this broker
	ctx                   context.Context
	cancel                context.CancelCauseFunc
	started               bool // its goroutine runs
	waits                 bool // it makes no call, and looks at the journal before the next one; guarded by scheduler.mu
	serialize             bool // its plugin takes one call per instance
	calls                 int  // plugin calls of this run since the operation's phase began
	alone                 bool // it ended the only unfinished operation of its instance
	awaited               bool // another job could not start because of it; guarded by scheduler.mu
	met                   bool // the journaled operation was passed over since it was held; guarded by scheduler.mu
}

// holds tells whether the operation is still the one that the job was made for: a row with
// another holder or epoch was taken over, and nothing of this job may touch it.
func (j *job) holds(op *Operation) bool {
	return op.Holder == j.tenure.holder && op.Epoch == j.epoch
}

func newScheduler(b *Broker) *scheduler {
	return &scheduler{b: b, jobs: map[string]*job{}, busy: map[string][]*job{}, done: map[string]*watch{}, census: newCensus()}
}

// hold reserves the id of an operation that is about to be journaled, so that only
// launch can start it.
func (s *scheduler) hold(t *tenure, op *Operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[op.ID] = s.newJob(t, op)
}

func (s *scheduler) newJob(t *tenure, op *Operation) *job {
	j := &job{id: op.ID, instance: op.InstanceID, binding: op.BindingID, tenure: t, epoch: op.Epoch}
	ctx := s.b.ctx
	if t != nil {
		ctx = t.ctx
	}
	j.ctx, j.cancel = context.WithCancelCause(ctx)
	return j
}

// launch starts a held operation with the call that its accepting transaction recorded.
func (s *scheduler) launch(op *Operation, first *pendingCall) {
	serialize := first != nil && s.b.serializes(first.call.Backend)
	s.mu.Lock()
	j := s.jobs[op.ID]
	j.serialize = serialize
	started := first != nil && s.start(j, first)
	if !started {
		s.forgo(j)
	}
	s.mu.Unlock()
	if first == nil {
		s.consider(j.instance)
	}
}

// drop forgets a held operation that was not journaled, or is not to be run here.
func (s *scheduler) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgo(s.jobs[id])
}

// forgo gives the id of a held operation free. If this broker claimed it in the moment
// since the commit, nobody else would look at it again. The lock is held.
func (s *scheduler) forgo(j *job) {
	j.cancel(nil)
	delete(s.jobs, j.id)
	if j.met {
		s.b.spawn(func() { s.consider(j.instance) })
	}
}

// start starts the goroutine; false if another one is in the way (its end brings
// us back), the tenure is over or the broker closes. The lock is held.
func (s *scheduler) start(j *job, first *pendingCall) bool {
	for _, other := range s.busy[j.instance] {
		if other.binding == "" || j.binding == "" || other.binding == j.binding || other.serialize || j.serialize {
			other.awaited = true
			return false
		}
	}
	if j.tenure == nil || !j.tenure.begin() {
		return false
	}
	j.started = s.b.spawn(func() {
		s.b.run(j, first)
		more := s.ended(j)
		j.tenure.jobs.Done()
		if more {
			s.consider(j.instance)
		}
	})
	if !j.started {
		j.tenure.jobs.Done()
		return false
	}
	s.busy[j.instance] = append(s.busy[j.instance], j)
	return true
}

// ended forgets a job whose goroutine is done; more tells whether the instance may have
// other work. Where replicas share the store, it always may.
func (s *scheduler) ended(j *job) (more bool) {
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
	return !j.alone || j.awaited || s.b.replica != nil
}

// consider looks at the unfinished operations of an instance and starts or
// interrupts what the store says, of those that this broker holds.
func (s *scheduler) consider(instance string) {
	var ops []*Operation
	for failures := 0; ; failures++ {
		if s.b.tenure() == nil {
			return // with the next one, everything is considered
		}
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
	t := s.b.tenure()
	if t == nil {
		return
	}
	s.recount(t, instance, ops)
	for _, op := range ops {
		s.considerOne(t, op, ops)
	}
}

func (s *scheduler) considerOne(t *tenure, op *Operation, all []*Operation) {
	if op.Holder != t.holder { // or its goroutine would end at once, and its end consider it again
		return
	}
	if op.State == OperationCancelling {
		s.interrupt(op.ID)
	} else if s.b.blockedBy(op, all) != nil {
		return
	}
	if s.b.dispatcher.state().Paused { // when it goes on, everything is considered
		return
	}
	serialize := s.b.serializes(op.Backend)
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[op.ID]; j != nil {
		j.met = !j.started
		return
	}
	j := s.newJob(t, op)
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

// interrupt ends the plugin call of an operation; false if this broker does not run it.
func (s *scheduler) interrupt(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[id]
	if j != nil {
		j.cancel(errInterrupted)
	}
	return j != nil
}

// wait pauses a job's goroutine; quiet does not wait for such.
func (s *scheduler) wait(j *job, d time.Duration) {
	set := func(waits bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		j.waits = waits
	}
	set(true)
	s.b.pause(j.ctx, d) // an interruption is a reason to look, too
	set(false)
}

// quiet tells whether no plugin call runs, or may begin without a look at the journal.
func (s *scheduler) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if !j.waits {
			return false
		}
	}
	return true
}

// recount corrects it after the store: other replicas may have ended some of them.
func (s *scheduler) recount(t *tenure, instance string, ops []*Operation) {
	if s.b.replica == nil {
		return // nobody else does
	}
	var held []*Operation
	for _, op := range ops {
		if op.Holder == t.holder {
			held = append(held, op)
		}
	}
	s.census.set(instance, held)
}

// forget begins a new tenure: nothing is held.
func (s *scheduler) forget() { s.census.clear() }
