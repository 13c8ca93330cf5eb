package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/chandler-broker/chandler/core"
)

// keysFormat is the version of the document's form.
const keysFormat = 1

// keysHeader is what the document says about the keyset. It is the associated data
// of every wrapped copy, so that nobody without a master key can change it: not even
// to claim that values may be in the clear.
type keysHeader struct {
	Format   int            `json:"format"`
	Revision int64          `json:"revision"`
	Phase    core.KeysPhase `json:"phase"`
	Unsealed bool           `json:"unsealed"`
	Master   string         `json:"master"` // id of the master key that is to stay
}

// keysDocument is how a keyset is stored.
type keysDocument struct {
	keysHeader
	// Wrapped are copies of the keyset (Tink's EncryptedKeyset) by the id of the master key that wraps them.
	Wrapped map[string][]byte `json:"wrapped"`
}

// maxKeysDocument bounds what is decoded, in bytes.
const maxKeysDocument = 1 << 20

// decodeKeys reads a document's form. What it says is not proven before unwrap.
func decodeKeys(raw []byte) (keysDocument, error) {
	var d keysDocument
	if len(raw) > maxKeysDocument {
		return d, unreadableKeys(errors.New("it is longer than 1 MiB"))
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return d, unreadableKeys(err)
	}
	if d.Format != keysFormat {
		return d, unreadableKeys(fmt.Errorf("its format is %d; this program knows %d", d.Format, keysFormat))
	}
	if d.Revision < 1 || len(d.Wrapped) == 0 {
		return d, unreadableKeys(errors.New("it is not complete"))
	}
	switch d.Phase {
	case core.KeysSteady, core.KeysAdded, core.KeysPromoted:
		return d, nil
	}
	return d, unreadableKeys(fmt.Errorf("the phase %q is unknown", d.Phase))
}

func unreadableKeys(err error) error {
	return core.Errorf(core.CodeConflict, "The keyset in the store cannot be read.").
		WithHint("It is damaged, or of a newer chandler: restore the store from a backup, or start the newer version.").WithCause(err)
}

// unwrap opens the keyset with whichever master key fits.
func (d keysDocument) unwrap(masters []MasterKey) (*keyset.Handle, error) {
	associated, err := json.Marshal(d.keysHeader)
	if err != nil {
		return nil, err
	}
	for _, m := range masters {
		copied, ok := d.Wrapped[m.id]
		if !ok {
			continue
		}
		handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(copied)), m.aead, associated)
		if err != nil {
			return nil, unreadableKeys(err)
		}
		return handle, nil
	}
	var configured []string
	for _, m := range masters {
		configured = append(configured, m.id)
	}
	return nil, core.Errorf(core.CodeConflict, "The store's keyset is wrapped by the master key %s; configured is %s.", d.masters(), configured).
		WithHint("Configure encryption.masterKeys with the master key of this store; without it, its secrets are lost.")
}

// masters are the ids of the master keys that wrap the keyset, in order.
func (d keysDocument) masters() []string { return slices.Sorted(maps.Keys(d.Wrapped)) }

// wrapKeys makes a document.
func wrapKeys(header keysHeader, handle *keyset.Handle, masters ...MasterKey) ([]byte, error) {
	associated, err := json.Marshal(header)
	if err != nil {
		return nil, err
	}
	d := keysDocument{keysHeader: header, Wrapped: map[string][]byte{}}
	for _, m := range masters {
		var buf bytes.Buffer
		if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&buf), m.aead, associated); err != nil {
			return nil, fmt.Errorf("wrap the keyset: %w", err)
		}
		d.Wrapped[m.id] = buf.Bytes()
	}
	return json.Marshal(d)
}
