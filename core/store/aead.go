package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/chandler-broker/chandler/core"
)

// Keyring is the Cipher of an encrypted store: Tink's AEAD with the keys of the
// store's keyset. The associated data of a value are its table, row id and column.
// Before a keyset is loaded, nothing can be sealed or opened.
type Keyring struct {
	masters []MasterKey // the first one wraps; all unwrap

	mu     sync.Mutex // serialises Load
	loaded atomic.Pointer[loadedKeys]
}

var (
	_ Cipher       = (*Keyring)(nil)
	_ core.Keyring = (*Keyring)(nil)
)

// loadedKeys is an unwrapped keyset; it never changes.
type loadedKeys struct {
	state   core.KeysetState
	header  keysHeader
	digest  [sha256.Size]byte // of the document
	aead    tink.AEAD
	primary uint32
	ids     map[uint32]bool
}

// NewKeyring makes the keyring of the master keys, of which there is at least one. The
// first wraps the keyset from the next change of the master key on.
func NewKeyring(masters ...MasterKey) (*Keyring, error) {
	seen := map[string]bool{}
	for _, m := range masters {
		if m.aead == nil || seen[m.id] {
			return nil, core.Errorf(core.CodeInvalid, "A master key is there twice, or empty.")
		}
		seen[m.id] = true
	}
	if len(masters) == 0 {
		return nil, core.Errorf(core.CodeInvalid, "There is no master key.")
	}
	return &Keyring{masters: masters}, nil
}

// Load implements core.Keyring.
func (k *Keyring) Load(document []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	d, err := decodeKeys(document)
	if err != nil {
		return err
	}
	if now := k.loaded.Load(); now != nil && d.Revision < now.header.Revision {
		return nil
	}
	handle, err := d.unwrap(k.masters)
	if err != nil {
		return err
	}
	l, err := k.read(d, handle)
	if err != nil {
		return err
	}
	l.digest = sha256.Sum256(document)
	k.loaded.Store(l)
	return nil
}

func (k *Keyring) read(d keysDocument, handle *keyset.Handle) (*loadedKeys, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, unreadableKeys(err)
	}
	l := &loadedKeys{header: d.keysHeader, aead: primitive, ids: map[uint32]bool{}}
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, unreadableKeys(err)
		}
		l.ids[entry.KeyID()] = true
		if entry.IsPrimary() {
			l.primary = entry.KeyID()
		}
	}
	l.state = core.KeysetState{Revision: d.Revision, Phase: d.Phase, Primary: fmt.Sprintf("%08x", l.primary), Keys: handle.Len(),
		Unsealed: d.Unsealed, Masters: d.masters(), Master: k.masters[0].id}
	known := false
	for _, m := range k.masters {
		known = known || m.id == d.Master
	}
	if !known { // soon it will not be able to load the keyset any more: that is no confirmation
		l.state.Revision--
	}
	return l, nil
}

// State implements core.Keyring.
func (k *Keyring) State() core.KeysetState {
	if l := k.loaded.Load(); l != nil {
		return l.state
	}
	return core.KeysetState{Master: k.masters[0].id}
}

// digest is that of the loaded document; nil before one is loaded.
func (k *Keyring) digest() []byte {
	if l := k.loaded.Load(); l != nil {
		return l.digest[:]
	}
	return nil
}

var (
	errNoKeyset = errors.New("the keyset is not loaded")
	errUnsealed = errors.New("the value is not encrypted by a key of the keyset")
)

// Seal implements Cipher.
func (k *Keyring) Seal(table, rowID, column string, plain []byte) ([]byte, error) {
	l := k.loaded.Load()
	if l == nil {
		return nil, errNoKeyset
	}
	return l.aead.Encrypt(plain, place(table, rowID, column))
}

// Open implements Cipher. A value that no key of the keyset can have sealed opens as it
// is while the keyset says that values may be in the clear, and never otherwise.
func (k *Keyring) Open(table, rowID, column string, sealed []byte) ([]byte, error) {
	l := k.loaded.Load()
	if l == nil {
		return nil, errNoKeyset
	}
	id, ok := keyID(sealed)
	if !ok || !l.ids[id] {
		if l.state.Unsealed {
			return sealed, nil
		}
		return nil, errUnsealed
	}
	return l.aead.Decrypt(sealed, place(table, rowID, column))
}

// stale tells whether a stored value must be sealed again.
func (k *Keyring) stale(sealed []byte) bool {
	l := k.loaded.Load()
	id, ok := keyID(sealed)
	return l != nil && (!ok || id != l.primary)
}

// place is the associated data: unambiguous, since each part stands behind its length.
func place(table, row, column string) []byte { return []byte(rowID(table, row, column)) }

// keyID reads the key's id from Tink's output prefix: a one and four bytes.
func keyID(sealed []byte) (id uint32, ok bool) {
	const prefix = 5
	if len(sealed) < prefix || sealed[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:prefix]), true
}
