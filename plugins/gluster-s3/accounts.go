package main

import (
	"context"
	"crypto/rand"

	"github.com/chandler-broker/chandler/core/plugin"
)

// The values of bindInputs.Access.
const (
	accessReadOnly  = "read-only"
	accessReadWrite = "read-write"
)

// accounts is how bindings get keys. Every verb may be repeated at any time and then
// repairs what an earlier, interrupted one left. Errors are plugin errors.
type accounts interface {
	// isolated tells whether every binding gets keys of its own that open nothing else.
	isolated() bool
	// check tells at Configure whether accounts can be managed.
	check(ctx context.Context) error
	// grant makes fresh keys for a binding and ends all that calls with lower fences
	// made for it: exactly one pair lives afterwards.
	grant(ctx context.Context, g grantee, access string) (keys, error)
	// revoke ends all keys of a binding. The bucket is "" if it is gone or not ours.
	revoke(ctx context.Context, g grantee) error
	// forget ends all keys of an instance. buckets are those that are provably its own.
	forget(ctx context.Context, instanceID string, buckets []string) error
}

// grantee is whom keys are for.
type grantee struct {
	instanceID, bindingID string
	bucket                string
	fence                 int64
}

// owns tells whether a user was made for this binding, by a call whose fence is not
// higher than this one's.
func (g grantee) owns(n userName) bool {
	return n.Instance == instanceName(g.instanceID) && n.Binding == bindingName(g.bindingID) && n.Fence <= g.fence
}

// newAccounts chooses by the configuration.
func newAccounts(b *backend) accounts {
	switch b.config.Accounts {
	case accountsVersityGW:
		return newVersityAccounts(b)
	case accountsIAM:
		return newIAMAccounts(b)
	}
	return sharedAccounts{keys{b.config.AccessKeyID, b.config.SecretAccessKey}}
}

// newSecret makes a secret key of 40 characters [A-Z2-7], 200 bits.
func newSecret() string { return rand.Text() + rand.Text()[:14] }

// sharedAccounts hands out the gateway's account: it works everywhere and isolates nothing.
type sharedAccounts struct{ keys keys }

func (sharedAccounts) isolated() bool                                 { return false }
func (sharedAccounts) check(context.Context) error                    { return nil }
func (sharedAccounts) revoke(context.Context, grantee) error          { return nil }
func (sharedAccounts) forget(context.Context, string, []string) error { return nil }

func (s sharedAccounts) grant(_ context.Context, _ grantee, access string) (keys, error) {
	if access == accessReadOnly {
		return keys{}, plugin.InvalidInput("/access", "This backend hands out one shared account, which cannot be limited to reading.")
	}
	return s.keys, nil
}
