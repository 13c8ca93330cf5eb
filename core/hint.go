package core

// hint tells the other replicas, if there can be any.
func (b *Broker) hint(kind HintKind, ids ...string) {
	if b.replica == nil || len(ids) == 0 {
		return
	}
	hints := make([]Hint, len(ids))
	for i, id := range ids {
		hints[i] = Hint{Kind: kind, ID: id}
	}
	b.replica.leases.Hint(hints...)
}

// listen hears the other replicas' hints until the broker closes.
func (r *replica) listen() {
	defer r.b.wg.Done()
	for {
		err := r.leases.Listen(r.b.ctx, r.heard)
		if !r.b.pause(r.b.ctx, r.lookEvery()) {
			return
		}
		r.b.cfg.Log.Warn("hints of other replicas cannot be heard; trying again", "error", err)
	}
}

// heard must not wait: what it has to do with the store, claims and answers do.
func (r *replica) heard(h Hint) {
	switch h.Kind {
	case HintFinished:
		r.b.sched.finished(h.ID, nil)
	case HintInterrupt:
		r.b.sched.interrupt(h.ID)
	case HintConsider:
		if h.ID != "" {
			r.wish.add(h.ID)
		}
		r.look()
	case HintDocument:
		r.b.dispatcher.changed(h.ID)
		r.b.cfg.OnDocument(h.ID)
	case HintMissed:
		r.wish.addAll()
		r.look()
		r.b.dispatcher.changed("")
		r.b.cfg.OnDocument("")
	}
}

// overlookedEvery is after how many polls the held operations are gone through.
const overlookedEvery = 10

// polls is what hints are not needed for: it looks at how the operations stand that
// this broker waits for or runs, and others may have ended or cancelled; now and then also
// for those that it holds and does not run.
func (r *replica) polls() {
	defer r.b.wg.Done()
	for n := 1; r.b.pause(r.b.ctx, r.jittered(r.lookEvery())); n++ {
		if t := r.b.tenure(); t != nil && n%overlookedEvery == 0 {
			r.overlooked(t)
		}
		ids := r.b.sched.interesting()
		if len(ids) == 0 {
			continue
		}
		var states map[string]OperationState
		err := r.b.view(r.b.ctx, func(tx Tx) (err error) {
			states, err = tx.States(ids)
			return err
		})
		if err != nil {
			r.b.cfg.Log.Warn("the states of operations cannot be read; trying again", "error", err)
			continue
		}
		for _, id := range ids {
			switch state := states[id]; {
			case !state.Unfinished(): // or gone
				r.b.sched.interrupt(id)
				r.b.sched.finished(id, nil)
			case state == OperationCancelling:
				r.b.sched.interrupt(id)
			}
		}
	}
}

// overlooked has the instances considered whose operations this broker holds and does not run:
// another replica may have accepted them, or made room for them, and its hint was lost. Most
// of them wait for another operation of their instance, and go on waiting.
func (r *replica) overlooked(t *tenure) {
	if r.b.dispatcher.state().Paused { // when it goes on, everything is considered
		return
	}
	var held map[string]string
	err := r.b.view(t.ctx, func(tx Tx) (err error) {
		held, err = tx.HeldOperations(t.holder)
		return err
	})
	if err != nil {
		r.b.cfg.Log.Warn("the held operations cannot be listed; trying again", "error", err)
		return
	}
	for _, instance := range r.b.sched.idle(held) {
		r.wish.add(instance)
		r.look()
	}
}
