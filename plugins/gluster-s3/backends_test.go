//lint:file-ignore SA1019 the project uses version 1 of the SDK on purpose (CONTRIBUTING.md)

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/chandler-broker/chandler/core/plugin"
)

// Variables that .ci/backends sets when it has started a backend.
const (
	envSwift        = "CHANDLER_TEST_GLUSTER_S3_SWIFT_ENDPOINT"
	envSwiftKey     = "CHANDLER_TEST_GLUSTER_S3_SWIFT_ACCESS_KEY"
	envSwiftSecret  = "CHANDLER_TEST_GLUSTER_S3_SWIFT_SECRET_KEY"
	envGlusterMount = "CHANDLER_TEST_GLUSTER_S3_MOUNT"  // a mounted volume, replica 3
	envGlusterPIDs  = "CHANDLER_TEST_GLUSTER_S3_PIDS"   // files with the pids of two of its bricks, by spaces
	envGlusterMend  = "CHANDLER_TEST_GLUSTER_S3_REPAIR" // a command that brings dead bricks back
)

// needEnv skips a test that needs a backend that nobody has started.
func needEnv(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		if os.Getenv(n) == "" {
			t.Skipf("%s is not set: this test needs a backend that .ci/backends starts (root and Debian packages)", n)
		}
	}
}

// TestSwift: the whole life on Swift's s3api, which has no tags, no policies and no
// accounts for us, and answers differently.
func TestSwift(t *testing.T) {
	needEnv(t, envSwift, envSwiftKey, envSwiftSecret)
	g := &testGateway{Endpoint: os.Getenv(envSwift), Region: defaultRegion, keys: keys{os.Getenv(envSwiftKey), os.Getenv(envSwiftSecret)}}
	w := wired{gateway: g, wire: &wire{}}
	w.config = g.config(t, accountsShared)
	w.config.Endpoint = w.wire.put(t, g.Endpoint)
	root := rootOf(t, g)
	in := map[string]any{"bucket": "photos", "onDelete": "purge", "versioning": true}

	t.Run("configure", func(t *testing.T) {
		p := configure(t, w.config)
		if want := (features{version: true}); p.backend.can != want {
			t.Errorf("features %+v; want %+v", p.backend.can, want)
		}
		for pointer, change := range map[string]func(*config){
			"/accessKeyID": func(c *config) { c.SecretAccessKey = "wrong" },
			"/region":      func(c *config) { c.Region = "eu-west-9" },
		} {
			c := w.config
			change(&c)
			err := newGlusterS3().Configure(t.Context(), &plugin.ConfigureRequest{Config: c.document(t)})
			if e, _ := err.(*plugin.Error); e == nil || e.Code != plugin.CodeInvalidInput || e.Pointer != pointer {
				t.Errorf("%v; want invalid_input at %s", err, pointer)
			}
		}
		if names := bucketNames(t, root); len(names) > 0 {
			t.Errorf("Configure left buckets: %q", names)
		}
	})
	t.Run("life", func(t *testing.T) {
		p := configure(t, w.config)
		i := newInstance("i")
		must(t, i.provision(t, p, in))
		out, err := i.bind(t, p, "b", accessReadWrite)
		must(t, err)
		app := clientOf(t, g, keys{out.AccessKeyID, out.SecretAccessKey})
		fill(t, app, "photos", 20)
		putMany(t, app, "photos", 1050)
		must(t, i.unbind(t, p, "b"))
		if err := p.Check(t.Context(), i.request(map[string]any{"bucket": "photos", "onDelete": "refuse"})); plugin.CodeOf(err) != plugin.CodeConflict {
			t.Errorf("Check of a full bucket: %v", err)
		}
		_, err = i.deprovision(t, p, in)
		must(t, err)
		if names := bucketNames(t, root); len(names) > 0 {
			t.Errorf("buckets left: %q", names)
		}
	})
	t.Run("taken", func(t *testing.T) {
		must(t, root.create(t.Context(), "photos", nil))
		leaveAlone(t, w, configure(t, w.config), newInstance("i"), in)
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
	t.Run("killed", func(t *testing.T) {
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
			_, err := i.deprovision(t, p, in)
			must(t, err)
			if names := bucketNames(t, root); len(names) > 0 {
				t.Errorf("buckets left: %q", names)
			}
			return killed
		})
	})
}

