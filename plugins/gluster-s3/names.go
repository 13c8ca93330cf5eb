package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
)

// Names at the gateway derive from hashes of ids, since ids may hold any character
// and be of any length. All are of [A-Z2-7], of fixed widths, so that they can be
// taken apart again.
const (
	instanceNameLength = 16 // 80 bits
	bindingNameLength  = 10 // 50 bits, within one instance
	nonceLength        = 6
	userPrefix         = "CH"
)

// hashName is the first length characters of the hash of id, in base32.
func hashName(id string, length int) string {
	sum := sha256.Sum256([]byte(id))
	return base32.StdEncoding.EncodeToString(sum[:])[:length]
}

// instanceName stands for an instance at the gateway: in marks and users' names.
func instanceName(instanceID string) string { return hashName(instanceID, instanceNameLength) }

// bindingName stands for a binding within its instance.
func bindingName(bindingID string) string { return hashName(bindingID, bindingNameLength) }

// userName is a user at the gateway, made for one call of one binding.
type userName struct {
	Instance string // instanceName
	Binding  string // bindingName
	// Fence is that of the call that made the user.
	Fence int64
	// Nonce makes the name fresh even if fences began anew (a store that was lost):
	// a gateway gives a user of an old name the rights that were left for that name.
	Nonce string
}

// newUserName makes a fresh name.
func newUserName(instanceID, bindingID string, fence int64) userName {
	return userName{
		Instance: instanceName(instanceID),
		Binding:  bindingName(bindingID),
		Fence:    fence,
		Nonce:    rand.Text()[:nonceLength],
	}
}

// String is the name as the gateway knows it: at most 47 characters of [A-Z0-9].
func (n userName) String() string {
	return userPrefix + n.Instance + n.Binding + n.Nonce + strings.ToUpper(strconv.FormatInt(n.Fence, 36))
}

// parseUserName takes a name apart; ok is false for names that are not of this plugin's making.
func parseUserName(s string) (n userName, ok bool) {
	rest, ok := strings.CutPrefix(s, userPrefix)
	const fixed = instanceNameLength + bindingNameLength + nonceLength
	if !ok || len(rest) <= fixed {
		return n, false
	}
	for _, r := range rest[:fixed] {
		if (r < 'A' || r > 'Z') && (r < '2' || r > '7') {
			return n, false
		}
	}
	fence, err := strconv.ParseInt(rest[fixed:], 36, 64)
	if err != nil || fence < 0 || strings.ToUpper(rest) != rest {
		return n, false
	}
	return userName{
		Instance: rest[:instanceNameLength],
		Binding:  rest[instanceNameLength : instanceNameLength+bindingNameLength],
		Nonce:    rest[fixed-nonceLength : fixed],
		Fence:    fence,
	}, true
}
