//lint:file-ignore SA1019 the project uses version 1 of the SDK on purpose (CONTRIBUTING.md)

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/chandler-broker/chandler/core/plugin"
)

// putMany puts n objects side by side.
func putMany(t *testing.T, g *s3Gateway, bucket string, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for k := w; k < n; k += 8 {
				_, err := g.api.PutObject(&s3.PutObjectInput{Bucket: &bucket, Key: aws.String(fmt.Sprintf("many/%d/%d", k%13, k)), Body: strings.NewReader("x")})
				if err != nil {
					t.Errorf("put: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestPurge: several pages of objects, old versions, delete markers, odd keys and
// unfinished uploads go, with progress, and then the bucket.
func TestPurge(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	i := newInstance("i")
	must(t, i.provision(t, p, map[string]any{"bucket": "photos", "versioning": true, "onDelete": "purge"}))
	putMany(t, root, "photos", 1600)
	fill(t, root, "photos", 20)
	for n := range 3 {
		startUpload(t, root, "photos", fmt.Sprintf("upload %d", n))
	}
	for _, key := range []string{"a+b c&d<e>", "ünï/çödé", "%41", "tab\there", "line\nfeed"} {
		putObject(t, root, "photos", key, "x")
	}
	var said []string
	must(t, p.backend.purge(t.Context(), "photos", func(text string, _ int) { said = append(said, text) }))
	if names := bucketNames(t, root); len(names) > 0 {
		t.Errorf("buckets left: %q", names)
	}
	if len(said) < 3 {
		t.Errorf("progress: %q; want some for each page", said)
	}
	_, err := i.deprovision(t, p, i.inputs) // again: what does not exist is gone
	must(t, err)
}

// TestPurgeUnlistable: a key that XML cannot carry is listed by VersityGW as another
// key, which is then "deleted" for ever. That is reported.
func TestPurgeUnlistable(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsShared))
	root := rootOf(t, g)
	must(t, root.create(t.Context(), "photos", nil))
	putObject(t, root, "photos", "bell\a", "x")
	if err := p.backend.purge(t.Context(), "photos", func(string, int) {}); plugin.CodeOf(err) != plugin.CodeFailed {
		t.Errorf("purge: %v; want a failure", err)
	}
	must(t, root.deleteOne(t.Context(), "photos", object{key: "bell\a"}))
	must(t, p.backend.purge(t.Context(), "photos", func(string, int) {}))
}

// TestPurgeStops: the end of the call's context stops a purge between pages, and the
// next call goes on.
func TestPurgeStops(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsShared))
	root := rootOf(t, g)
	must(t, root.create(t.Context(), "photos", nil))
	putMany(t, root, "photos", 1100)
	ctx, cancel := context.WithCancel(t.Context())
	pages := 0
	err := p.backend.purge(ctx, "photos", func(string, int) { pages++; cancel() })
	if plugin.CodeOf(err) != plugin.CodeUnavailable || pages != 1 {
		t.Errorf("cancelled after its first page: %v after %d pages", err, pages)
	}
	left, err := root.versions(t.Context(), "photos", pageSize, listing{})
	must(t, err)
	if len(left) == 0 {
		t.Error("nothing is left after a cancelled purge")
	}
	must(t, p.backend.purge(t.Context(), "photos", func(string, int) {}))
}

