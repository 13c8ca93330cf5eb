package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core/plugin"
)

// TestTaken: a bucket that is there already is a conflict, whoever's it is, and
// nothing of it is touched by a deprovision that follows.
func TestTaken(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	in := func(bucket string) map[string]any { return map[string]any{"bucket": bucket, "onDelete": "purge"} }

	must(t, root.create(t.Context(), "strangers", nil))
	other := newInstance("another instance")
	must(t, other.provision(t, p, in("others")))
	must(t, p.backend.accounts.(*versityAccounts).admin.create(t.Context(), "owner", "owners-secret"))
	foreign := clientOf(t, g, keys{"owner", "owners-secret"})
	must(t, root.create(t.Context(), "somebodys", nil))
	giveAway(t, p, "somebodys", "owner")
	marked := map[string]string{markInstance: instanceName("gone"), markFence: "1"}
	must(t, root.create(t.Context(), "remains", marked))

	cases := []struct{ bucket, why string }{
		{"strangers", "it is in the broker's own account, but nobody's instance"},
		{"others", "it is another instance's"},
		{"somebodys", "another user owns it; the broker's account may see it all the same"},
		{"remains", "it has the mark of an instance that the broker does not know any more"},
	}
	for _, c := range cases {
		t.Run(c.bucket, func(t *testing.T) {
			owner := root
			if c.bucket == "somebodys" {
				owner = foreign
			}
			putObject(t, owner, c.bucket, "theirs", "precious")
			i := newInstance("taker of " + c.bucket)
			err := i.provision(t, p, in(c.bucket))
			if plugin.CodeOf(err) != plugin.CodeConflict || !strings.Contains(err.Error(), c.bucket) {
				t.Errorf("Provision: %v; want a conflict that names the bucket", err)
			}
			left, err := i.deprovision(t, p, in(c.bucket))
			must(t, err)
			if len(left) != 1 || !strings.Contains(left[0], c.bucket) {
				t.Errorf("left: %q; want the bucket's name", left)
			}
			if got := getObject(t, owner, c.bucket, "theirs"); got != "precious" {
				t.Errorf("the object is now %q", got)
			}
		})
	}
}

// giveAway makes somebody else a bucket's owner, as another user of the gateway is.
func giveAway(t *testing.T, p *glusterS3, bucket, user string) {
	t.Helper()
	_, err := p.backend.accounts.(*versityAccounts).admin.call(t.Context(), "/change-bucket-owner", map[string][]string{"bucket": {bucket}, "owner": {user}}, nil)
	must(t, err)
}

// TestProvisionAgain: what exists with the same inputs succeeds with the same outputs,
// also if the broker lost everything but the instance's id.
func TestProvisionAgain(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	in := map[string]any{"bucket": "photos", "tags": map[string]string{"a": "1"}}
	first := newInstance("i")
	must(t, first.provision(t, p, in))
	putObject(t, rootOf(t, g), "photos", "kept", "x")
	for _, c := range []struct {
		why string
		i   *instance
	}{
		{"the same call again", first},
		{"nothing is stored any more but the fence", &instance{id: "i", fence: 50}},
	} {
		must(t, c.i.provision(t, p, in))
		if diff := cmp.Diff(string(first.applied.Outputs.Raw()), string(c.i.applied.Outputs.Raw())); diff != "" {
			t.Errorf("%s: outputs differ:\n%s", c.why, diff)
		}
	}
	late := &instance{id: "i"}
	if err := late.provision(t, p, in); plugin.CodeOf(err) != plugin.CodeFailed {
		t.Errorf("a call with a lower fence than the bucket's: %v; want a failure", err)
	}
}

