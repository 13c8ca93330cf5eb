package core

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// ShortID is a name of 14 characters [a-z2-7], starting with "x", that is derived
// from id: for backends that take only short DNS labels. It hashes instead of
// cutting, since platforms' ids often begin alike; 65 bits of the hash remain.
func ShortID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "x" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:13]
}
