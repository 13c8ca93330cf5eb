package core

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// DispatcherDocument is the key of the document that says whether operations may start.
const DispatcherDocument = "dispatcher"

// DispatcherState says whether the brokers over a store start operations. While it is
// paused, none of them accepts a request that changes something or makes a plugin
// call; those that ran when it was paused end first.
type DispatcherState struct {
	// Revision rises with every pause and resume.
	Revision int64     `json:"revision"`
	Paused   bool      `json:"paused"`
	Why      string    `json:"why,omitempty"` // for operators
	By       string    `json:"by,omitempty"`  // the operator; "" for the program itself
	Since    time.Time `json:"since,omitzero"`
	// Final says that it is paused for the final export: operators' verbs are refused, too.
	Final bool `json:"final,omitempty"`
	// Export is the final export that was made of this state; nil if there is none.
	Export *FinalExport `json:"export,omitempty"`
	// Moved says that the store lives on elsewhere. It is never used again.
	Moved bool `json:"moved,omitempty"`
	// Importing names the import that fills the store and has not ended; "" if there is none.
	Importing string `json:"importing,omitempty"`
	// Quiet are the holders of the leases whose brokers have seen the end of their last
	// plugin call in this pause ("" where the store is for one broker).
	Quiet []string `json:"quiet,omitempty"`
}

// FinalExport names a complete export.
type FinalExport struct {
	ID     string `json:"id"`
	Digest string `json:"digest"` // SHA-256 of the file, hexadecimal
}

// ReadDispatcher gives the state that a transaction sees. A store that was never paused is not.
func ReadDispatcher(tx Tx) (s DispatcherState, err error) {
	raw, err := tx.Get(DispatcherDocument)
	if errors.Is(err, ErrNotFound) || err == nil && len(raw) == 0 {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, Errorf(CodeConflict, "The state of the dispatcher in the store cannot be read.").
			WithHint("It was written by a newer chandler: start that version.").WithCause(err)
	}
	return s, nil
}

// WriteDispatcher writes the state.
func WriteDispatcher(tx Tx, s DispatcherState) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode the state of the dispatcher: %w", err)
	}
	return tx.Put(DispatcherDocument, raw)
}

// Usable refuses, with an *Error, a store that no broker may work on: it was moved, or its import has not ended.
func (s DispatcherState) Usable() error {
	switch {
	case s.Importing != "":
		return Errorf(CodeConflict, "An import into this store was not finished.").
			WithHint("Run chandler import again with the same file: it begins from scratch.")
	case s.Moved:
		return Errorf(CodeConflict, "This store was moved by a final export on %s; it lives on where the export was imported.", s.Since.UTC().Format(time.RFC3339)).
			WithHint("Start the broker that has the import. If there is none, import the file into an empty store.")
	}
	return nil
}

// refused is the answer to a request that would change something; nil while the dispatcher runs.
func (s DispatcherState) refused() error {
	if !s.Paused {
		return nil
	}
	e := Errorf(CodeOverloaded, "The operator has paused the broker; nothing was changed.").
		WithHint("Send the request again later.")
	if s.Moved {
		e = Errorf(CodeOverloaded, "This broker's store was moved elsewhere; nothing was changed.").
			WithHint("Send the request to the broker that has taken over.")
	}
	e.RetryAfter = pausedRetry
	return e
}

// pausedRetry is the Retry-After of what a paused broker refuses.
const pausedRetry = 30 * time.Second

// dispatcher follows the state in the store.
type dispatcher struct {
	b    *Broker
	wake chan struct{}

	mu   sync.Mutex
	last DispatcherState
}

func newDispatcher(b *Broker) *dispatcher { return &dispatcher{b: b, wake: make(chan struct{}, 1)} }

// state is the newest one that was seen here.
func (d *dispatcher) state() DispatcherState {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// see takes a state that was read; one that is older than the last one is passed
// over. Where the dispatcher goes on, everything is considered again.
func (d *dispatcher) see(s DispatcherState) {
	d.mu.Lock()
	before := d.last
	if s.Revision < before.Revision {
		d.mu.Unlock()
		return
	}
	d.last = s
	d.mu.Unlock()
	switch {
	case !before.Paused && s.Paused:
		d.b.cfg.Log.Warn("the dispatcher is paused: no operation starts", "why", s.Why, "by", s.By, "since", s.Since)
		d.changed("")
	case before.Paused && !s.Paused:
		d.b.cfg.Log.Info("the dispatcher goes on", "by", s.By)
		d.b.reconsider()
	}
}

// changed lets follow look at the store; it returns at once.
func (d *dispatcher) changed(document string) {
	if document != "" && document != DispatcherDocument {
		return
	}
	select {
	case d.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// follow looks at the store whenever the state may have changed, and tells there when
// this broker's last call of a pause has ended, until the broker closes.
func (d *dispatcher) follow() {
	defer d.b.wg.Done()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-d.b.ctx.Done():
			return
		case <-d.wake:
		case <-tick.C:
			if d.b.replica == nil && !d.state().Paused {
				continue // nobody else could pause it
			}
		}
		if err := d.look(); err != nil && d.b.ctx.Err() == nil {
			d.b.cfg.Log.Warn("the state of the dispatcher cannot be read or written; trying again", "error", err)
		}
	}
}

func (d *dispatcher) look() error {
	s, err := d.b.dispatcherState(d.b.ctx)
	if err != nil {
		return err
	}
	d.see(s)
	t := d.b.tenure()
	if !s.Paused || s.Moved || t == nil || slices.Contains(s.Quiet, t.holder) || !d.b.sched.quiet() {
		return nil
	}
	// No call can have begun since: every start reads the state in its own transaction.
	return d.b.changeDispatcher(d.b.ctx, func(now *DispatcherState) error {
		if now.Revision == s.Revision && !slices.Contains(now.Quiet, t.holder) {
			now.Quiet = append(now.Quiet, t.holder)
		}
		return nil
	})
}

// reconsider looks at all unfinished operations that this broker holds.
func (b *Broker) reconsider() {
	if r := b.replica; r != nil {
		r.wish.addAll()
		r.look()
		return
	}
	b.spawn(func() {
		for failures := 0; ; failures++ {
			var left []*Operation
			err := b.view(b.ctx, func(tx Tx) (err error) {
				left, err = tx.Unfinished("")
				return err
			})
			if err == nil {
				b.resume(left)
				return
			}
			b.cfg.Log.Error("the unfinished operations cannot be listed; trying again", "error", err)
			if !b.pause(b.ctx, b.backoff(failures)) {
				return
			}
		}
	})
}
