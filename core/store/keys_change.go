package store

import (
	"fmt"
	"slices"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/chandler-broker/chandler/core"
)

// dataKey makes data keys: XAES-256-GCM, whose 192-bit random nonces allow any
// number of values per key (plain GCM ends at 2^32, which a busy broker reaches).
var dataKey = aead.XAES256GCM192BitNonceKeyTemplate()

// Create implements core.Keyring.
func (k *Keyring) Create(unsealed bool) ([]byte, error) {
	handle, err := keyset.NewHandle(dataKey)
	if err != nil {
		return nil, fmt.Errorf("make a data key: %w", err)
	}
	header := keysHeader{Format: keysFormat, Revision: 1, Phase: core.KeysSteady, Unsealed: unsealed, Master: k.masters[0].id}
	return wrapKeys(header, handle, k.masters[0])
}

// Change implements core.Keyring.
func (k *Keyring) Change(document []byte, step core.KeyStep) ([]byte, error) {
	d, err := decodeKeys(document)
	if err != nil {
		return nil, err
	}
	handle, err := d.unwrap(k.masters)
	if err != nil {
		return nil, err
	}
	header := d.keysHeader
	header.Revision++
	if step == core.MasterAdd || step == core.MasterOnly {
		return k.changeMaster(d, header, handle, step)
	}
	// A copy for a master key that this process does not know could not be kept.
	if len(d.Wrapped) != 1 {
		return nil, core.Errorf(core.CodeConflict, "A change of the master key is not finished.").
			WithHint("Finish it first: chandler keys rotate --master.")
	}
	if handle, err = changeData(&header, handle, step); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(k.masters, func(m MasterKey) bool { return m.id == d.Master })
	if i < 0 { // the header is proven, so some master key has this id
		return nil, unreadableKeys(fmt.Errorf("its master key is %s", d.Master))
	}
	return wrapKeys(header, handle, k.masters[i])
}

func (k *Keyring) changeMaster(d keysDocument, header keysHeader, handle *keyset.Handle, step core.KeyStep) ([]byte, error) {
	first := k.masters[0]
	if step == core.MasterOnly {
		if d.Master != first.id {
			return nil, core.Errorf(core.CodeConflict, "The master key that is to stay is %s; the first configured one is %s.", d.Master, first.id).
				WithHint("Put it first in encryption.masterKeys.")
		}
		return wrapKeys(header, handle, first)
	}
	wrap := []MasterKey{first}
	for _, id := range d.masters() {
		i := slices.IndexFunc(k.masters, func(m MasterKey) bool { return m.id == id })
		if i < 0 {
			return nil, core.Errorf(core.CodeConflict, "The keyset is wrapped by the master key %s, too, which is not configured.", id).
				WithHint("Keep the old master key behind the new one in encryption.masterKeys until the change is done.")
		}
		if k.masters[i].id != first.id {
			wrap = append(wrap, k.masters[i])
		}
	}
	header.Master = first.id
	return wrapKeys(header, handle, wrap...)
}

// changeData takes a step of the data keys.
func changeData(header *keysHeader, handle *keyset.Handle, step core.KeyStep) (*keyset.Handle, error) {
	from := map[core.KeyStep]core.KeysPhase{core.KeyAdd: core.KeysSteady, core.KeyPromote: core.KeysAdded,
		core.KeyRemove: core.KeysPromoted, core.KeysSealed: core.KeysSteady}
	if phase, ok := from[step]; !ok || phase != header.Phase {
		return nil, core.Errorf(core.CodeConflict, "The step %q cannot come while the keyset is in the phase %q.", step, header.Phase).
			WithHint("Another replica changes the keys; look with chandler keys status.")
	}
	m := keyset.NewManagerFromHandle(handle)
	var err error
	switch step {
	case core.KeyAdd:
		header.Phase = core.KeysAdded
		_, err = m.Add(dataKey)
	case core.KeyPromote:
		header.Phase = core.KeysPromoted
		err = promoteNewest(m, handle)
	case core.KeyRemove:
		header.Phase, header.Unsealed = core.KeysSteady, false
		err = removeOthers(m, handle)
	case core.KeysSealed:
		header.Unsealed = false
	}
	if err != nil {
		return nil, fmt.Errorf("change the keyset (%s): %w", step, err)
	}
	return m.Handle()
}

// promoteNewest makes the last key of the keyset the primary one.
func promoteNewest(m *keyset.Manager, handle *keyset.Handle) error {
	newest, err := handle.Entry(handle.Len() - 1)
	if err != nil {
		return err
	}
	return m.SetPrimary(newest.KeyID())
}

// removeOthers leaves the primary key alone.
func removeOthers(m *keyset.Manager, handle *keyset.Handle) error {
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return err
		}
		if entry.IsPrimary() {
			continue
		}
		if err := m.Delete(entry.KeyID()); err != nil {
			return err
		}
	}
	return nil
}
