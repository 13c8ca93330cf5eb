package main

import (
	"context"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// keysSettle is longer than any transaction of the lifecycle.
const keysSettle = 35 * time.Second

// openKeys loads or makes the keyset before anything reads or writes a secret.
func (a *app) openKeys(ctx context.Context) (err error) {
	config := core.KeysConfig{
		Store: a.store, Resealer: store.NewResealer(a.store, a.keyring), Leases: a.leases, Log: a.log,
		Broken: func(err error) { a.broken <- err },
		// A statement of a replica that froze runs to the database's own limit, and its transaction ends soon after.
		Settle: max(keysSettle, time.Duration(a.cfg.Store.Timeout)+keysSettle/2),
	}
	if a.keyring == nil {
		a.log.Warn("encryption is disabled: secrets are stored in the clear")
	} else {
		config.Keyring = a.keyring
	}
	a.keys, err = core.OpenKeys(ctx, config)
	return err
}
