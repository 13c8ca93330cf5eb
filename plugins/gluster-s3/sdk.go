//lint:file-ignore SA1019 the project uses version 1 of the SDK on purpose (CONTRIBUTING.md)

package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/defaults"
	"github.com/aws/aws-sdk-go/aws/endpoints"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"github.com/aws/aws-sdk-go/service/iam"
	"github.com/aws/aws-sdk-go/service/s3"
)

// This file is all that touches the SDK: its settings, the calls of S3 and IAM that
// this plugin uses, signatures, and what its errors tell. Nothing of the SDK leaves it:
// arguments and results are ours, errors are a *failure. So another SDK is another sdk.go.

// newSession makes what the SDK's clients are made of, from these arguments alone.
// session.NewSession would also read ~/.aws and AWS_* variables, and, for
// AWS_CA_BUNDLE, change http.DefaultClient for the whole process.
func newSession(over *http.Client, endpoint, region string, pathStyle bool, k keys) *session.Session {
	return &session.Session{
		Config: &aws.Config{
			Endpoint:                       aws.String(endpoint),
			Region:                         aws.String(region),
			Credentials:                    credentials.NewStaticCredentials(k.id, k.secret, ""),
			HTTPClient:                     over,
			MaxRetries:                     aws.Int(maxRetries),
			S3ForcePathStyle:               aws.Bool(pathStyle),
			EndpointResolver:               endpoints.DefaultResolver(),
			DisableRestProtocolURICleaning: aws.Bool(true), // else the key "../x" addresses the bucket x
			Logger:                         aws.NewDefaultLogger(),
			LogLevel:                       aws.LogLevel(aws.LogOff),
		},
		Handlers: defaults.Handlers(),
	}
}

// send makes a call: operation is the method of a client that makes its request. With
// an error the answer is an empty one, never nil.
func send[In, Out any](ctx context.Context, operation func(*In) (*request.Request, *Out), in *In, options ...request.Option) (*Out, error) {
	req, out := operation(in)
	req.SetContext(ctx)
	req.ApplyOptions(options...)
	if err := req.Send(); err != nil {
		return new(Out), factsOf(err)
	}
	return out, nil
}

// do is send for calls whose answer carries nothing that we need.
func do[In, Out any](ctx context.Context, operation func(*In) (*request.Request, *Out), in *In, options ...request.Option) error {
	_, err := send(ctx, operation, in, options...)
	return err
}

// once makes a request be sent at most once: where the answer to a repeat would hide
// the answer to the first.
func once(r *request.Request) { r.Retryer = noRetries }

var noRetries = client.NoOpRetryer{}

// factsOf takes out of the SDK's error what reasonOf judges by. The SDK's errors do not
// unwrap: only their codes, statuses and texts tell. Other errors are given back as they are.
func factsOf(err error) error {
	var coded awserr.Error
	if !errors.As(err, &coded) {
		return err
	}
	f := &failure{text: err.Error()}
	if answered, ok := coded.(awserr.RequestFailure); ok {
		f.status = answered.StatusCode()
	}
	switch coded.Code() {
	case request.CanceledErrorCode:
		f.cancelled = true
	case request.ErrCodeRequestError, request.ErrCodeResponseTimeout, request.ErrCodeRead:
		f.unanswered = true
	case request.ErrCodeSerialization: // what came is not the API's: it has no code
	default:
		f.code = coded.Code()
	}
	return f
}

// newSigner gives what puts body and signature onto a request that the SDK does not
// know, as the SDK signs those of S3.
func newSigner(region string, k keys) func(r *http.Request, body []byte) error {
	s := v4.NewSigner(credentials.NewStaticCredentials(k.id, k.secret, ""))
	return func(r *http.Request, body []byte) error {
		_, err := s.Sign(r, bytes.NewReader(body), "s3", region, time.Now())
		return factsOf(err)
	}
}

// s3Calls are the calls of S3. Those that gateway names do what it says there.
type s3Calls struct{ api *s3.S3 }

