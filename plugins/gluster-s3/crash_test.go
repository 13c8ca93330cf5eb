//lint:file-ignore SA1019 the project uses version 1 of the SDK on purpose (CONTRIBUTING.md)

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/service/iam"

	"github.com/chandler-broker/chandler/core/plugin"
)

// wired is a gateway with a wire in front of all its APIs.
type wired struct {
	gateway *testGateway
	wire    *wire
	config  config
}

func startWired(t *testing.T, accounts string, args ...string) wired {
	t.Helper()
	w := wired{gateway: startGateway(t, args...), wire: &wire{}}
	w.config = w.gateway.config(t, accounts)
	w.config.Endpoint = w.wire.put(t, w.gateway.Endpoint)
	if w.gateway.AdminEndpoint != "" {
		w.config.AdminEndpoint = w.wire.put(t, w.gateway.AdminEndpoint)
	}
	if w.gateway.IAMEndpoint != "" {
		w.config.IAMEndpoint = w.wire.put(t, w.gateway.IAMEndpoint)
	}
	return w
}

// driver is the plugin's way to accounts, past the wire.
func (w wired) driver(t *testing.T) accounts {
	t.Helper()
	b := newBackend(w.gateway.config(t, w.config.Accounts), location{
		endpoint: w.gateway.Endpoint, admin: w.gateway.AdminEndpoint, iam: w.gateway.IAMEndpoint,
	})
	t.Cleanup(b.client.CloseIdleConnections)
	return b.accounts
}

// users are the names of all users at the gateway.
func (w wired) users(t *testing.T) []string {
	t.Helper()
	var names []string
	var err error
	switch a := w.driver(t).(type) {
	case *versityAccounts:
		names, err = a.admin.list(context.Background())
	case iamAccounts:
		var out *iam.ListUsersOutput
		out, err = a.iam.api.ListUsers(&iam.ListUsersInput{})
		for _, u := range out.Users {
			names = append(names, *u.UserName)
		}
	}
	must(t, err)
	return names
}

// checkOneKey makes sure that every IAM user has one access key.
func (w wired) checkOneKey(t *testing.T) {
	t.Helper()
	a, ok := w.driver(t).(iamAccounts)
	if !ok {
		return
	}
	for _, u := range w.users(t) {
		k, err := a.iam.api.ListAccessKeys(&iam.ListAccessKeysInput{UserName: &u})
		must(t, err)
		if n := len(k.AccessKeyMetadata); n != 1 {
			t.Errorf("IAM user %s has %d access keys", u, n)
		}
	}
}

// killedCall makes one call of a verb in a plugin that is killed when the wire is
// cut; err is nil if the call ended before.
func (w wired) killedCall(t *testing.T, cut int, afterwards bool, call func(ctx context.Context, p *glusterS3) error) (killed bool, err error) {
	t.Helper()
	w.wire.reset(0, false, nil)
	p := configure(t, w.config)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.wire.reset(cut, afterwards, cancel)
	err = call(ctx, p)
	killed = w.wire.wasCut()
	w.wire.reset(0, false, nil)
	return killed, err
}

var bothAccounts = []struct {
	name, accounts string
	args           []string
}{
	{"admin API", accountsVersityGW, nil},
	{"IAM", accountsIAM, []string{"-iam", "standalone"}},
}

// forEachCut runs a test for every request that a verb sends, killed before the
// request arrives and after it was served. test tells whether the line was cut; when it
// was not, the verb has no more requests.
func forEachCut(t *testing.T, test func(t *testing.T, cut int, afterwards bool) (killed bool)) {
	for _, afterwards := range []bool{false, true} {
		for cut := 1; ; cut++ {
			killed := true
			t.Run(fmt.Sprintf("request %d, served %v", cut, afterwards), func(t *testing.T) { killed = test(t, cut, afterwards) })
			if !killed || t.Failed() {
				if cut < 3 {
					t.Errorf("only %d requests were cut", cut-1)
				}
				break
			}
			if cut > 100 {
				t.Fatal("it never ends")
			}
		}
	}
}

// TestProvisionKilled: a broker that is killed at any request of a provision, in
// either of its calls, and goes on with what it had stored, ends with one bucket that
// it knows to be its own, and can purge it.
func TestProvisionKilled(t *testing.T) {
	w := startWired(t, accountsVersityGW)
	root := rootOf(t, w.gateway)
	in := map[string]any{"bucket": "photos", "versioning": true, "onDelete": "purge", "tags": map[string]string{"a": "b"}}
	forEachCut(t, func(t *testing.T, cut int, afterwards bool) bool {
		i := newInstance("killed")
		killed, _ := w.killedCall(t, cut, afterwards, func(ctx context.Context, p *glusterS3) error {
			for {
				r, err := p.Provision(ctx, i.request(in))
				if err != nil || !r.IsPending() {
					return err
				}
				i.handle = r.Handle()
			}
		})
		p := configure(t, w.config)
		must(t, i.provision(t, p, in))
		if got := bucketNames(t, root); !slices.Equal(got, []string{"photos"}) {
			t.Errorf("buckets: %q", got)
		}
		if _, err := i.deprovision(t, p, in); err != nil || len(bucketNames(t, root)) > 0 {
			t.Errorf("deprovision: %v, buckets %q", err, bucketNames(t, root))
		}
		return killed
	})
}

