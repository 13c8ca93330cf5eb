package plugin

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// seedSize is the size of a request's seed in bytes.
const seedSize = 32

// MaxSecret is the longest secret that a request derives, in characters.
const MaxSecret = 1024

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// deriveSecret expands seed by HKDF-SHA256 and keeps what falls into the alphabet.
// Name and length are part of HKDF's info, so that no secret is the beginning of another.
func deriveSecret(seed []byte, name string, length int) string {
	if length < 1 || length > MaxSecret {
		panic(fmt.Sprintf("plugin: secret %q: the length %d is not within 1 to %d", name, length, MaxSecret))
	}
	if len(seed) != seedSize {
		panic(fmt.Sprintf("plugin: secret %q: the request's seed has %d bytes, not %d", name, len(seed), seedSize))
	}
	secret := make([]byte, 0, length)
	for block := 0; len(secret) < length; block++ {
		info := fmt.Sprintf("chandler plugin secret\x00%s\x00%d\x00%d", name, length, block)
		stream, err := hkdf.Key(sha256.New, seed, nil, info, 2*length)
		if err != nil { // only for lengths over 255 hashes, which MaxSecret excludes
			panic(fmt.Sprintf("plugin: secret %q: %v", name, err))
		}
		secret = appendAlphabet(secret, stream, length)
	}
	return string(secret)
}

// appendAlphabet takes 6 bits of each byte and drops those over the alphabet's end:
// so every character is as likely as any other.
func appendAlphabet(secret, stream []byte, length int) []byte {
	for _, b := range stream {
		if i := int(b & 0x3f); i < len(alphabet) && len(secret) < length {
			secret = append(secret, alphabet[i])
		}
	}
	return secret
}