func newS3Calls(over *http.Client, endpoint, region string, pathStyle bool, k keys) s3Calls {
	return s3Calls{s3.New(newSession(over, endpoint, region, pathStyle, k))}
}

func (c s3Calls) buckets(ctx context.Context) ([]bucketEntry, error) {
	out, err := send(ctx, c.api.ListBucketsRequest, &s3.ListBucketsInput{})
	return each(out.Buckets, func(b *s3.Bucket) bucketEntry {
		return bucketEntry{name: aws.StringValue(b.Name), created: aws.TimeValue(b.CreationDate)}
	}), err
}

func (c s3Calls) owned(ctx context.Context, bucket string) (bool, error) {
	account, err := send(ctx, c.api.ListBucketsRequest, &s3.ListBucketsInput{})
	if err != nil {
		return false, err
	}
	acl, err := send(ctx, c.api.GetBucketAclRequest, &s3.GetBucketAclInput{Bucket: &bucket})
	if err != nil || account.Owner == nil || acl.Owner == nil {
		return false, err
	}
	id := aws.StringValue(account.Owner.ID)
	return id != "" && id == aws.StringValue(acl.Owner.ID), nil
}

// head looks a bucket up. date is the answer's, also with an error; "" if there was none.
func (c s3Calls) head(ctx context.Context, bucket string) (date string, err error) {
	req, _ := c.api.HeadBucketRequest(&s3.HeadBucketInput{Bucket: &bucket})
	req.SetContext(ctx)
	err = factsOf(req.Send())
	if req.HTTPResponse != nil {
		date = req.HTTPResponse.Header.Get("Date")
	}
	return date, err
}

// location asks for the bucket's region, and drops it.
func (c s3Calls) location(ctx context.Context, bucket string) error {
	return do(ctx, c.api.GetBucketLocationRequest, &s3.GetBucketLocationInput{Bucket: &bucket})
}

// createWith makes a bucket, sent once. body replaces the SDK's, unless it is nil.
func (c s3Calls) createWith(ctx context.Context, bucket string, body []byte) error {
	return do(ctx, c.api.CreateBucketRequest, &s3.CreateBucketInput{Bucket: &bucket}, once, func(r *request.Request) {
		if body != nil {
			r.Handlers.Build.PushBack(func(r *request.Request) { r.SetBufferBody(body) })
		}
	})
}

func (c s3Calls) remove(ctx context.Context, bucket string) error {
	return do(ctx, c.api.DeleteBucketRequest, &s3.DeleteBucketInput{Bucket: &bucket})
}

func (c s3Calls) tags(ctx context.Context, bucket string) (map[string]string, error) {
	out, err := send(ctx, c.api.GetBucketTaggingRequest, &s3.GetBucketTaggingInput{Bucket: &bucket})
	tags := make(map[string]string, len(out.TagSet))
	for _, t := range out.TagSet {
		tags[aws.StringValue(t.Key)] = aws.StringValue(t.Value)
	}
	return tags, err
}

func (c s3Calls) putTags(ctx context.Context, bucket string, tags []tag) error {
	set := each(tags, func(t tag) *s3.Tag { return &s3.Tag{Key: &t.Key, Value: &t.Value} })
	return do(ctx, c.api.PutBucketTaggingRequest, &s3.PutBucketTaggingInput{Bucket: &bucket, Tagging: &s3.Tagging{TagSet: set}})
}

func (c s3Calls) deleteTags(ctx context.Context, bucket string) error {
	return do(ctx, c.api.DeleteBucketTaggingRequest, &s3.DeleteBucketTaggingInput{Bucket: &bucket})
}

func (c s3Calls) versioning(ctx context.Context, bucket string) (string, error) {
	out, err := send(ctx, c.api.GetBucketVersioningRequest, &s3.GetBucketVersioningInput{Bucket: &bucket})
	return aws.StringValue(out.Status), err
}

