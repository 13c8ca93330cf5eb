package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/chandler-broker/chandler/core"
)

// masterKeySize is the length of a master key in bytes.
const masterKeySize = 32

// MasterKey wraps the keyset of a store. It is 32 random bytes, kept outside of the
// store, and shows nothing of itself when it is printed.
type MasterKey struct {
	id   string // the first 8 bytes of a digest, hexadecimal
	aead tink.AEAD
}

// NewMasterKey makes the text of a master key out of random bytes: base64 and a line break.
func NewMasterKey(random io.Reader) (string, error) {
	key := make([]byte, masterKeySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return "", fmt.Errorf("make a master key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(key) + "\n", nil
}

// ParseMasterKey reads what NewMasterKey made; white space around it does not matter.
// The error says what is wrong with its form, and nothing of its content.
func ParseMasterKey(text string) (MasterKey, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil {
		return MasterKey{}, core.Errorf(core.CodeInvalid, "A master key is not in base64.").
			WithHint("chandler keys create makes a good one.")
	}
	if len(key) != masterKeySize {
		return MasterKey{}, core.Errorf(core.CodeInvalid, "A master key has %d bytes; want %d, in base64.", len(key), masterKeySize).
			WithHint("chandler keys create makes a good one.")
	}
	aead, err := subtle.NewAESGCM(key)
	if err != nil {
		return MasterKey{}, fmt.Errorf("use a master key: %w", err)
	}
	sum := sha256.Sum256(append([]byte("chandler master key id\x00"), key...))
	return MasterKey{id: hex.EncodeToString(sum[:8]), aead: aead}, nil
}

// ID names the key in logs and in the keyset; the key cannot be found from it.
func (m MasterKey) ID() string { return m.id }

// String gives the id, so that a key that is printed by mistake stays secret.
func (m MasterKey) String() string { return "master key " + m.id }

// GoString is String for %#v.
func (m MasterKey) GoString() string { return m.String() }
