//lint:file-ignore SA1019 the project uses version 1 of the SDK on purpose (CONTRIBUTING.md)

package main

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"
)

// attempt is something that an application might try with a bucket.
type attempt struct {
	name string
	do   func(g *s3Gateway, bucket string) error
}

var reads = []attempt{
	{"head bucket", func(g *s3Gateway, b string) error {
		_, err := g.api.HeadBucket(&s3.HeadBucketInput{Bucket: &b})
		return err
	}},
	{"list", func(g *s3Gateway, b string) error {
		_, err := g.api.ListObjectsV2(&s3.ListObjectsV2Input{Bucket: &b})
		return err
	}},
	{"list versions", func(g *s3Gateway, b string) error {
		_, err := g.api.ListObjectVersions(&s3.ListObjectVersionsInput{Bucket: &b})
		return err
	}},
	{"get", func(g *s3Gateway, b string) error {
		out, err := g.api.GetObject(&s3.GetObjectInput{Bucket: &b, Key: aws.String("there")})
		if err == nil {
			err = out.Body.Close()
		}
		return err
	}},
	{"head", func(g *s3Gateway, b string) error {
		_, err := g.api.HeadObject(&s3.HeadObjectInput{Bucket: &b, Key: aws.String("there")})
		return err
	}},
}

var writes = []attempt{
	{"put", func(g *s3Gateway, b string) error {
		_, err := g.api.PutObject(&s3.PutObjectInput{Bucket: &b, Key: aws.String("mine"), Body: strings.NewReader("x")})
		return err
	}},
	{"copy", func(g *s3Gateway, b string) error {
		_, err := g.api.CopyObject(&s3.CopyObjectInput{Bucket: &b, Key: aws.String("copy"), CopySource: aws.String(b + "/there")})
		return err
	}},
	{"begin an upload", func(g *s3Gateway, b string) error {
		_, err := g.api.CreateMultipartUpload(&s3.CreateMultipartUploadInput{Bucket: &b, Key: aws.String("big")})
		return err
	}},
	{"delete", func(g *s3Gateway, b string) error {
		_, err := g.api.DeleteObject(&s3.DeleteObjectInput{Bucket: &b, Key: aws.String("there")})
		return err
	}},
	{"delete many", func(g *s3Gateway, b string) error {
		out, err := g.api.DeleteObjects(&s3.DeleteObjectsInput{Bucket: &b, Delete: &s3.Delete{
			Objects: []*s3.ObjectIdentifier{{Key: aws.String("there")}},
		}})
		if err == nil && len(out.Errors) > 0 { // 200 does not mean deleted
			return errDenied(*out.Errors[0].Code)
		}
		return err
	}},
}

// never are for the bucket's owner, the broker, only.
var never = []attempt{
	{"delete the bucket", func(g *s3Gateway, b string) error {
		_, err := g.api.DeleteBucket(&s3.DeleteBucketInput{Bucket: &b})
		return err
	}},
	{"read the policy", func(g *s3Gateway, b string) error {
		_, err := g.api.GetBucketPolicy(&s3.GetBucketPolicyInput{Bucket: &b})
		return err
	}},
	{"open it to everybody", func(g *s3Gateway, b string) error {
		_, err := g.api.PutBucketPolicy(&s3.PutBucketPolicyInput{Bucket: &b, Policy: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + b + `/*"}]}`)})
		return err
	}},
	{"take the mark off", func(g *s3Gateway, b string) error {
		_, err := g.api.DeleteBucketTagging(&s3.DeleteBucketTaggingInput{Bucket: &b})
		return err
	}},
	{"suspend versions", func(g *s3Gateway, b string) error {
		_, err := g.api.PutBucketVersioning(&s3.PutBucketVersioningInput{Bucket: &b,
			VersioningConfiguration: &s3.VersioningConfiguration{Status: aws.String("Suspended")}})
		return err
	}},
	{"make a bucket", func(g *s3Gateway, b string) error {
		_, err := g.api.CreateBucket(&s3.CreateBucketInput{Bucket: aws.String("new-" + b)})
		return err
	}},
}

type errDenied string

func (e errDenied) Error() string { return string(e) }

// denied tells whether the gateway refused for lack of rights.
func denied(err error) bool {
	if e, ok := err.(errDenied); ok {
		return e == "AccessDenied"
	}
	r := reasonOf(factsOf(err))
	return r == reasonDenied || r == reasonBadKeys
}

// check tries things and says what should not have happened.
func check(t *testing.T, g *s3Gateway, bucket string, list []attempt, allowed bool) {
	t.Helper()
	for _, a := range list {
		err := a.do(g, bucket)
		if allowed && err != nil {
			t.Errorf("%s in %s: %v; it should be allowed", a.name, bucket, err)
		}
		if !allowed && !denied(err) {
			t.Errorf("%s in %s: %v; it should be denied", a.name, bucket, err)
		}
	}
}

