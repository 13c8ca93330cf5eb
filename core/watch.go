package core

// watch is closed when its operation finishes.
type watch struct {
	closed  chan struct{}
	watched int
}

// watch gives a channel that is closed when the operation finishes, here or at another
// replica. Whoever watches looks at the store afterwards: it may have finished before.
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
