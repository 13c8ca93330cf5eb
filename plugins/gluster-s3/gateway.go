package main

import (
	"context"
	"encoding/xml"
	"errors"
	"time"
)

// gateway is what this plugin does with a gateway's S3 API, in its own words. Errors
// are the gateway's: reasonOf says what they mean.
type gateway interface {
	// buckets lists the buckets of the account.
	buckets(ctx context.Context) ([]bucketEntry, error)
	// owned tells whether the account is the bucket's owner; false if the gateway does not
	// say whose it is. An account that may see everything lists other accounts' buckets, too.
	owned(ctx context.Context, bucket string) (bool, error)
	// exists gives nil if the bucket is there and the account may see it. now is the
	// gateway's clock, in seconds, also with an error; zero if it did not tell.
	exists(ctx context.Context, bucket string) (now time.Time, err error)
	// create makes a bucket. marks are tags that it carries from its first moment on;
	// nil sends none. It is sent once, never repeated by itself.
	create(ctx context.Context, bucket string, marks map[string]string) error
	// remove deletes an empty bucket.
	remove(ctx context.Context, bucket string) error

	tags(ctx context.Context, bucket string) (map[string]string, error)
	setTags(ctx context.Context, bucket string, tags map[string]string) error
	// versioning gives "", "Enabled" or "Suspended".
	versioning(ctx context.Context, bucket string) (string, error)
	setVersioning(ctx context.Context, bucket, status string) error
	// policy gives the bucket's policy, a JSON document.
	policy(ctx context.Context, bucket string) (string, error)
	setPolicy(ctx context.Context, bucket, policy string) error
	deletePolicy(ctx context.Context, bucket string) error

	// versions gives the first page of everything in the bucket, old versions and
	// delete markers included: at most limit entries (1 to 1000).
	versions(ctx context.Context, bucket string, limit int64, listing listing) ([]object, error)
	// delete deletes objects or versions, at most 1000.
	delete(ctx context.Context, bucket string, objects []object) (deletion, error)
	// uploads gives the first page of unfinished multipart uploads.
	uploads(ctx context.Context, bucket string) ([]upload, error)
	abort(ctx context.Context, bucket string, u upload) error
}

// bucketEntry is a bucket in a list of them.
type bucketEntry struct {
	name    string
	created time.Time // by the gateway's clock, in seconds
}

// object is an object, one version of it, or a delete marker.
type object struct{ key, version string }

// upload is an unfinished multipart upload.
type upload struct{ key, id string }

// listing says how versions is to ask.
type listing struct {
	// encoded asks for keys in URL encoding: XML cannot carry all characters.
	encoded bool
	// current lists current objects only, for gateways without versions.
	current bool
}

// deletion is what became of a delete.
type deletion struct {
	deleted int
	failed  []failedDelete
}

// failedDelete is an object that the gateway did not delete. code and message are the gateway's.
type failedDelete struct {
	object
	code, message string
}

// createBody is the body of CreateBucket with tags, which the SDK's version does not
// know: S3 API reference, CreateBucketConfiguration.
type createBody struct {
	XMLName            xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CreateBucketConfiguration"`
	LocationConstraint string   `xml:"LocationConstraint,omitempty"`
	Tags               []tag    `xml:"Tags>Tag"`
}

// tag is one of a bucket's or user's, where their order counts.
type tag struct{ Key, Value string }

// errTruncated is a page that says there is more and carries nothing.
var errTruncated = errors.New("the gateway sent an empty page and says that there is more")
