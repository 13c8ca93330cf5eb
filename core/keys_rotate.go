package core

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// resealRows is how many rows one step of a rewrap looks at.
const resealRows = 500

// KeysProgress is one line of what a rotation does.
type KeysProgress struct {
	Text string `json:"text"`
	// Rows were looked at and Changed sealed again so far in this pass.
	Rows    int64 `json:"rows,omitempty"`
	Changed int64 `json:"changed,omitempty"`
}

// KeysStatus is the keyset as the store has it and who has confirmed it.
type KeysStatus struct {
	Keyset KeysetState
	// Replicas are the live ones; none where the store is for one process.
	Replicas []Replica
}

// Status describes the keyset. CodeConflict if the store is in the clear.
func (k *Keys) Status(ctx context.Context) (KeysStatus, error) {
	if k.cfg.Keyring == nil {
		return KeysStatus{}, errNoKeys
	}
	if err := k.reload(ctx); err != nil {
		return KeysStatus{}, err
	}
	replicas, err := k.replicas(ctx)
	return KeysStatus{Keyset: k.cfg.Keyring.State(), Replicas: replicas}, err
}

func (k *Keys) replicas(ctx context.Context) ([]Replica, error) {
	if k.cfg.Leases == nil {
		return nil, nil
	}
	list, err := k.cfg.Leases.Replicas(ctx)
	return list, storeError(err)
}

// Rotate replaces the data key while the broker serves: a new key is added, every
// replica confirms it, it seals from then on, everything is sealed again, the old key goes.
// A rotation that was interrupted goes on where it was. tell hears how far it is,
// from this goroutine. ctx may end it at any moment.
func (k *Keys) Rotate(ctx context.Context, by Caller, tell func(KeysProgress)) error {
	return k.alone(by, "keys rotate", func() error {
		if err := k.reload(ctx); err != nil {
			return err
		}
		if k.cfg.Keyring.State().Phase == KeysSteady {
			if err := k.change(ctx, KeyAdd); err != nil {
				return err
			}
			tell(KeysProgress{Text: "a new key was added"})
		}
		return k.finishRotation(ctx, tell)
	})
}

// Rewrap finishes what is unfinished: it encrypts what is in the clear from before the store
// was encrypted, and ends a rotation that was interrupted. Where nothing is unfinished it
// looks at every row and changes none.
func (k *Keys) Rewrap(ctx context.Context, by Caller, tell func(KeysProgress)) error {
	return k.alone(by, "keys rewrap", func() error {
		if err := k.reload(ctx); err != nil {
			return err
		}
		return k.finishRotation(ctx, tell)
	})
}

// RotateMaster lets the configuration's first master key wrap the keyset, alone. Every replica
// must know it, that is, be started with the new one and the old one, before the old one goes.
func (k *Keys) RotateMaster(ctx context.Context, by Caller, tell func(KeysProgress)) error {
	return k.alone(by, "keys rotate --master", func() error {
		if err := k.reload(ctx); err != nil {
			return err
		}
		state := k.cfg.Keyring.State()
		if len(state.Masters) == 1 && state.Masters[0] == state.Master {
			return Errorf(CodeConflict, "The keyset is wrapped by the configuration's first master key already (%s).", state.Master).
				WithHint("Make a new one with chandler keys create, put it first in encryption.masterKeys of every replica, keep the old one behind it, and restart them.")
		}
		if len(state.Masters) == 1 {
			if err := k.change(ctx, MasterAdd); err != nil {
				return err
			}
			tell(KeysProgress{Text: "the new master key " + state.Master + " wraps the keyset, too"})
		}
		if err := k.confirmed(ctx, tell); err != nil {
			return err
		}
		if err := k.change(ctx, MasterOnly); err != nil {
			return err
		}
		tell(KeysProgress{Text: "only the master key " + state.Master + " wraps the keyset now; take the old one out of the configuration"})
		return nil
	})
}

// alone runs one verb at a time in this process. Two replicas may run one side by
// side: every step is taken by compare-and-swap.
func (k *Keys) alone(by Caller, verb string, fn func() error) (err error) {
	if k.cfg.Keyring == nil {
		return errNoKeys
	}
	k.mu.Lock()
	taken := k.busy
	k.busy = true
	k.mu.Unlock()
	if taken {
		return Errorf(CodeConcurrency, "The keys are being changed already.").WithHint("Wait for it, or end it; it can be resumed.")
	}
	defer func() {
		k.mu.Lock()
		k.busy = false
		k.mu.Unlock()
		result := "done"
		if err != nil {
			result = string(CodeOf(err))
		}
		k.cfg.Audit.Info("audit", "event", "operator", "verb", verb, "user", by.User, "request_id", by.RequestID, "result", result)
	}()
	return fn()
}