// TestOutage: as long as the gateway answers 5xx, or nothing, a bucket is neither
// absent nor taken nor deleted, for any verb.
func TestOutage(t *testing.T) {
	w := startWired(t, accountsVersityGW)
	p := configure(t, w.config)
	i := newInstance("i")
	in := map[string]any{"bucket": "photos", "onDelete": "purge"}
	must(t, i.provision(t, p, in))
	_, err := i.bind(t, p, "b", accessReadWrite)
	must(t, err)
	for _, status := range []int{http.StatusInternalServerError, http.StatusServiceUnavailable} {
		w.wire.answer = func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(status); return true }
		ctx := t.Context()
		calls := map[string]func() error{
			"provision": func() error {
				_, err := p.Provision(ctx, newInstance("fresh").request(map[string]any{"bucket": "new-one"}))
				return err
			},
			"update": func(r *plugin.InstanceRequest) func() error {
				return func() error { _, err := p.Update(ctx, r); return err }
			}(i.request(in)),
			"deprovision": func(r *plugin.InstanceRequest) func() error {
				return func() error { _, err := p.Deprovision(ctx, r); return err }
			}(i.request(in)),
			"check": func(r *plugin.InstanceRequest) func() error { return func() error { return p.Check(ctx, r) } }(i.request(map[string]any{"bucket": "photos"})),
			"bind": func(r *plugin.BindingRequest) func() error {
				return func() error { _, err := p.Bind(ctx, r); return err }
			}(i.bindRequest("b2", nil)),
			"unbind": func(r *plugin.BindingRequest) func() error {
				return func() error { _, err := p.Unbind(ctx, r); return err }
			}(i.bindRequest("b", nil)),
		}
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			var wg sync.WaitGroup
			for verb, call := range calls {
				wg.Go(func() {
					if err := call(); plugin.CodeOf(err) != plugin.CodeUnavailable {
						t.Errorf("%s: %v; want unavailable", verb, err)
					}
				})
			}
			wg.Wait()
		})
	}
	w.wire.answer = nil
	_, err = i.deprovision(t, p, in)
	must(t, err)
}

// TestInputs: what cannot work is refused before any call, with a pointer to the
// input, and leaves nothing.
func TestInputs(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsShared))
	bare := configure(t, g.config(t, accountsShared))
	bare.backend.can = features{}
	cases := []struct {
		why, pointer string
		p            *glusterS3
		inputs       map[string]any
	}{
		{"a name against S3's rules", "/bucket", p, map[string]any{"bucket": "a..b"}},
		{"no name", "/bucket", p, map[string]any{}},
		{"a path", "/bucket", p, map[string]any{"bucket": "../etc"}},
		{"an unknown input", "/colour", p, map[string]any{"bucket": "abc", "colour": "red"}},
		{"an unknown onDelete", "/onDelete", p, map[string]any{"bucket": "abc", "onDelete": "burn"}},
		{"versions on a gateway without", "/versioning", bare, map[string]any{"bucket": "abc", "versioning": true}},
		{"tags on a gateway without", "/tags", bare, map[string]any{"bucket": "abc", "tags": map[string]string{"a": "b"}}},
	}
	for _, c := range cases {
		err := newInstance("i").provision(t, c.p, c.inputs)
		e, _ := err.(*plugin.Error)
		if e == nil || e.Code != plugin.CodeInvalidInput || e.Pointer != c.pointer {
			t.Errorf("%s: %v; want invalid_input at %s", c.why, err, c.pointer)
		}
	}
	if names := bucketNames(t, rootOf(t, g)); len(names) > 0 {
		t.Errorf("buckets were made: %q", names)
	}
}

