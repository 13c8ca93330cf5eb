package main

import (
	"context"
	"errors"

	"github.com/chandler-broker/chandler/core"
)

// documents keeps plugin descriptions in the store, for the plugin host.
type documents struct{ store core.Store }

// Load implements pluginhost.DescriptionCache.
func (d documents) Load(backend string) ([]byte, error) {
	return get(context.Background(), d.store, "description/"+backend)
}

// Save implements pluginhost.DescriptionCache.
func (d documents) Save(backend string, description []byte) error {
	return put(context.Background(), d.store, "description/"+backend, description)
}

// get gives a small document of the store; nil if there is none.
func get(ctx context.Context, s core.Store, key string) (value []byte, err error) {
	err = s.View(ctx, func(tx core.Tx) error {
		value, err = tx.Get(key)
		return err
	})
	if errors.Is(err, core.ErrNotFound) {
		return nil, nil
	}
	return value, err
}

func put(ctx context.Context, s core.Store, key string, value []byte) error {
	return s.Update(ctx, func(tx core.Tx) error { return tx.Put(key, value) })
}
