package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chandler-broker/chandler/core"
)

// A replica that was frozen, or that has no lease yet, may have keys that are not the store's
// any more, and nobody waits for it before a key is removed. So every Update that seals
// checks in its own transaction that the keyring has loaded the stored keyset. The share
// of its lock keeps the keyset as it is until the transaction ends; so behind the commit
// that promotes a key nothing is sealed by the one before.

// sameKeyset fails, by a division by zero, if the stored keyset is another one than that of
// the digest. As an error it needs no answer, so the check goes with the next statement.
// Without a stored keyset there is nothing to compare.
const sameKeyset = `SELECT 1 / (1 - count(*)) FROM documents WHERE key = ? AND sha256(value) <> ? AND length(value) > 0`

// otherKeyset is the code of sameKeyset's failure; no other statement divides.
const otherKeyset = "22012"

// errKeyset ends an attempt that would seal with the keys of another keyset than the stored one.
var errKeyset = errors.New("store: the keyset in the store has changed")

// maxKeysets is how many changes of the keyset one Update follows.
const maxKeysets = 3

// checkKeyset lets the transaction fail if it seals with other keys than the store's.
// It comes before the first value is sealed: keys that are loaded later are newer.
func (t *tx) checkKeyset() error {
	ring, ok := t.cipher.(*Keyring)
	if !ok || t.checked || t.readOnly || t.s.serial() {
		return nil
	}
	digest := ring.digest()
	if digest == nil {
		return errNoKeyset
	}
	if err := t.share("document", core.KeysDocument); err != nil {
		return err
	}
	t.checked = true
	return t.post(sameKeyset, core.KeysDocument, digest)
}

// reloadKeyset loads the stored keyset for an attempt that ended with errKeyset. An error
// is core.CodeOverloaded: nothing has happened.
func (p *Postgres) reloadKeyset(ctx context.Context, pool *pgxpool.Pool) error {
	ring, ok := p.config.Cipher.(*Keyring)
	if !ok {
		return refused("seal", errKeyset)
	}
	var document []byte
	err := p.view(ctx, pool, func(t core.Tx) (err error) {
		document, err = t.Get(core.KeysDocument)
		return err
	})
	if err == nil {
		err = ring.Load(document)
	}
	if err != nil {
		return refused("load the keyset", err)
	}
	return nil
}