// TestGluster: VersityGW on a GlusterFS volume. A brick is killed under load: nobody
// notices. Two are: nothing is mistaken for absent. They come back: all is there.
func TestGluster(t *testing.T) {
	needEnv(t, envGlusterMount, envGlusterPIDs, envGlusterMend)
	dir, err := os.MkdirTemp(os.Getenv(envGlusterMount), "gluster-s3-")
	must(t, err)
	t.Cleanup(func() {
		mendBricks(t)
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	for _, c := range bothAccounts {
		t.Run(c.name, func(t *testing.T) {
			g := startGatewayIn(t, dir+"/"+c.accounts, c.args...)
			testGluster(t, g, c.accounts)
		})
	}
}

func testGluster(t *testing.T, g *testGateway, accounts string) {
	p := configure(t, g.config(t, accounts))
	in := map[string]any{"bucket": "photos", "onDelete": "purge", "versioning": true}
	i := newInstance("i")
	must(t, i.provision(t, p, in))
	out, err := i.bind(t, p, "b", accessReadWrite)
	must(t, err)
	app := clientOf(t, g, keys{out.AccessKeyID, out.SecretAccessKey})
	app.api.Retryer = noRetries // one failed request is one too many

	// Applications write and read, and the broker works, before, while and after.
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	turns := make(chan struct{}, 1)
	for n := range 3 {
		wg.Go(func() {
			for k := 0; ctx.Err() == nil; k++ {
				key := fmt.Sprintf("%d/%d", n, k)
				if err := putGet(app, "photos", key); err != nil {
					t.Errorf("application: %v", err)
					return
				}
				select {
				case turns <- struct{}{}:
				default:
				}
			}
		})
	}
	waitTurns(t, turns, 20)
	killBrick(t, 0)
	for n := range 5 {
		other := newInstance(fmt.Sprint("other", n))
		inputs := map[string]any{"bucket": fmt.Sprintf("other-%d", n)}
		must(t, other.provision(t, p, inputs))
		_, err := other.bind(t, p, "b", accessReadOnly)
		must(t, err)
		must(t, other.unbind(t, p, "b"))
		_, err = other.deprovision(t, p, inputs)
		must(t, err)
	}
	waitTurns(t, turns, 20)
	fill(t, app, "photos", 10)
	stop()
	wg.Wait()

	killBrick(t, 1)
	fresh := newInstance("fresh")
	if err := fresh.provision(t, p, map[string]any{"bucket": "fresh"}); plugin.CodeOf(err) != plugin.CodeUnavailable {
		t.Errorf("provision without quorum: %v; want unavailable", err)
	}
	if _, err := i.deprovision(t, p, in); plugin.CodeOf(err) != plugin.CodeUnavailable {
		t.Errorf("deprovision without quorum: %v; want unavailable", err)
	}
	mendBricks(t)
	// While files heal, the gateway may still say 500 now and then; the broker repeats
	// what is unavailable, and so do we.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		_, err = i.deprovision(t, p, in)
		if plugin.CodeOf(err) != plugin.CodeUnavailable || pause(ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	must(t, err)
	if names := bucketNames(t, rootOf(t, g)); len(names) > 0 {
		t.Errorf("buckets left: %q", names)
	}
}

// putGet writes an object and reads it.
func putGet(g *s3Gateway, bucket, key string) error {
	_, err := g.api.PutObject(&s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(strings.Repeat("x", 100_000))})
	if err != nil {
		return err
	}
	out, err := g.api.GetObject(&s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return err
	}
	defer out.Body.Close()
	if aws.Int64Value(out.ContentLength) != 100_000 {
		return fmt.Errorf("%s has %d bytes", key, aws.Int64Value(out.ContentLength))
	}
	return nil
}

// waitTurns waits until the load has made progress.
func waitTurns(t *testing.T, turns <-chan struct{}, n int) {
	t.Helper()
	for range n {
		select {
		case <-turns:
		case <-t.Context().Done():
			t.Fatal("no progress")
		}
	}
}

// killBrick kills the n-th brick of the volume.
func killBrick(t *testing.T, n int) {
	t.Helper()
	raw, err := os.ReadFile(strings.Fields(os.Getenv(envGlusterPIDs))[n])
	must(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	must(t, err)
	must(t, syscall.Kill(pid, syscall.SIGKILL))
}

// mendBricks brings all bricks back and waits until the mount has found them.
func mendBricks(t *testing.T) {
	t.Helper()
	cmd := exec.Command("bash", "-c", os.Getenv(envGlusterMend))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("repair: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for connected(t) < 3 {
		if pause(ctx, 100*time.Millisecond) != nil {
			t.Fatal("the mount does not find its bricks again")
		}
	}
}

// connected is the number of bricks that the mount is connected to, which it tells
// itself in a directory of its own.
func connected(t *testing.T) int {
	t.Helper()
	clients, err := filepath.Glob(os.Getenv(envGlusterMount) + "/.meta/graphs/active/*-client-*/private")
	must(t, err)
	n := 0
	for _, c := range clients {
		if raw, err := os.ReadFile(c); err == nil && strings.Contains(string(raw), "connected = 1") {
			n++
		}
	}
	return n
}
