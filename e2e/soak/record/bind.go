package record

func (r *Record) applyBind(s state, q *Request) []effect {
	row := &s.binds[q.Binding]
	want := q.Bind
	if want.Predecessor == 0 && r.asyncOnly(q, want.Plan) {
		return decide(s, 422)
	}
	if !s.inst.exists {
		return decide(s, 404)
	}
	stranger := false // a plan that the instance has no more
	if want.Predecessor > 0 {
		switch old := s.binds[want.Predecessor-1]; {
		case row.exists && row.is.Predecessor == want.Predecessor:
			want = row.is
		case !old.exists || !old.ready || int8(want.Predecessor-1) == q.Binding:
			return decide(s, 400)
		default:
			want.Plan, want.Access = s.inst.is.Plan, old.is.Access
		}
		if r.asyncOnly(q, want.Plan) {
			return decide(s, 422)
		}
	} else if want.Plan != s.inst.is.Plan && !(s.inst.op.verb == Update && s.inst.op.wanted.Plan == want.Plan) {
		if stranger = true; !row.exists || row.is.Plan != want.Plan {
			ways := decide(s, 400)
			if s.inst.op.verb == Deprovision { // an update that it cancels may still want that plan
				ways = append(ways, decide(s, 422)...)
			}
			return ways
		}
	}
	return r.decideBind(s, q, want, stranger)
}

// decideBind goes on after what is wanted is known.
func (r *Record) decideBind(s state, q *Request, want BindAttributes, stranger bool) []effect {
	row := &s.binds[q.Binding]
	begin := func() effect {
		s := s
		switch {
		case !s.inst.ready && s.inst.op.verb != Provision:
			return decide(s, 422)[0]
		case stranger:
			return decide(s, 400)[0]
		}
		row := &s.binds[q.Binding]
		row.exists, row.ready, row.is = true, false, want
		return start(s, q.Binding, operation{verb: Bind})
	}
	switch {
	case s.inst.op.verb == Deprovision:
		return decide(s, 422)
	case !row.exists:
		return []effect{begin()}
	case row.op.verb == Unbind:
		return decide(s, 422)
	case row.is != want:
		return decide(s, 409)
	case row.op.verb == Bind:
		return join(s, q.Binding)
	case row.ready:
		return decide(s, 200)
	}
	return r.afterFailure(s, q.Binding, Bind, begin)
}

func (r *Record) applyUnbind(s state, q *Request) []effect {
	row := &s.binds[q.Binding]
	switch {
	case r.asyncOnly(q, q.Wanted.Plan):
		return decide(s, 422)
	case !s.inst.exists || !row.exists:
		return decide(s, 410)
	case q.Wanted.Plan != row.is.Plan && !s.deletable(q.Wanted.Plan):
		return decide(s, 400)
	case row.op.verb == Unbind:
		return join(s, q.Binding)
	case s.inst.op.verb == Deprovision:
		return join(s, -1)
	}
	if row.op.verb == Bind {
		s.supersede(q.Binding)
	}
	return []effect{start(s, q.Binding, operation{verb: Unbind})}
}