func (c s3Calls) setVersioning(ctx context.Context, bucket, status string) error {
	return do(ctx, c.api.PutBucketVersioningRequest, &s3.PutBucketVersioningInput{Bucket: &bucket, VersioningConfiguration: &s3.VersioningConfiguration{Status: &status}})
}

func (c s3Calls) policy(ctx context.Context, bucket string) (string, error) {
	out, err := send(ctx, c.api.GetBucketPolicyRequest, &s3.GetBucketPolicyInput{Bucket: &bucket})
	return aws.StringValue(out.Policy), err
}

func (c s3Calls) setPolicy(ctx context.Context, bucket, policy string) error {
	return do(ctx, c.api.PutBucketPolicyRequest, &s3.PutBucketPolicyInput{Bucket: &bucket, Policy: &policy})
}

func (c s3Calls) deletePolicy(ctx context.Context, bucket string) error {
	return do(ctx, c.api.DeleteBucketPolicyRequest, &s3.DeleteBucketPolicyInput{Bucket: &bucket})
}

// listVersions lists old versions and delete markers too. encoding is asked for keys; "" asks for none.
func (c s3Calls) listVersions(ctx context.Context, bucket string, limit int64, encoding string) (page, error) {
	out, err := send(ctx, c.api.ListObjectVersionsRequest, &s3.ListObjectVersionsInput{Bucket: &bucket, MaxKeys: &limit, EncodingType: optional(encoding)})
	versions := each(out.Versions, func(v *s3.ObjectVersion) object { return objectOf(v.Key, v.VersionId) })
	markers := each(out.DeleteMarkers, func(m *s3.DeleteMarkerEntry) object { return objectOf(m.Key, m.VersionId) })
	return page{append(versions, markers...), aws.StringValue(out.EncodingType), aws.BoolValue(out.IsTruncated)}, err
}

// listCurrent is listVersions for current objects only.
func (c s3Calls) listCurrent(ctx context.Context, bucket string, limit int64, encoding string) (page, error) {
	out, err := send(ctx, c.api.ListObjectsV2Request, &s3.ListObjectsV2Input{Bucket: &bucket, MaxKeys: &limit, EncodingType: optional(encoding)})
	objects := each(out.Contents, func(o *s3.Object) object { return objectOf(o.Key, nil) })
	return page{objects, aws.StringValue(out.EncodingType), aws.BoolValue(out.IsTruncated)}, err
}

// deleteMany sends the keys in a body of XML.
func (c s3Calls) deleteMany(ctx context.Context, bucket string, objects []object) (deletion, error) {
	batch := each(objects, func(o object) *s3.ObjectIdentifier {
		return &s3.ObjectIdentifier{Key: &o.key, VersionId: optional(o.version)}
	})
	out, err := send(ctx, c.api.DeleteObjectsRequest, &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &s3.Delete{Objects: batch}})
	failed := each(out.Errors, func(e *s3.Error) failedDelete { // 200 does not mean deleted
		return failedDelete{objectOf(e.Key, e.VersionId), aws.StringValue(e.Code), aws.StringValue(e.Message)}
	})
	return deletion{len(out.Deleted), failed}, err
}

// deleteOne sends the key in the path.
func (c s3Calls) deleteOne(ctx context.Context, bucket string, o object) error {
	return do(ctx, c.api.DeleteObjectRequest, &s3.DeleteObjectInput{Bucket: &bucket, Key: &o.key, VersionId: optional(o.version)})
}

// listUploads asks for keys in encoding, and gives the one that they are in.
func (c s3Calls) listUploads(ctx context.Context, bucket, encoding string) ([]upload, string, error) {
	out, err := send(ctx, c.api.ListMultipartUploadsRequest, &s3.ListMultipartUploadsInput{Bucket: &bucket, EncodingType: &encoding})
	list := each(out.Uploads, func(u *s3.MultipartUpload) upload { return upload{aws.StringValue(u.Key), aws.StringValue(u.UploadId)} })
	return list, aws.StringValue(out.EncodingType), err
}

