package main

import (
	"context"
	"slices"
	"sync"

	"github.com/chandler-broker/chandler/core/plugin"
)

// versityAccounts gives each binding a user of VersityGW, made through its admin API,
// and lets the bucket's policy say what the user may do.
//
// The gateway refuses a policy that names a user who does not exist. So a user is
// made before the policy names it and deleted after the policy has forgotten it, and
// names of users that were deleted by somebody else are dropped whenever a policy is
// written.
type versityAccounts struct {
	admin   *versityAdmin
	gateway gateway
	root    string // the access key of the buckets' owner
	locks   bucketLocks
}

func newVersityAccounts(b *backend) *versityAccounts {
	k := keys{b.config.AccessKeyID, b.config.SecretAccessKey}
	return &versityAccounts{
		admin:   newVersityAdmin(b.client, b.where.admin, b.config.Region, k),
		gateway: b.gateway,
		root:    k.id,
		locks:   bucketLocks{held: map[string]chan struct{}{}},
	}
}

func (v *versityAccounts) isolated() bool { return true }

func (v *versityAccounts) check(ctx context.Context) error {
	if _, err := v.admin.list(ctx); err != nil {
		return configProblem(err, "list the gateway's users", "/adminEndpoint")
	}
	return nil
}

func (v *versityAccounts) grant(ctx context.Context, g grantee, access string) (keys, error) {
	release, err := v.locks.hold(ctx, g.bucket)
	if err != nil {
		return keys{}, problem(err, "wait for the bucket's policy")
	}
	defer release()
	users, err := v.users(ctx)
	if err != nil {
		return keys{}, err
	}
	name := newUserName(g.instanceID, g.bindingID, g.fence)
	k := keys{name.String(), newSecret()}
	// The name is fresh: if it exists, then by this very request, whose answer was lost.
	if err := v.admin.create(ctx, k.id, k.secret); err != nil && reasonOf(err) != reasonExists {
		return keys{}, problem(err, "create a user for the binding")
	}
	users = append(users, k.id)
	old := func(n userName) bool { return g.owns(n) && n != name }
	err = v.edit(ctx, g.bucket, users, func(p *bucketPolicy) bool {
		dropped := p.keepPrincipals(false, not(old))
		return p.allow(k.id, g.bucket, access) || dropped
	})
	if err != nil {
		return keys{}, err
	}
	if err := v.deleteUsers(ctx, users, old); err != nil {
		return keys{}, err
	}
	return k, nil
}

func (v *versityAccounts) revoke(ctx context.Context, g grantee) error {
	var buckets []string
	if g.bucket != "" {
		buckets = []string{g.bucket}
	}
	return v.end(ctx, buckets, g.owns)
}

func (v *versityAccounts) forget(ctx context.Context, instanceID string, buckets []string) error {
	name := instanceName(instanceID)
	return v.end(ctx, buckets, func(n userName) bool { return n.Instance == name })
}

// end takes the rights of users away and then the users.
func (v *versityAccounts) end(ctx context.Context, buckets []string, gone func(userName) bool) error {
	for _, bucket := range buckets {
		if err := v.endIn(ctx, bucket, gone); err != nil {
			return err
		}
	}
	users, err := v.users(ctx)
	if err != nil {
		return err
	}
	return v.deleteUsers(ctx, users, gone)
}

func (v *versityAccounts) endIn(ctx context.Context, bucket string, gone func(userName) bool) error {
	release, err := v.locks.hold(ctx, bucket)
	if err != nil {
		return problem(err, "wait for the bucket's policy")
	}
	defer release()
	users, err := v.users(ctx)
	if err != nil {
		return err
	}
	return v.edit(ctx, bucket, users, func(p *bucketPolicy) bool { return p.keepPrincipals(false, not(gone)) })
}

// not keeps principals that are no users of ours, and users for whom gone says no.
func not(gone func(userName) bool) func(string) bool {
	return func(principal string) bool {
		n, ok := parseUserName(principal)
		return !ok || !gone(n)
	}
}

func (v *versityAccounts) users(ctx context.Context) ([]string, error) {
	users, err := v.admin.list(ctx)
	if err != nil {
		return nil, problem(err, "list the gateway's users")
	}
	return users, nil
}

func (v *versityAccounts) deleteUsers(ctx context.Context, users []string, gone func(userName) bool) error {
	for _, u := range users {
		if n, ok := parseUserName(u); !ok || !gone(n) {
			continue
		}
		if err := v.admin.delete(ctx, u); err != nil && reasonOf(err) != reasonAbsent {
			return problem(err, "delete user "+u)
		}
	}
	return nil
}

// edit changes a bucket's policy. change tells whether it changed anything; a bucket
// that does not exist has nothing to change. The caller holds the bucket's lock.
func (v *versityAccounts) edit(ctx context.Context, bucket string, users []string, change func(*bucketPolicy) bool) error {
	doc, err := v.gateway.policy(ctx, bucket)
	if reasonOf(err) == reasonAbsent {
		doc, err = "", nil
	}
	if err != nil {
		return problem(err, "read the policy of bucket "+bucket)
	}
	p, err := parsePolicy(doc)
	if err != nil {
		return plugin.Failed("The bucket's policy is not one that the broker can change.").WithCause(err)
	}
	exists := func(principal string) bool { return slices.Contains(users, principal) }
	dropped := p.keepPrincipals(false, exists)
	if !change(p) && !dropped {
		return nil
	}
	err = v.write(ctx, bucket, p)
	if reasonOf(err) != reasonMalformed {
		return policyProblem(err, bucket, p)
	}
	// Somebody's own statement names a user who is gone. It does nothing any more.
	p.keepPrincipals(true, func(principal string) bool {
		return principal == "*" || principal == v.root || exists(principal)
	})
	return policyProblem(v.write(ctx, bucket, p), bucket, p)
}

func (v *versityAccounts) write(ctx context.Context, bucket string, p *bucketPolicy) error {
	doc := p.String()
	if doc == "" {
		if err := v.gateway.deletePolicy(ctx, bucket); reasonOf(err) != reasonAbsent {
			return err
		}
		return nil
	}
	return v.gateway.setPolicy(ctx, bucket, doc)
}

// roomyPolicy is the size in bytes from which a failure may be one of space: ext4
// keeps at most 4 kB of attributes per file, and VersityGW says 500 then.
const roomyPolicy = 3000

func policyProblem(err error, bucket string, p *bucketPolicy) error {
	if err == nil {
		return nil
	}
	e := problem(err, "write the policy of bucket "+bucket)
	if size := len(p.String()); size > roomyPolicy {
		return e.WithDetail("the policy has %d bytes; a gateway on ext4 keeps less than 4096", size)
	}
	return e
}

// bucketLocks are locks by bucket: a policy is read, changed and written by one call at a time.
type bucketLocks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is released
}

// hold waits for the lock of a bucket, or gives ctx's error.
func (l *bucketLocks) hold(ctx context.Context, bucket string) (release func(), err error) {
	for {
		l.mu.Lock()
		busy, ok := l.held[bucket]
		if !ok {
			mine := make(chan struct{})
			l.held[bucket] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, bucket)
				l.mu.Unlock()
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
