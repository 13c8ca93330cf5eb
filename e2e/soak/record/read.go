package record

// Reading is a read on its way. An answer to it is compared with what was possible
// while it was on its way, and narrows that only if nothing else happened meanwhile.
type Reading struct{ events int }

// Read notes that a read is about to be sent.
func (r *Record) Read() Reading { return Reading{r.events} }

// ReadUnanswered notes that a read will not be answered. A poll may have been told a failure.
func (r *Record) ReadUnanswered(process int) { r.loose[process] = true }

// Undisturbed tells whether the answer to a read can be judged.
func (r *Record) Undisturbed(reading Reading) bool { return !r.lost && reading.events == r.events }

// Instance is the answer to a fetch of the instance: 200 with what it is, 404 or 422.
func (r *Record) Instance(reading Reading, status int, is Attributes) error {
	if status == 429 || status == 500 || !r.Undisturbed(reading) {
		return nil
	}
	return r.refine(describeRead("fetch of the instance", status, is), func(s state) []state {
		want := 200
		switch {
		case !s.inst.exists, !s.inst.ready:
			want = 404
		case s.inst.op.verb != None:
			want = 422
		}
		if want != status || status == 200 && s.inst.is != is {
			return nil
		}
		return []state{s}
	})
}

// Fetched is the answer to a fetch of a binding: 200 with its credentials, or 404.
func (r *Record) Fetched(reading Reading, binding int8, status int, credentials string) error {
	if status == 429 || status == 500 || !r.Undisturbed(reading) {
		return nil
	}
	id := r.name(credentials)
	return r.refine(describeRead("fetch of a binding", status, binding), func(s state) []state {
		bind := &s.binds[binding]
		want := 404
		if bind.exists && bind.ready && bind.op.verb == None {
			want = 200
		}
		if want != status || status == 200 && !bind.learn(id) {
			return nil
		}
		return []state{s}
	})
}

// Poll is the answer to a poll of the instance (binding -1) or of a binding. operation
// is the one that the poll named, "" for the newest; told is the state, "" with a 404.
func (r *Record) Poll(reading Reading, binding int8, operation string, status int, told string) error {
	if status == 429 || status == 500 {
		return nil
	}
	id := r.name(operation)
	if id > 0 && told != "in progress" && status == 200 {
		e := end{id, binding}
		if before, known := r.ends[e]; known && before != told {
			return violation("operation %s %s, after it had %s", operation, told, before)
		}
		r.ends[e] = told
	}
	if r.lost || !r.Undisturbed(reading) {
		if told == "failed" {
			r.loose[-1] = true // it counts as told now; of which operation is not clear
		}
		return nil
	}
	return r.refine(describeRead("poll "+operation, status, told), func(s state) []state {
		return poll(s, binding, id, status, told)
	})
}

// end is of an operation, as polls of the instance (binding -1) or of a binding tell it.
type end struct {
	operation uint16
	binding   int8
}

// poll gives what a state becomes by the answer to a poll. A poll that names an operation
// which is neither known as the running nor as the newest one says nothing about those.
func poll(s state, binding int8, id uint16, status int, told string) []state {
	op, last := s.subjectOp(binding), s.subjectLast(binding)
	switch {
	case id > 0 && op.id != id && last.id != id:
		return []state{s}
	case op.verb != None && (id == 0 || op.id == id):
		if told != "in progress" {
			return nil
		}
		return []state{s}
	case last.verb == None:
		if status != 404 {
			return nil
		}
		return []state{s}
	case told == "in progress" && last.class == failed:
		return []state{s} // being cancelled still
	case told != map[bool]string{true: "succeeded", false: "failed"}[last.ok]:
		return nil
	}
	last.told = last.told || !last.ok
	return []state{s}
}