func (c s3Calls) abort(ctx context.Context, bucket string, u upload) error {
	return do(ctx, c.api.AbortMultipartUploadRequest, &s3.AbortMultipartUploadInput{Bucket: &bucket, Key: &u.key, UploadId: &u.id})
}

// iamCalls are the calls of IAM.
type iamCalls struct{ api *iam.IAM }

// newIAMCalls makes them. IAM is signed for the default region wherever the buckets are.
func newIAMCalls(over *http.Client, endpoint string, k keys) iamCalls {
	return iamCalls{iam.New(newSession(over, endpoint, defaultRegion, true, k))}
}

// mayList asks for one user, and drops it.
func (c iamCalls) mayList(ctx context.Context) error {
	return do(ctx, c.api.ListUsersRequest, &iam.ListUsersInput{MaxItems: aws.Int64(1)})
}

// users gives the names of all users under a path.
func (c iamCalls) users(ctx context.Context, path string) (names []string, err error) {
	err = c.api.ListUsersPagesWithContext(ctx, &iam.ListUsersInput{PathPrefix: &path}, func(out *iam.ListUsersOutput, _ bool) bool {
		names = append(names, each(out.Users, func(u *iam.User) string { return aws.StringValue(u.UserName) })...)
		return true
	})
	return names, factsOf(err)
}

func (c iamCalls) createUser(ctx context.Context, user, path string, tags []tag) error {
	set := each(tags, func(t tag) *iam.Tag { return &iam.Tag{Key: &t.Key, Value: &t.Value} })
	return do(ctx, c.api.CreateUserRequest, &iam.CreateUserInput{UserName: &user, Path: &path, Tags: set})
}

func (c iamCalls) deleteUser(ctx context.Context, user string) error {
	return do(ctx, c.api.DeleteUserRequest, &iam.DeleteUserInput{UserName: &user})
}

// createKey makes a user's access key, sent once. made is nil if the answer carries none.
func (c iamCalls) createKey(ctx context.Context, user string) (made *keys, err error) {
	out, err := send(ctx, c.api.CreateAccessKeyRequest, &iam.CreateAccessKeyInput{UserName: &user}, once)
	if err != nil || out.AccessKey == nil {
		return nil, err
	}
	return &keys{aws.StringValue(out.AccessKey.AccessKeyId), aws.StringValue(out.AccessKey.SecretAccessKey)}, nil
}

// keys gives the ids of a user's access keys, a page of them.
func (c iamCalls) keys(ctx context.Context, user string) ([]string, error) {
	out, err := send(ctx, c.api.ListAccessKeysRequest, &iam.ListAccessKeysInput{UserName: &user})
	return each(out.AccessKeyMetadata, func(k *iam.AccessKeyMetadata) string { return aws.StringValue(k.AccessKeyId) }), err
}

func (c iamCalls) deleteKey(ctx context.Context, user, id string) error {
	return do(ctx, c.api.DeleteAccessKeyRequest, &iam.DeleteAccessKeyInput{UserName: &user, AccessKeyId: &id})
}

// policies gives the names of a user's inline policies, a page of them.
func (c iamCalls) policies(ctx context.Context, user string) ([]string, error) {
	out, err := send(ctx, c.api.ListUserPoliciesRequest, &iam.ListUserPoliciesInput{UserName: &user})
	return aws.StringValueSlice(out.PolicyNames), err
}

func (c iamCalls) putPolicy(ctx context.Context, user, name, policy string) error {
	return do(ctx, c.api.PutUserPolicyRequest, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &name, PolicyDocument: &policy})
}

func (c iamCalls) deletePolicy(ctx context.Context, user, name string) error {
	return do(ctx, c.api.DeleteUserPolicyRequest, &iam.DeleteUserPolicyInput{UserName: &user, PolicyName: &name})
}

func objectOf(key, version *string) object {
	return object{aws.StringValue(key), aws.StringValue(version)}
}