// finishRotation brings the keyset to KeysSteady, with everything sealed by its key.
func (k *Keys) finishRotation(ctx context.Context, tell func(KeysProgress)) error {
	if k.cfg.Keyring.State().Phase == KeysAdded {
		if err := k.confirmed(ctx, tell); err != nil {
			return err
		}
		if err := k.change(ctx, KeyPromote); err != nil {
			return err
		}
		tell(KeysProgress{Text: "the new key seals from now on"})
	}
	// Whoever still sealed otherwise must be done before a pass can be the last one.
	if err := k.settled(ctx, tell); err != nil {
		return err
	}
	if err := k.rewrap(ctx, tell); err != nil {
		return err
	}
	switch state := k.cfg.Keyring.State(); {
	case state.Phase == KeysPromoted:
		if err := k.change(ctx, KeyRemove); err != nil {
			return err
		}
		tell(KeysProgress{Text: "the old key was removed"})
	case state.Unsealed:
		if err := k.change(ctx, KeysSealed); err != nil {
			return err
		}
		tell(KeysProgress{Text: "nothing is in the clear any more"})
	}
	return nil
}

// change takes one step by compare-and-swap on the document, and loads the result.
func (k *Keys) change(ctx context.Context, step KeyStep) error {
	before, err := k.document(ctx)
	if err != nil {
		return err
	}
	if before == nil {
		return errKeysetGone
	}
	after, err := k.cfg.Keyring.Change(before, step)
	if err != nil {
		return err
	}
	err = k.cfg.Store.Update(ctx, func(tx Tx) error {
		now, err := tx.Get(KeysDocument)
		if errors.Is(err, ErrNotFound) {
			return errKeysetGone
		}
		if err != nil {
			return err
		}
		if !bytes.Equal(now, before) {
			return Errorf(CodeConcurrency, "Another replica changes the keys.").WithHint("Wait for it, or begin again; it goes on where it was.")
		}
		return tx.Put(KeysDocument, after)
	})
	if err != nil {
		return storeError(err)
	}
	if err := k.cfg.Keyring.Load(after); err != nil {
		return err
	}
	k.cfg.Log.Info("the keyset was changed", "step", step, "revision", k.cfg.Keyring.State().Revision)
	if k.cfg.Leases != nil {
		k.cfg.Leases.Hint(Hint{Kind: HintDocument, ID: KeysDocument})
	}
	return nil
}

// confirmed waits until every live replica has loaded the present revision.
func (k *Keys) confirmed(ctx context.Context, tell func(KeysProgress)) error {
	told := ""
	for {
		revision := k.cfg.Keyring.State().Revision
		replicas, err := k.replicas(ctx)
		if err != nil {
			return err
		}
		var late []string
		for _, r := range replicas {
			if r.Keys < revision {
				late = append(late, r.Name)
			}
		}
		if len(late) == 0 {
			return nil
		}
		if text := fmt.Sprintf("waiting for %s to load revision %d", strings.Join(late, ", "), revision); text != told {
			tell(KeysProgress{Text: text})
			told = text
		}
		if err := k.wait(ctx, k.cfg.Poll/2); err != nil {
			return err
		}
	}
}

// settled waits until nobody can seal any more with what the present revision does not say: every
// live replica has confirmed it, and transactions of those that confirmed late or lost
// their lease have ended. Those of a store for one process end before an Update that comes behind them.
func (k *Keys) settled(ctx context.Context, tell func(KeysProgress)) error {
	if k.cfg.Leases == nil {
		return storeError(k.cfg.Store.Update(ctx, func(Tx) error { return nil }))
	}
	if err := k.confirmed(ctx, tell); err != nil {
		return err
	}
	tell(KeysProgress{Text: fmt.Sprintf("waiting %s for transactions that began before", k.cfg.Settle.Round(time.Second))})
	if err := k.wait(ctx, k.cfg.Settle); err != nil {
		return err
	}
	return k.confirmed(ctx, tell)
}

func (k *Keys) wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return Errorf(CodeCancelled, "The change of keys was interrupted; it goes on with the next chandler keys rewrap.").WithCause(ctx.Err())
	}
}

// rewrap passes over everything until a whole pass found nothing to do.
func (k *Keys) rewrap(ctx context.Context, tell func(KeysProgress)) error {
	for {
		var total ResealPage
		for first := true; first || total.Next != ""; first = false {
			page, err := k.cfg.Resealer.Reseal(ctx, total.Next, resealRows)
			if err != nil {
				if ctx.Err() != nil {
					return k.wait(ctx, 0)
				}
				return storeError(err)
			}
			total.Next = page.Next
			total.Rows, total.Changed, total.Missed = total.Rows+page.Rows, total.Changed+page.Changed, total.Missed+page.Missed
			tell(KeysProgress{Text: "rewrapping", Rows: total.Rows, Changed: total.Changed})
		}
		if total.Changed == 0 && total.Missed == 0 {
			return nil
		}
	}
}
