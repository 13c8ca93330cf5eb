package core

// watch is closed when its operation finishes.
type watch struct {
	closed  chan struct{}
	watched int
	// op is the operation if it succeeded here; set before closed is closed, then only read.
	op *Operation
}

// watch gives what is closed when the operation finishes, here or at another replica.
// Whoever watches looks at the store first, since it may have finished before.
func (s *scheduler) watch(id string) (finished *watch, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.done[id]
	if w == nil {
		w = &watch{closed: make(chan struct{})}
		s.done[id] = w
	}
	w.watched++
	return w, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.watched--; w.watched == 0 && s.done[id] == w {
			delete(s.done, id)
		}
	}
}

// finished tells all who watch the operation. op is how it ended, if that is known here;
// without, or after a failure, they read it in the store.
func (s *scheduler) finished(id string, op *Operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.done[id]; w != nil {
		if op != nil && op.State == OperationSucceeded {
			w.op = op
		}
		close(w.closed)
		delete(s.done, id)
	}
}

// interesting are the operations that somebody waits for here, and those that run here.
func (s *scheduler) interesting() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := make([]string, 0, len(s.jobs)+len(s.done))
	for id, j := range s.jobs {
		if j.started {
			ids = append(ids, id)
		}
	}
	for id := range s.done {
		if s.jobs[id] == nil { // else it is there already, or not journaled yet
			ids = append(ids, id)
		}
	}
	return ids
}

// idle gives the instances of those of the operations that have no goroutine here.
func (s *scheduler) idle(operations map[string]string) (instances []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, instance := range operations {
		if s.jobs[id] == nil {
			instances = append(instances, instance)
		}
	}
	return instances
}
