//lint:file-ignore SA1019 the project uses version 1 of the SDK on purpose (CONTRIBUTING.md)

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"github.com/aws/aws-sdk-go/service/s3"
)

// demoRecord is what the demo plugin keeps of one instance.
type demoRecord struct {
	InstanceID string `json:"instance_id"`
	State      string
	Inputs     struct{ Size int }
	Bindings   map[string]struct {
		PasswordSHA256 string `json:"password_sha256"`
	}
}

// demoRecords reads the demo plugin's directory, by instance id. Two records of one
// instance are an error.
func (w *world) demoRecords() (map[string]demoRecord, error) {
	files, err := filepath.Glob(filepath.Join(w.demoDir, "instances", "*.json"))
	if err != nil {
		return nil, err
	}
	all := map[string]demoRecord{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		var r demoRecord
		if err == nil {
			err = json.Unmarshal(raw, &r)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		if _, twice := all[r.InstanceID]; twice {
			return nil, fmt.Errorf("two records of the instance %s", r.InstanceID)
		}
		all[r.InstanceID] = r
	}
	return all, nil
}

// s3As is a client of the gateway with some keys.
func (w *world) s3As(key, secret string) (*s3.S3, error) {
	s, err := session.NewSession(&aws.Config{
		Endpoint: &w.gateway.Endpoint, Region: &w.gateway.Region, Credentials: credentials.NewStaticCredentials(key, secret, ""),
		S3ForcePathStyle: aws.Bool(true), HTTPClient: client, MaxRetries: aws.Int(0),
	})
	if err != nil {
		return nil, err
	}
	return s3.New(s), nil
}

// buckets gives the size tag of each bucket, by name.
func (w *world) buckets(ctx context.Context) (map[string]string, error) {
	root, err := w.s3As(w.gateway.AccessKey, w.gateway.SecretKey)
	if err != nil {
		return nil, err
	}
	out, err := root.ListBucketsWithContext(ctx, &s3.ListBucketsInput{})
	if err != nil {
		return nil, fmt.Errorf("list the buckets: %w", err)
	}
	all := map[string]string{}
	for _, b := range out.Buckets {
		all[*b.Name] = ""
		tags, err := root.GetBucketTaggingWithContext(ctx, &s3.GetBucketTaggingInput{Bucket: b.Name})
		var failure awserr.RequestFailure
		if errors.As(err, &failure) && failure.StatusCode() == http.StatusNotFound {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the tags of %s: %w", *b.Name, err)
		}
		for _, tag := range tags.TagSet {
			if *tag.Key == "size" {
				all[*b.Name] = *tag.Value
			}
		}
	}
	return all, nil
}

// accounts lists the access keys of the gateway's users, through its admin API.
func (w *world) accounts(ctx context.Context) (map[string]bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, w.gateway.AdminEndpoint+"/list-users", nil)
	if err != nil {
		return nil, err
	}
	signer := v4.NewSigner(credentials.NewStaticCredentials(w.gateway.AccessKey, w.gateway.SecretKey, ""))
	if _, err := signer.Sign(req, bytes.NewReader(nil), "s3", w.gateway.Region, time.Now()); err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("list the accounts: %w", err)
	}
	defer resp.Body.Close()
	var list struct {
		Accounts []struct{ Access string }
	}
	raw, err := io.ReadAll(resp.Body)
	if err == nil {
		err = xml.Unmarshal(raw, &list)
	}
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("list the accounts: %d %s %w", resp.StatusCode, raw, err)
	}
	all := map[string]bool{}
	for _, a := range list.Accounts {
		all[a.Access] = true
	}
	return all, nil
}

// makeTaken makes the bucket that belongs to somebody else, with an object in it.
func (w *world) makeTaken(ctx context.Context) error {
	root, err := w.s3As(w.gateway.AccessKey, w.gateway.SecretKey)
	if err != nil {
		return err
	}
	if _, err := root.CreateBucketWithContext(ctx, &s3.CreateBucketInput{Bucket: aws.String(takenBucket)}); err != nil {
		return fmt.Errorf("make the taken bucket: %w", err)
	}
	_, err = root.PutObjectWithContext(ctx, &s3.PutObjectInput{Bucket: aws.String(takenBucket), Key: aws.String("deed"), Body: strings.NewReader("mine")})
	return err
}

// takenIntact says what is wrong with the bucket that belongs to somebody else.
func (w *world) takenIntact(ctx context.Context) error {
	root, err := w.s3As(w.gateway.AccessKey, w.gateway.SecretKey)
	if err != nil {
		return err
	}
	out, err := root.GetObjectWithContext(ctx, &s3.GetObjectInput{Bucket: aws.String(takenBucket), Key: aws.String("deed")})
	if err != nil {
		return fmt.Errorf("the stranger's object: %w", err)
	}
	return out.Body.Close()
}

// keys are the credentials of a bucket's binding.
type keys struct{ Bucket, Key, Secret string }

// verdict is what an attempt to use credentials says.
type verdict int

const (
	unclear verdict = iota // the gateway did not answer
	works
	dead
)

// try uses credentials: it lists the bucket and, if it may write, writes into it.
func (w *world) try(ctx context.Context, k keys, write bool) verdict {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := w.s3As(k.Key, k.Secret)
	if err != nil {
		return unclear
	}
	_, err = c.ListObjectsV2WithContext(ctx, &s3.ListObjectsV2Input{Bucket: &k.Bucket})
	if err == nil && write {
		_, err = c.PutObjectWithContext(ctx, &s3.PutObjectInput{Bucket: &k.Bucket, Key: aws.String("probe"), Body: strings.NewReader("x")})
	}
	var failure awserr.RequestFailure
	switch {
	case err == nil:
		return works
	case errors.As(err, &failure) && (failure.StatusCode() == http.StatusForbidden || failure.StatusCode() == http.StatusNotFound):
		return dead
	}
	return unclear
}

// empty removes the object that try writes; false if that is not certain.
func (w *world) empty(ctx context.Context, bucket string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	root, err := w.s3As(w.gateway.AccessKey, w.gateway.SecretKey)
	if err != nil {
		return false
	}
	_, err = root.DeleteObjectWithContext(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("probe")})
	var failure awserr.RequestFailure
	return err == nil || errors.As(err, &failure) && failure.StatusCode() == http.StatusNotFound
}