// TestProvisionKilledThenDeleted: the same kill, and then the platform cleans up
// instead of going on: nothing is left.
func TestProvisionKilledThenDeleted(t *testing.T) {
	w := startWired(t, accountsVersityGW)
	root := rootOf(t, w.gateway)
	in := map[string]any{"bucket": "photos", "onDelete": "refuse"}
	forEachCut(t, func(t *testing.T, cut int, afterwards bool) bool {
		i := newInstance("killed")
		killed, _ := w.killedCall(t, cut, afterwards, func(ctx context.Context, p *glusterS3) error {
			for {
				r, err := p.Provision(ctx, i.request(in))
				if err != nil || !r.IsPending() {
					return err
				}
				i.handle = r.Handle()
			}
		})
		i.giveUp("provision", in)
		if _, err := i.deprovision(t, configure(t, w.config), in); err != nil || len(bucketNames(t, root)) > 0 {
			t.Errorf("deprovision: %v, buckets %q", err, bucketNames(t, root))
		}
		return killed
	})
}

// TestBindKilled: killed at any request of a bind and repeated, one pair of keys is
// alive, and no user or grant of the killed call is left.
func TestBindKilled(t *testing.T) {
	for _, c := range bothAccounts {
		t.Run(c.name, func(t *testing.T) {
			w := startWired(t, c.accounts, c.args...)
			i := newInstance("i")
			must(t, i.provision(t, configure(t, w.config), map[string]any{"bucket": "photos"}))
			_, err := i.bind(t, configure(t, w.config), "other", accessReadOnly)
			must(t, err)
			forEachCut(t, func(t *testing.T, cut int, afterwards bool) bool {
				killed, _ := w.killedCall(t, cut, afterwards, func(ctx context.Context, p *glusterS3) error {
					_, err := p.Bind(ctx, i.bindRequest("b", map[string]any{"access": accessReadWrite}))
					return err
				})
				p := configure(t, w.config)
				out, err := i.bind(t, p, "b", accessReadWrite)
				must(t, err)
				if users := w.users(t); len(users) != 2 {
					t.Errorf("users after the repeat: %q", users)
				}
				w.checkOneKey(t)
				putObject(t, clientOf(t, w.gateway, keys{out.AccessKeyID, out.SecretAccessKey}), "photos", "x", "y")
				checkPolicy(t, w, "photos", w.users(t))
				must(t, i.unbind(t, p, "b"))
				if users := w.users(t); len(users) != 1 {
					t.Errorf("users after unbind: %q", users)
				}
				return killed
			})
		})
	}
}

// TestBindKilledThenUnbound: killed at any request of a bind, then the platform takes
// the binding back, or the whole instance: nothing is left of the killed call.
func TestBindKilledThenUnbound(t *testing.T) {
	for _, c := range bothAccounts {
		t.Run(c.name, func(t *testing.T) {
			w := startWired(t, c.accounts, c.args...)
			i := newInstance("i")
			must(t, i.provision(t, configure(t, w.config), map[string]any{"bucket": "photos"}))
			forEachCut(t, func(t *testing.T, cut int, afterwards bool) bool {
				killed, _ := w.killedCall(t, cut, afterwards, func(ctx context.Context, p *glusterS3) error {
					_, err := p.Bind(ctx, i.bindRequest("b", nil))
					return err
				})
				must(t, i.unbind(t, configure(t, w.config), "b"))
				if users := w.users(t); len(users) != 0 {
					t.Errorf("users after unbind: %q", users)
				}
				checkPolicy(t, w, "photos", nil)
				return killed
			})
		})
	}
}

// TestUnbindKilled: killed at any request of an unbind and repeated, the keys and
// everything about them are gone.
func TestUnbindKilled(t *testing.T) {
	for _, c := range bothAccounts {
		t.Run(c.name, func(t *testing.T) {
			w := startWired(t, c.accounts, c.args...)
			i := newInstance("i")
			must(t, i.provision(t, configure(t, w.config), map[string]any{"bucket": "photos"}))
			forEachCut(t, func(t *testing.T, cut int, afterwards bool) bool {
				_, err := i.bind(t, configure(t, w.config), "b", accessReadWrite)
				must(t, err)
				killed, _ := w.killedCall(t, cut, afterwards, func(ctx context.Context, p *glusterS3) error {
					_, err := p.Unbind(ctx, i.bindRequest("b", nil))
					return err
				})
				must(t, i.unbind(t, configure(t, w.config), "b"))
				if users := w.users(t); len(users) != 0 {
					t.Errorf("users after unbind: %q", users)
				}
				checkPolicy(t, w, "photos", nil)
				return killed
			})
		})
	}
}