func TestUpdate(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	i := newInstance("i")
	first := map[string]any{"bucket": "photos", "tags": map[string]string{"a": "1"}}
	must(t, i.provision(t, p, first))
	state := func() (string, map[string]string) {
		v, err := root.versioning(t.Context(), "photos")
		must(t, err)
		tags, err := root.tags(t.Context(), "photos")
		must(t, err)
		return v, withoutMarks(tags)
	}
	cases := []struct {
		why, versioning string
		inputs          map[string]any
		tags            map[string]string
	}{
		{"versions and tags appear", "Enabled", map[string]any{"bucket": "photos", "versioning": true, "tags": map[string]string{"b": "2"}}, map[string]string{"b": "2"}},
		{"the same again changes nothing", "Enabled", map[string]any{"bucket": "photos", "versioning": true, "tags": map[string]string{"b": "2"}}, map[string]string{"b": "2"}},
		{"undone with the inputs of before: versions are suspended, tags as they were", "Suspended", first, map[string]string{"a": "1"}},
		{"onDelete alone needs nothing of the gateway", "Suspended", map[string]any{"bucket": "photos", "onDelete": "purge"}, map[string]string{}},
	}
	for _, c := range cases {
		must(t, i.update(t, p, c.inputs))
		v, tags := state()
		if v != c.versioning || cmp.Diff(c.tags, tags) != "" {
			t.Errorf("%s: versioning %q, tags %v", c.why, v, tags)
		}
	}

	err := i.update(t, p, map[string]any{"bucket": "pictures"})
	e, _ := err.(*plugin.Error)
	if e == nil || e.Code != plugin.CodeInvalidInput || e.Pointer != "/bucket" || e.Repeatable == nil || *e.Repeatable {
		t.Errorf("another name: %v; want invalid_input at /bucket, not repeatable", err)
	}
	must(t, root.create(t.Context(), "pictures", nil))
	if left, err := i.deprovision(t, p, map[string]any{"bucket": "pictures", "onDelete": "purge"}); err != nil || len(left) > 0 {
		t.Errorf("deprovision after the refused rename: %v, left %q", err, left)
	}
	if diff := cmp.Diff([]string{"pictures"}, bucketNames(t, root)); diff != "" {
		t.Errorf("buckets after that: %s", diff)
	}
	i = newInstance("i2")
	must(t, i.provision(t, p, first))
	must(t, root.setTags(t.Context(), "photos", nil))
	err = i.update(t, p, first)
	if e, _ := err.(*plugin.Error); e == nil || e.Usable == nil || *e.Usable {
		t.Errorf("a bucket that lost its mark: %v; want an unusable instance", err)
	}
	if _, err := i.bind(t, p, "b", accessReadOnly); plugin.CodeOf(err) != plugin.CodeFailed {
		t.Errorf("bind to a bucket that lost its mark: %v", err)
	}
}

// TestNoTags: on a gateway without tags for buckets (Swift's s3api says 501), stored
// handles and outputs prove whose a bucket is. The gateway is real, only its tags are
// taken away.
func TestNoTags(t *testing.T) {
	w := startWired(t, accountsVersityGW)
	root := rootOf(t, w.gateway)
	noTags := func(rw http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("tagging") {
			return false
		}
		rw.WriteHeader(http.StatusNotImplemented)
		return true
	}
	w.wire.answer = noTags
	in := map[string]any{"bucket": "photos", "onDelete": "purge"}
	ours := func(t *testing.T, p *glusterS3, i *instance) {
		t.Helper()
		putObject(t, root, "photos", "x", "y")
		_, err := i.deprovision(t, p, in)
		must(t, err)
		if names := bucketNames(t, root); len(names) > 0 {
			t.Errorf("buckets left: %q", names)
		}
	}
	t.Run("killed and repeated", func(t *testing.T) {
		forEachCut(t, func(t *testing.T, cut int, afterwards bool) bool {
			i := newInstance("i")
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
			ours(t, p, i)
			return killed
		})
	})
	t.Run("taken before the first call", func(t *testing.T) {
		p := configure(t, w.config)
		must(t, root.create(t.Context(), "photos", nil))
		leaveAlone(t, w, p, newInstance("i"), in)
	})
	t.Run("taken between look-up and creation", func(t *testing.T) {
		p := configure(t, w.config)
		i := newInstance("i")
		if done, err := i.provisionOnce(t, p, in); done || err != nil {
			t.Fatal(done, err)
		}
		must(t, root.create(t.Context(), "photos", nil))
		leaveAlone(t, w, p, i, in)
	})
	t.Run("taken in the moment of creation", func(t *testing.T) {
		p := configure(t, w.config)
		i := newInstance("i")
		if done, err := i.provisionOnce(t, p, in); done || err != nil {
			t.Fatal(done, err)
		}
		w.wire.before(2, func() { must(t, root.create(context.Background(), "photos", nil)) })
		leaveAlone(t, w, p, i, in)
	})
	t.Run("taken while the broker was dead, and used", func(t *testing.T) {
		p := configure(t, w.config)
		i := newInstance("i")
		if done, err := i.provisionOnce(t, p, in); done || err != nil {
			t.Fatal(done, err)
		}
		i.fence += 5 // calls that may have run
		must(t, root.create(t.Context(), "photos", nil))
		putObject(t, root, "photos", "theirs", "precious")
		leaveAlone(t, w, p, i, in)
	})
}

