package core

import (
	"context"
	"time"
)

// Changed tells that another replica has changed a document; "" stands for any. It returns at once.
func (k *Keys) Changed(document string) {
	if document != "" && document != KeysDocument {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// watch reloads the keyset whenever another replica may have changed it.
func (k *Keys) watch(ctx context.Context) {
	defer close(k.done)
	tick := time.NewTicker(k.cfg.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.wake:
		}
		err := k.reload(ctx)
		if broken := refusal(err); broken != nil && ctx.Err() == nil {
			k.cfg.Log.Error("the store's keyset cannot be used any more", "error", broken)
			k.cfg.Broken(broken)
			return
		}
	}
}

// reload loads the document if it changed. Its error is a refusal if this process
// cannot work on the store any more.
func (k *Keys) reload(ctx context.Context) error {
	document, err := k.document(ctx)
	switch {
	case err != nil:
		return err
	case document == nil && k.cfg.Keyring == nil:
		return nil
	case document == nil:
		return errKeysetGone
	case k.cfg.Keyring == nil:
		return errKeysetAppeared
	}
	before := k.cfg.Keyring.State().Revision
	if err := k.cfg.Keyring.Load(document); err != nil {
		return err
	}
	if after := k.cfg.Keyring.State(); after.Revision != before {
		k.cfg.Log.Info("the keyset was reloaded", "revision", after.Revision, "phase", after.Phase)
	}
	return nil
}
