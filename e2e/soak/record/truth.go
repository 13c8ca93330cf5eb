package record

// Truth is what a look at the backend and at the store must find when nothing runs any more.
type Truth struct {
	// Exists: the instance is ready. Row: the store has a row of it, perhaps of a failed
	// provision, whose leftovers may be at the backend.
	Exists, Row bool
	Is          Attributes
	// Changed: an update failed half way, so that the backend may have what it wanted.
	Changed bool
	// Bindings are those of an instance that exists: ready, or a row of a failed one.
	Bindings [Bindings]TrueBinding
}

// TrueBinding is one binding of a Truth.
type TrueBinding struct {
	Ready, Row  bool
	Credentials uint16
}

// Rest notes that nothing runs and no request is on its way any more, and lists what
// may be the truth; nothing if the Record is lost.
func (r *Record) Rest() []Truth {
	clear(r.loose)
	if !r.settle() {
		return nil
	}
	r.keep(func(s state) []state {
		if s.busy() {
			return nil
		}
		return []state{s}
	})
	seen := map[Truth]bool{}
	var list []Truth
	for s := range r.states {
		if t := s.truth(); !seen[t] {
			seen[t] = true
			list = append(list, t)
		}
	}
	return list
}

func (s state) truth() Truth {
	t := Truth{Exists: s.inst.ready, Row: s.inst.exists, Is: s.inst.is,
		Changed: s.inst.last.verb == Update && !s.inst.last.ok}
	for i, b := range s.binds {
		t.Bindings[i] = TrueBinding{Ready: b.ready, Row: b.exists, Credentials: b.credentials}
	}
	return t
}

// Name gives the number of credentials in a Truth, or of an operation.
func (r *Record) Name(credentials string) uint16 { return r.name(credentials) }

// Saw notes that the truth was found to be one of those for which is gives true.
func (r *Record) Saw(what string, is func(Truth) bool) error {
	return r.refine(what, func(s state) []state {
		if !is(s.truth()) {
			return nil
		}
		return []state{s}
	})
}

// Standing says whether a binding's credentials must work (alive), or must not (gone), as
// things are; neither if that is uncertain.
func (r *Record) Standing(binding int8, credentials uint16) (alive, gone bool) {
	if !r.settle() {
		return false, false
	}
	alive, gone = true, true
	for s := range r.states {
		bind := s.binds[binding]
		holds := bind.exists && bind.ready && bind.op.verb == None && s.inst.op.verb == None && bind.credentials == credentials
		alive = alive && holds
		if bind.exists && (bind.credentials == credentials || bind.credentials == 0) {
			gone = false
		}
	}
	return alive, gone
}

// Fill notes that something was put into the instance, which existed and was not touched
// meanwhile; or, unless certain, that this may be so.
func (r *Record) Fill(certain bool) { r.pour(true, certain) }

// Empty notes that everything in the instance was removed; or, unless certain, that this may be so.
func (r *Record) Empty(certain bool) { r.pour(false, certain) }

func (r *Record) pour(full, certain bool) {
	if !r.settle() {
		return
	}
	r.keep(func(s state) []state {
		next := s
		next.inst.full = full && s.inst.ready
		if certain {
			return []state{next}
		}
		return []state{s, next}
	})
}