// leaveAlone makes sure that a provision is refused and that the bucket photos, with
// what is in it, survives the deprovision; then it removes it.
func leaveAlone(t *testing.T, w wired, p *glusterS3, i *instance, in map[string]any) {
	t.Helper()
	root := rootOf(t, w.gateway)
	if err := i.provision(t, p, in); plugin.CodeOf(err) != plugin.CodeConflict {
		t.Errorf("Provision: %v; want a conflict", err)
	}
	putObject(t, root, "photos", "theirs", "precious")
	left, err := i.deprovision(t, p, in)
	must(t, err)
	if len(left) != 1 {
		t.Errorf("left: %q", left)
	}
	if got := getObject(t, root, "photos", "theirs"); got != "precious" {
		t.Errorf("the object is now %q", got)
	}
	must(t, p.backend.purge(t.Context(), "photos", func(string, int) {}))
}

// TestTagsNotInCreate: a gateway with tags that ignores them in CreateBucket: the
// bucket is marked afterwards, and a kill in between is survived.
func TestTagsNotInCreate(t *testing.T) {
	w := startWired(t, accountsVersityGW)
	root := rootOf(t, w.gateway)
	in := map[string]any{"bucket": "photos", "onDelete": "purge"}
	forEachCut(t, func(t *testing.T, cut int, afterwards bool) bool {
		i := newInstance("i")
		killed, _ := w.killedCall(t, cut, afterwards, func(ctx context.Context, p *glusterS3) error {
			p.backend.can.markAtBirth = false
			for {
				r, err := p.Provision(ctx, i.request(in))
				if err != nil || !r.IsPending() {
					return err
				}
				i.handle = r.Handle()
			}
		})
		p := configure(t, w.config)
		p.backend.can.markAtBirth = false
		must(t, i.provision(t, p, in))
		tags, err := root.tags(t.Context(), "photos")
		must(t, err)
		if tags[markInstance] != instanceName("i") {
			t.Errorf("tags: %v", tags)
		}
		_, err = i.deprovision(t, p, in)
		must(t, err)
		return killed
	})
}

// TestCreateSaysYes: AWS in us-east-1 and Ceph answer 200 to the creation of a bucket
// that the account has already. Such a bucket is not adopted.
func TestCreateSaysYes(t *testing.T) {
	w := startWired(t, accountsVersityGW)
	root := rootOf(t, w.gateway)
	in := map[string]any{"bucket": "photos", "onDelete": "purge"}
	p := configure(t, w.config)
	w.wire.answer = func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.URL.Path != "/photos" || r.URL.RawQuery != "" {
			return false
		}
		must(t, root.create(context.Background(), "photos", nil)) // the stranger was a moment faster
		rw.WriteHeader(http.StatusOK)
		return true
	}
	leaveAlone(t, w, p, newInstance("i"), in)
}