// TestDeprovisionKilled: killed at any request of a purge and repeated, bucket,
// content and users are gone.
func TestDeprovisionKilled(t *testing.T) {
	for _, c := range bothAccounts {
		t.Run(c.name, func(t *testing.T) {
			w := startWired(t, c.accounts, c.args...)
			root := rootOf(t, w.gateway)
			in := map[string]any{"bucket": "photos", "versioning": true, "onDelete": "purge"}
			forEachCut(t, func(t *testing.T, cut int, afterwards bool) bool {
				p := configure(t, w.config)
				i := newInstance("i")
				i.fence = int64(1000 * cut)
				must(t, i.provision(t, p, in))
				out, err := i.bind(t, p, "b", accessReadWrite)
				must(t, err)
				fill(t, clientOf(t, w.gateway, keys{out.AccessKeyID, out.SecretAccessKey}), "photos", 3)
				killed, _ := w.killedCall(t, cut, afterwards, func(ctx context.Context, p *glusterS3) error {
					_, err := p.Deprovision(ctx, i.request(in))
					return err
				})
				left, err := i.deprovision(t, configure(t, w.config), in)
				must(t, err)
				if b, u := bucketNames(t, root), w.users(t); len(b)+len(u)+len(left) > 0 {
					t.Errorf("left over: buckets %q, users %q, %q", b, u, left)
				}
				return killed
			})
		})
	}
}

// checkPolicy makes sure that the bucket's policy names these users of ours and no others.
func checkPolicy(t *testing.T, w wired, bucket string, users []string) {
	t.Helper()
	if w.config.Accounts != accountsVersityGW {
		return
	}
	doc, err := rootOf(t, w.gateway).policy(context.Background(), bucket)
	if reasonOf(err) == reasonAbsent {
		doc, err = "", nil
	}
	must(t, err)
	p, err := parsePolicy(doc)
	must(t, err)
	var named []string
	for _, s := range p.statements {
		named = append(named, s.principals...)
	}
	slices.Sort(named)
	users = slices.Sorted(slices.Values(users))
	if !slices.Equal(named, users) {
		t.Errorf("the policy names %q, the users are %q:\n%s", named, users, doc)
	}
}

// TestStrangerComesBetween: somebody creates the bucket at any moment of a provision
// before it is made. It stays theirs, with its objects, also when the platform then
// cleans up with onDelete: purge, and when the broker was killed in between.
func TestStrangerComesBetween(t *testing.T) {
	w := startWired(t, accountsVersityGW)
	root := rootOf(t, w.gateway)
	in := map[string]any{"bucket": "photos", "onDelete": "purge"}
	for _, killed := range []bool{false, true} {
		for n := 1; n <= 4; n++ {
			t.Run(fmt.Sprintf("request %d, killed %v", n, killed), func(t *testing.T) {
				w.wire.reset(0, false, nil)
				p := configure(t, w.config)
				i := newInstance(strings.Repeat("i", n))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w.wire.reset(0, false, nil)
				w.wire.before(n, func() {
					must(t, root.create(context.Background(), "photos", nil))
					putObject(t, root, "photos", "theirs", "precious")
					if killed {
						cancel()
					}
				})
				var err error
				for err == nil {
					var r plugin.Result
					if r, err = p.Provision(ctx, i.request(in)); err == nil && !r.IsPending() {
						t.Fatal("Provision took a stranger's bucket")
					}
					if err == nil {
						i.handle = r.Handle()
					}
				}
				if killed {
					p = configure(t, w.config)
					err = i.provision(t, p, in)
				} else {
					i.giveUp("provision", in)
				}
				if plugin.CodeOf(err) != plugin.CodeConflict {
					t.Errorf("Provision: %v; want a conflict", err)
				}
				left, err := i.deprovision(t, p, in)
				must(t, err)
				if len(left) == 0 {
					t.Error("Deprovision does not say that it left the bucket")
				}
				if got := getObject(t, root, "photos", "theirs"); got != "precious" {
					t.Errorf("the stranger's object is now %q", got)
				}
				if tags, err := root.tags(t.Context(), "photos"); reasonOf(err) != reasonAbsent {
					t.Errorf("the stranger's bucket has tags: %v, %v", tags, err)
				}
				b := p.backend
				must(t, b.purge(t.Context(), "photos", func(string, int) {}))
			})
		}
	}
}