// TestPurgeLocked: objects under object lock are reported, with the instance and the
// objects left as they are, and purged once the lock is gone.
func TestPurgeLocked(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	i := newInstance("i")
	in := map[string]any{"bucket": "photos", "versioning": true, "onDelete": "purge"}
	must(t, i.provision(t, p, in))
	_, err := root.api.PutObjectLockConfiguration(&s3.PutObjectLockConfigurationInput{Bucket: aws.String("photos"),
		ObjectLockConfiguration: &s3.ObjectLockConfiguration{ObjectLockEnabled: aws.String("Enabled")}})
	must(t, err)
	putObject(t, root, "photos", "free", "x")
	_, err = root.api.PutObject(&s3.PutObjectInput{Bucket: aws.String("photos"), Key: aws.String("held"), Body: strings.NewReader("x"),
		ObjectLockLegalHoldStatus: aws.String("ON")})
	must(t, err)

	_, err = i.deprovision(t, p, in)
	e, _ := err.(*plugin.Error)
	if e == nil || e.Code != plugin.CodeFailed || !strings.Contains(e.Message, "object lock") || !strings.Contains(e.Message, "held") {
		t.Fatalf("Deprovision: %v; want a failure that names lock and object", err)
	}
	if page, err := root.versions(t.Context(), "photos", 10, listing{}); err != nil || len(page) != 1 || page[0].key != "held" {
		t.Errorf("left in the bucket: %v, %v; want the held object", page, err)
	}
	_, err = root.api.PutObjectLegalHold(&s3.PutObjectLegalHoldInput{Bucket: aws.String("photos"), Key: aws.String("held"),
		LegalHold: &s3.ObjectLockLegalHold{Status: aws.String("OFF")}})
	must(t, err)
	_, err = i.deprovision(t, p, in)
	must(t, err)
}

// TestOnDelete: what a deprovision does with a bucket, by onDelete and content.
func TestOnDelete(t *testing.T) {
	g := startGateway(t)
	p := configure(t, g.config(t, accountsVersityGW))
	root := rootOf(t, g)
	object := func(t *testing.T) { putObject(t, root, "photos", "a", "x") }
	cases := []struct {
		name, why, onDelete string
		content             func(t *testing.T)
		refused, kept       bool
	}{
		{"refuse, empty", "nothing can be lost", "refuse", func(*testing.T) {}, false, false},
		{"default, empty", "refuse is the default", "", func(*testing.T) {}, false, false},
		{"refuse, an object", "the object would be lost", "refuse", object, true, true},
		{"default, an object", "refuse is the default", "", object, true, true},
		{"refuse, a delete marker", "the versions under it would be lost", "refuse", func(t *testing.T) {
			object(t)
			_, err := root.api.DeleteObject(&s3.DeleteObjectInput{Bucket: aws.String("photos"), Key: aws.String("a")})
			must(t, err)
		}, true, true},
		{"refuse, an unfinished upload", "no listing of objects shows it, so it is not in the way", "refuse",
			func(t *testing.T) { startUpload(t, root, "photos", "u") }, false, false},
		{"purge, an object", "the plan says so", "purge", object, false, false},
		{"retain, an object", "the operator keeps it", "retain", object, false, true},
		{"retain, empty", "the operator keeps it", "retain", func(*testing.T) {}, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			i := newInstance("i")
			in := map[string]any{"bucket": "photos", "versioning": true, "tags": map[string]string{"k": "v"}}
			if c.onDelete != "" {
				in["onDelete"] = c.onDelete
			}
			must(t, i.provision(t, p, in))
			out, err := i.bind(t, p, "b", accessReadOnly)
			must(t, err)
			app := clientOf(t, g, keys{out.AccessKeyID, out.SecretAccessKey})
			c.content(t)
			if err := p.Check(t.Context(), i.request(in)); (plugin.CodeOf(err) == plugin.CodeConflict) != c.refused {
				t.Errorf("Check: %v", err)
			}
			left, err := i.deprovision(t, p, in)
			if (plugin.CodeOf(err) == plugin.CodeConflict) != c.refused || !c.refused && err != nil {
				t.Errorf("Deprovision: %v", err)
			}
			if kept := reasonOf(existsErr(root, "photos")) == reasonNone; kept != c.kept {
				t.Errorf("the bucket is kept: %v", kept)
			}
			if alive := existsErr(app, "photos") == nil; alive != c.refused {
				t.Errorf("the binding's keys are alive: %v", alive)
			}
			if (len(left) > 0) != (c.onDelete == onDeleteRetain) {
				t.Errorf("left: %q", left)
			}
			if c.onDelete == onDeleteRetain {
				retained(t, p, root, i, in)
			}
			if c.kept {
				must(t, p.backend.purge(t.Context(), "photos", func(string, int) {}))
			}
		})
	}
}