// TestIsolation proves that keys open their own bucket as far as their access says,
// no other, and nothing after unbind.
func TestIsolation(t *testing.T) {
	for _, c := range bothAccounts {
		t.Run(c.name, func(t *testing.T) {
			g := startGateway(t, c.args...)
			p := configure(t, g.config(t, c.accounts))
			root := rootOf(t, g)
			a, b := newInstance("a"), newInstance("b")
			must(t, a.provision(t, p, map[string]any{"bucket": "bucket-a", "versioning": true}))
			must(t, b.provision(t, p, map[string]any{"bucket": "bucket-b", "versioning": true}))
			app := func(i *instance, binding, access string) *s3Gateway {
				out, err := i.bind(t, p, binding, access)
				must(t, err)
				return clientOf(t, g, keys{out.AccessKeyID, out.SecretAccessKey})
			}
			apps := map[string]*s3Gateway{"rw": app(a, "rw", accessReadWrite), "ro": app(a, "ro", accessReadOnly), "b": app(b, "rw", accessReadWrite)}
			refill := func() {
				putObject(t, root, "bucket-a", "there", "a")
				putObject(t, root, "bucket-b", "there", "b")
			}
			refill()
			check(t, apps["ro"], "bucket-a", reads, true)
			check(t, apps["ro"], "bucket-a", writes, false)
			check(t, apps["ro"], "bucket-a", never, false)
			for _, foreign := range []struct {
				app    *s3Gateway
				bucket string
			}{{apps["rw"], "bucket-b"}, {apps["ro"], "bucket-b"}, {apps["b"], "bucket-a"}} {
				check(t, foreign.app, foreign.bucket, reads, false)
				check(t, foreign.app, foreign.bucket, writes, false)
				check(t, foreign.app, foreign.bucket, never, false)
			}
			copyFrom(t, apps["rw"], "bucket-b", "bucket-a")
			check(t, apps["rw"], "bucket-a", reads, true)
			check(t, apps["rw"], "bucket-a", never, false)
			check(t, apps["rw"], "bucket-a", writes, true)
			wholeUpload(t, apps["rw"], "bucket-a")

			// One binding's end is no other's.
			refill()
			must(t, a.unbind(t, p, "rw"))
			check(t, apps["rw"], "bucket-a", reads, false)
			check(t, apps["rw"], "bucket-a", writes, false)
			check(t, apps["ro"], "bucket-a", reads, true)
			check(t, apps["b"], "bucket-b", reads, true)
			must(t, a.unbind(t, p, "ro"))
			check(t, apps["ro"], "bucket-a", reads, false)
			must(t, a.unbind(t, p, "ro")) // again: what does not exist is unbound

			// The end of an instance ends the keys of bindings that were left behind.
			_, err := b.deprovision(t, p, map[string]any{"bucket": "bucket-b", "onDelete": "retain"})
			must(t, err)
			check(t, apps["b"], "bucket-b", reads, false)
			if got := getObject(t, root, "bucket-b", "there"); got != "b" {
				t.Errorf("the retained bucket's object is %q", got)
			}
		})
	}
}

// copyFrom tries to copy out of a bucket that the keys do not open.
func copyFrom(t *testing.T, g *s3Gateway, from, to string) {
	t.Helper()
	_, err := g.api.CopyObject(&s3.CopyObjectInput{Bucket: &to, Key: aws.String("stolen"), CopySource: aws.String(from + "/there")})
	if !denied(err) {
		t.Errorf("copy from %s to %s: %v; it should be denied", from, to, err)
	}
}

// wholeUpload makes an object of parts: read-write means this too.
func wholeUpload(t *testing.T, g *s3Gateway, bucket string) {
	t.Helper()
	key := aws.String("in parts")
	up, err := g.api.CreateMultipartUpload(&s3.CreateMultipartUploadInput{Bucket: &bucket, Key: key})
	must(t, err)
	part, err := g.api.UploadPart(&s3.UploadPartInput{Bucket: &bucket, Key: key, UploadId: up.UploadId, PartNumber: aws.Int64(1), Body: strings.NewReader("all")})
	must(t, err)
	_, err = g.api.ListParts(&s3.ListPartsInput{Bucket: &bucket, Key: key, UploadId: up.UploadId})
	must(t, err)
	_, err = g.api.CompleteMultipartUpload(&s3.CompleteMultipartUploadInput{Bucket: &bucket, Key: key, UploadId: up.UploadId,
		MultipartUpload: &s3.CompletedMultipartUpload{Parts: []*s3.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int64(1)}}}})
	must(t, err)
	if got := getObject(t, g, bucket, *key); got != "all" {
		t.Errorf("the uploaded object is %q", got)
	}
}

// TestKeysDoNotLeaveTheBucket: the SDK's own cleaning of paths would make of the key
// "../x" an object of bucket x.
func TestKeysDoNotLeaveTheBucket(t *testing.T) {
	g := startGateway(t)
	root := rootOf(t, g)
	must(t, root.create(t.Context(), "one", nil))
	must(t, root.create(t.Context(), "two", nil))
	putObject(t, root, "two", "x", "theirs")
	err := root.deleteOne(t.Context(), "one", object{key: "../two/x"})
	if got := getObject(t, root, "two", "x"); got != "theirs" {
		t.Errorf("deleting ../two/x of bucket one (%v) changed bucket two", err)
	}
	req, _ := root.api.GetObjectRequest(&s3.GetObjectInput{Bucket: aws.String("one"), Key: aws.String("a//b/../c")})
	must(t, req.Sign())
	if got := req.HTTPRequest.URL.EscapedPath(); got != "/one/a//b/../c" {
		t.Errorf("the path is %s", got)
	}
}
