//lint:file-ignore SA1019 the project uses version 1 of the SDK on purpose (CONTRIBUTING.md)

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"
)

// cns are the credential keys of the 2017 CNS Object Broker, which the default plan renders.
type cns struct {
	Endpoint string `json:"bucketEndpoint"` // host:port
	Name     string `json:"bucketName"`
	ID       string `json:"bucketID"`
	Password string `json:"bucketPword"`
}

// bucket is an S3 client with one binding's keys.
type bucket struct {
	name string
	s3   *s3.S3
}

func open(c cns, region string) (*bucket, error) {
	s, err := session.NewSession(&aws.Config{
		Endpoint: aws.String("http://" + c.Endpoint), Region: aws.String(region),
		Credentials:      credentials.NewStaticCredentials(c.ID, c.Password, ""),
		S3ForcePathStyle: aws.Bool(true), HTTPClient: &http.Client{}, MaxRetries: aws.Int(2),
	})
	if err != nil {
		return nil, fmt.Errorf("make an S3 client: %w", err)
	}
	return &bucket{name: c.Name, s3: s3.New(s)}, nil
}

func (b *bucket) put(ctx context.Context, bucket, key, text string) error {
	_, err := b.s3.PutObjectWithContext(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(text)})
	return err
}

func (b *bucket) get(ctx context.Context, bucket, key string) (string, error) {
	out, err := b.s3.GetObjectWithContext(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return "", err
	}
	defer out.Body.Close()
	raw, err := io.ReadAll(out.Body)
	return string(raw), err
}

func (b *bucket) list(ctx context.Context, bucket string) error {
	_, err := b.s3.ListObjectsV2WithContext(ctx, &s3.ListObjectsV2Input{Bucket: &bucket})
	return err
}

func (b *bucket) remove(ctx context.Context, bucket, key string) error {
	_, err := b.s3.DeleteObjectWithContext(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	return err
}

func (b *bucket) drop(ctx context.Context, bucket string) error {
	_, err := b.s3.DeleteBucketWithContext(ctx, &s3.DeleteBucketInput{Bucket: &bucket})
	return err
}

func (b *bucket) buckets(ctx context.Context) ([]string, error) {
	out, err := b.s3.ListBucketsWithContext(ctx, &s3.ListBucketsInput{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range out.Buckets {
		names = append(names, aws.StringValue(e.Name))
	}
	return names, nil
}

// nothingIn proves that the keys can neither list, read, write nor delete anything of a foreign bucket.
func (b *bucket) nothingIn(ctx context.Context, foreign string) error {
	_, reading := b.get(ctx, foreign, "greeting.txt")
	for what, err := range map[string]error{
		"listing":             b.list(ctx, foreign),
		"reading":             reading,
		"writing":             b.put(ctx, foreign, "intruder.txt", "x"),
		"deleting":            b.remove(ctx, foreign, "greeting.txt"),
		"deleting the bucket": b.drop(ctx, foreign),
	} {
		if err := refused(err); err != nil {
			return fmt.Errorf("%s in %s: %w", what, foreign, err)
		}
	}
	if seen, err := b.buckets(ctx); err == nil && len(seen) > 0 {
		return fmt.Errorf("the keys see buckets: %s", strings.Join(seen, ", "))
	}
	fmt.Printf("    listing, reading, writing and deleting in %s were all refused\n", foreign)
	return nil
}

// refused gives nil if the gateway refused for lack of rights: nothing else proves isolation.
func refused(err error) error {
	var failure awserr.RequestFailure
	switch {
	case err == nil:
		return errors.New("was allowed")
	case errors.As(err, &failure) && failure.StatusCode() == http.StatusForbidden:
		return nil
	default:
		return fmt.Errorf("was not refused but failed: %w", err)
	}
}