func existsErr(g gateway, bucket string) error {
	_, err := g.exists(context.Background(), bucket)
	return err
}

// retained makes sure that a retained bucket is nobody's instance any more.
func retained(t *testing.T, p *glusterS3, root gateway, i *instance, in map[string]any) {
	t.Helper()
	tags, err := root.tags(t.Context(), "photos")
	must(t, err)
	if len(tags) != 1 || tags["k"] != "v" {
		t.Errorf("tags of the retained bucket: %v; want the user's alone", tags)
	}
	again := &instance{id: i.id, fence: i.fence}
	if err := again.provision(t, p, in); plugin.CodeOf(err) != plugin.CodeConflict {
		t.Errorf("a new instance with the same id: %v; want a conflict", err)
	}
	left, err := i.deprovision(t, p, in) // the same deprovision once more
	must(t, err)
	if len(left) != 1 || existsErr(root, "photos") != nil {
		t.Errorf("the repeated deprovision left %q", left)
	}
}

// stubbornGateway lists an object for ever: nothing the tests can start does, so this
// one is made up. It stands for keys that come back changed from XML.
type stubbornGateway struct {
	gateway
	encoded bool // listing in URL encoding helps
	lists   int
	busy    int // DeleteBucket says BucketNotEmpty so often
	removes int
}

func (s *stubbornGateway) versions(_ context.Context, _ string, _ int64, l listing) ([]object, error) {
	s.lists++
	if s.lists > 50 {
		return nil, errors.New("listed without end")
	}
	if s.busy > 0 || s.encoded && l.encoded {
		return nil, nil
	}
	return []object{{"changed", "1"}}, nil
}

func (s *stubbornGateway) delete(context.Context, string, []object) (deletion, error) {
	return deletion{deleted: 1}, nil
}

func (s *stubbornGateway) uploads(context.Context, string) ([]upload, error) { return nil, nil }

func (s *stubbornGateway) remove(context.Context, string) error {
	s.removes++
	if s.removes <= s.busy {
		return coded("BucketNotEmpty", 409)
	}
	return nil
}

// TestPurgeEnds: a purge that does not help ends.
func TestPurgeEnds(t *testing.T) {
	cases := []struct {
		why  string
		g    *stubbornGateway
		want plugin.Code
	}{
		{"keys that XML cannot carry are asked for in another encoding", &stubbornGateway{encoded: true}, ""},
		{"the gateway lists what it has deleted, whatever we ask", &stubbornGateway{}, plugin.CodeFailed},
		{"somebody wrote once while we deleted", &stubbornGateway{busy: 1}, ""},
		{"somebody writes all the time", &stubbornGateway{busy: 100}, plugin.CodeFailed},
	}
	for _, c := range cases {
		b := &backend{gateway: c.g}
		if err := b.purge(t.Context(), "photos", func(string, int) {}); plugin.CodeOf(err) != c.want {
			t.Errorf("%s: %v; want %q", c.why, err, c.want)
		}
	}
}

// TestLocksWait: one bucket's policy is changed by one call at a time; a call whose
// context ends does not wait on.
func TestLocksWait(t *testing.T) {
	l := bucketLocks{held: map[string]chan struct{}{}}
	release, err := l.hold(t.Context(), "a")
	must(t, err)
	other, err := l.hold(t.Context(), "b")
	must(t, err)
	other()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.hold(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a held lock with an ended context: %v", err)
	}
	got := make(chan struct{})
	go func() {
		defer close(got)
		if again, err := l.hold(context.Background(), "a"); err == nil {
			again()
		}
	}()
	release()
	select {
	case <-got:
	case <-time.After(10 * time.Second):
		t.Fatal("a released lock is not given on")
	}
}
