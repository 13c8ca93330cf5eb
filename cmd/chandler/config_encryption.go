package main

import (
	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// EncryptionConfig says how the store's secrets are encrypted.
type EncryptionConfig struct {
	// MasterKeys are base64 texts of 32 random bytes, from chandler keys create; best as
	// ${file:…} or ${env:…}. The first one wraps the keyset in the store; those behind it
	// can open one that an older master key wraps, while the master key is changed.
	MasterKeys []string `yaml:"masterKeys"`
	// Disabled leaves secrets in the store in the clear, on purpose.
	Disabled bool `yaml:"disabled"`
}

func (c EncryptionConfig) check(add func(format string, args ...any)) {
	if c.Disabled && len(c.MasterKeys) > 0 {
		add("encryption: masterKeys and disabled exclude each other")
	}
}

// errNoMasterKey keeps secrets from being stored in the clear by accident.
var errNoMasterKey = core.Errorf(core.CodeInvalid, "encryption.masterKeys is missing: the store's secrets would lie in the clear.").
	WithHint("Make a master key with chandler keys create FILE and set encryption: {masterKeys: [\"${file:FILE}\"]}; " +
		"or say encryption: {disabled: true}.")

// keyring makes the keyring of the master keys; nil where encryption is disabled.
func (c EncryptionConfig) keyring() (*store.Keyring, error) {
	switch {
	case c.Disabled:
		return nil, nil
	case len(c.MasterKeys) == 0:
		return nil, errNoMasterKey
	}
	var masters []store.MasterKey
	for _, text := range c.MasterKeys {
		key, err := store.ParseMasterKey(text)
		if err != nil {
			return nil, err
		}
		masters = append(masters, key)
	}
	return store.NewKeyring(masters...)
}
