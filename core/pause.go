package core

import (
	"context"
	"slices"
	"time"
)

// Dispatcher gives the state of the dispatcher as the store has it. CodeOverloaded if the store does not answer.
func (b *Broker) Dispatcher(ctx context.Context) (DispatcherState, error) {
	return b.dispatcherState(ctx)
}

func (b *Broker) dispatcherState(ctx context.Context) (s DispatcherState, err error) {
	err = b.view(ctx, func(tx Tx) (err error) {
		s, err = ReadDispatcher(tx)
		return err
	})
	return s, err
}

// changeDispatcher changes the state by one transaction.
func (b *Broker) changeDispatcher(ctx context.Context, change func(*DispatcherState) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	var s DispatcherState
	err := b.cfg.Store.Update(ctx, func(tx Tx) (err error) {
		if s, err = ReadDispatcher(tx); err != nil {
			return err
		}
		if err := change(&s); err != nil {
			return err
		}
		return WriteDispatcher(tx, s)
	})
	if err != nil {
		return storeError(err)
	}
	b.dispatcher.see(s)
	b.hint(HintDocument, DispatcherDocument)
	return nil
}

// Pause stops the dispatcher of all brokers over the store: no plugin call begins any more,
// and requests that would change something are refused with CodeOverloaded. Calls that run
// end by themselves. Pausing what is paused changes nothing. CodeConflict if the store was moved.
func (b *Broker) Pause(ctx context.Context, by Caller, why string) (s DispatcherState, err error) {
	leave, err := b.enter()
	if err != nil {
		return s, err
	}
	defer leave()
	defer func() { b.auditOperator(by, "dispatcher pause", "", "", err) }()
	return b.pauseFor(ctx, by, why, false)
}

// pauseFor pauses; a final pause is always a new one, so that all brokers confirm it.
func (b *Broker) pauseFor(ctx context.Context, by Caller, why string, final bool) (s DispatcherState, err error) {
	err = b.changeDispatcher(ctx, func(now *DispatcherState) error {
		if now.Moved {
			return now.Usable()
		}
		if !now.Paused || final {
			*now = DispatcherState{Revision: now.Revision + 1, Paused: true, Final: final, Why: why, By: by.User, Since: b.clock.Now()}
		}
		s = *now
		return nil
	})
	return s, err
}

// Resume lets the dispatcher go on, and gives a final export up that was not confirmed.
// CodeConflict if the store was moved.
func (b *Broker) Resume(ctx context.Context, by Caller) (s DispatcherState, err error) {
	leave, err := b.enter()
	if err != nil {
		return s, err
	}
	defer leave()
	defer func() { b.auditOperator(by, "dispatcher resume", "", "", err) }()
	err = b.changeDispatcher(ctx, func(now *DispatcherState) error {
		if now.Moved {
			return now.Usable()
		}
		if now.Paused {
			*now = DispatcherState{Revision: now.Revision + 1, By: by.User, Since: b.clock.Now()}
		}
		s = *now
		return nil
	})
	return s, err
}

// PauseFinal pauses for the final export and waits until no plugin call runs at any
// broker; ctx bounds the wait. If it fails, the dispatcher stays paused.
func (b *Broker) PauseFinal(ctx context.Context, by Caller) (s DispatcherState, err error) {
	leave, err := b.enter()
	if err != nil {
		return s, err
	}
	defer leave()
	defer func() { b.auditOperator(by, "dispatcher pause for the final export", "", "", err) }()
	if s, err = b.pauseFor(ctx, by, "final export", true); err != nil {
		return s, err
	}
	for {
		now, err := b.dispatcherState(ctx)
		if err != nil {
			return s, err
		}
		if now.Revision != s.Revision {
			return s, errOtherPause
		}
		late, err := b.late(ctx, now)
		if err != nil || len(late) == 0 {
			return now, err
		}
		b.dispatcher.changed("")
		if !b.pause(ctx, 100*time.Millisecond) {
			return s, Errorf(CodeDeadline, "Plugin calls still run at %v; nothing was exported, and the dispatcher stays paused.", late).
				WithHint("Wait longer, or cancel the operations; chandler dispatcher resume gives the move up.")
		}
	}
}

var errOtherPause = Errorf(CodeConflict, "The dispatcher was resumed, or paused again, meanwhile.").
	WithHint("Begin the final export again.")

// late names the live brokers that have not confirmed the pause.
func (b *Broker) late(ctx context.Context, s DispatcherState) (late []string, err error) {
	replicas, err := b.Replicas(ctx)
	for _, r := range replicas {
		if !slices.Contains(s.Quiet, r.Holder) {
			late = append(late, r.Name)
		}
	}
	return late, err
}

// Exported notes the final export that was made in a pause. CodeConflict if it is not that pause any more.
func (b *Broker) Exported(ctx context.Context, revision int64, export FinalExport) error {
	return b.changeDispatcher(ctx, func(now *DispatcherState) error {
		if now.Revision != revision || !now.Final {
			return errOtherPause
		}
		now.Export = &export
		return nil
	})
}

// Moved marks the store as moved: whoever has the file of the final export says so. No broker
// starts on it again. It is final. CodeConflict if it is not the export of the present pause.
func (b *Broker) Moved(ctx context.Context, by Caller, export FinalExport) (err error) {
	leave, err := b.enter()
	if err != nil {
		return err
	}
	defer leave()
	defer func() { b.auditOperator(by, "moved", "", "", err) }()
	return b.changeDispatcher(ctx, func(now *DispatcherState) error { return now.MarkMoved(export, b.clock.Now()) })
}

// MarkMoved ends a final pause: the export is where the store goes on.
func (s *DispatcherState) MarkMoved(export FinalExport, at time.Time) error {
	switch {
	case s.Export == nil || *s.Export != export || !s.Final:
		return Errorf(CodeConflict, "This is not the final export of the present pause.").
			WithHint("Make the final export again; it is only good for as long as the dispatcher stays paused.")
	case !s.Moved:
		s.Moved, s.Since, s.Quiet = true, at, nil
		s.Revision++
	}
	return nil
}

// PauseStore pauses a store before a broker starts on it, as after the restore of a
// backup. What is paused stays as it is.
func PauseStore(ctx context.Context, s Store, why string, now time.Time) error {
	return s.Update(ctx, func(tx Tx) error {
		state, err := ReadDispatcher(tx)
		if err != nil || state.Paused {
			return err
		}
		return WriteDispatcher(tx, DispatcherState{Revision: state.Revision + 1, Paused: true, Why: why, Since: now.UTC().Truncate(time.Microsecond)})
	})
}

// UsableStore is DispatcherState.Usable of a store.
func UsableStore(ctx context.Context, s Store) error {
	var state DispatcherState
	err := s.View(ctx, func(tx Tx) (err error) {
		state, err = ReadDispatcher(tx)
		return err
	})
	if err != nil {
		return storeError(err)
	}
	return state.Usable()
}
