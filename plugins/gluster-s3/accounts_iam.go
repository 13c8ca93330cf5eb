package main

import (
	"context"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

// iamAccounts gives each binding an IAM user with an inline policy and one access key:
// AWS, and VersityGW's standalone IAM. Users of an instance share a path, so that all
// of them are found.
type iamAccounts struct{ iam iamCalls }

// iamPolicyName is the name of the inline policy.
const iamPolicyName = "chandler-bucket"

func newIAMAccounts(b *backend) iamAccounts {
	return iamAccounts{newIAMCalls(b.client, b.where.iam, keys{b.config.AccessKeyID, b.config.SecretAccessKey})}
}

func (iamAccounts) isolated() bool { return true }

func (a iamAccounts) check(ctx context.Context) error {
	if err := a.iam.mayList(ctx); err != nil {
		return configProblem(err, "list IAM users", "/iamEndpoint")
	}
	return nil
}

// iamPath is the path of an instance's users.
func iamPath(instanceID string) string { return "/chandler/" + instanceName(instanceID) + "/" }

func (a iamAccounts) grant(ctx context.Context, g grantee, access string) (keys, error) {
	users, err := a.users(ctx, g.instanceID)
	if err != nil {
		return keys{}, err
	}
	name := newUserName(g.instanceID, g.bindingID, g.fence)
	user := name.String()
	// The name is fresh: if it exists, then by this very request, whose answer was lost.
	err = a.iam.createUser(ctx, user, iamPath(g.instanceID), []tag{{"chandler-bucket", g.bucket}, {"chandler-binding", name.Binding}})
	if err != nil && reasonOf(err) != reasonExists {
		return keys{}, problem(err, "create an IAM user for the binding")
	}
	if err := a.iam.putPolicy(ctx, user, iamPolicyName, inlinePolicy(g.bucket, access)); err != nil {
		return keys{}, problem(err, "write the policy of IAM user "+user)
	}
	k, err := a.newKey(ctx, user)
	if err != nil {
		return keys{}, err
	}
	return k, a.deleteUsers(ctx, users, g.owns)
}

// newKey makes the user's one access key. It is sent once: if its answer is lost, so
// is the secret, and the next call makes another user.
func (a iamAccounts) newKey(ctx context.Context, user string) (keys, error) {
	made, err := a.iam.createKey(ctx, user)
	if err != nil {
		return keys{}, problem(err, "create an access key for IAM user "+user)
	}
	if made == nil {
		return keys{}, plugin.Failed("The gateway made no access key.")
	}
	return *made, nil
}

func (a iamAccounts) revoke(ctx context.Context, g grantee) error {
	users, err := a.users(ctx, g.instanceID)
	if err != nil {
		return err
	}
	return a.deleteUsers(ctx, users, g.owns)
}

func (a iamAccounts) forget(ctx context.Context, instanceID string, _ []string) error {
	users, err := a.users(ctx, instanceID)
	if err != nil {
		return err
	}
	return a.deleteUsers(ctx, users, func(userName) bool { return true })
}

// users are the names of all users of an instance.
func (a iamAccounts) users(ctx context.Context, instanceID string) ([]string, error) {
	names, err := a.iam.users(ctx, iamPath(instanceID))
	if err != nil {
		return nil, problem(err, "list the IAM users of the instance")
	}
	return names, nil
}

func (a iamAccounts) deleteUsers(ctx context.Context, users []string, gone func(userName) bool) error {
	for _, u := range users {
		if n, ok := parseUserName(u); !ok || !gone(n) {
			continue
		}
		if err := a.deleteUser(ctx, u); err != nil {
			return problem(err, "delete IAM user "+u)
		}
	}
	return nil
}

// deleteUser removes keys, policies and the user, in this order: the keys are what
// must be dead first, and IAM deletes no user that has any of them. What is gone
// already is no error.
func (a iamAccounts) deleteUser(ctx context.Context, user string) error {
	const tries = 5
	wait := 50 * time.Millisecond
	for try := 1; ; try++ {
		err := a.deleteUserOnce(ctx, user)
		// On AWS a deletion takes a moment to be known everywhere (409 DeleteConflict).
		if r := reasonOf(err); r == reasonAbsent {
			return nil
		} else if r != reasonBusy || try == tries || pause(ctx, wait) != nil {
			return err
		}
		wait *= 2
	}
}

func (a iamAccounts) deleteUserOnce(ctx context.Context, user string) error {
	ids, err := a.iam.keys(ctx, user)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := a.iam.deleteKey(ctx, user, id); err != nil && reasonOf(err) != reasonAbsent {
			return err
		}
	}
	policies, err := a.iam.policies(ctx, user)
	if err != nil {
		return err
	}
	for _, name := range policies {
		if err := a.iam.deletePolicy(ctx, user, name); err != nil && reasonOf(err) != reasonAbsent {
			return err
		}
	}
	return a.iam.deleteUser(ctx, user)
}
