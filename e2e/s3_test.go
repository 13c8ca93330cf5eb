//lint:file-ignore SA1019 the project uses version 1 of the SDK on purpose (CONTRIBUTING.md)

package e2e

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"github.com/aws/aws-sdk-go/service/s3"
)

// s3As makes an S3 client with these keys.
func (w *world) s3As(access, secret string) *s3.S3 {
	w.t.Helper()
	s, err := session.NewSession(&aws.Config{
		Endpoint: &w.gateway.Endpoint, Region: &w.gateway.Region, Credentials: credentials.NewStaticCredentials(access, secret, ""),
		S3ForcePathStyle: aws.Bool(true), HTTPClient: w.client, MaxRetries: aws.Int(2),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s3.New(s)
}

// buckets lists all buckets of the gateway's root account.
func (w *world) buckets() []string {
	w.t.Helper()
	out, err := w.s3As(w.gateway.AccessKey, w.gateway.SecretKey).ListBucketsWithContext(w.ctx, &s3.ListBucketsInput{})
	if err != nil {
		w.t.Fatalf("list the buckets: %v", err)
	}
	var names []string
	for _, b := range out.Buckets {
		names = append(names, *b.Name)
	}
	slices.Sort(names)
	return names
}

// accounts lists the access keys of the gateway's users, through its admin API.
func (w *world) accounts() []string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPatch, w.gateway.AdminEndpoint+"/list-users", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	signer := v4.NewSigner(credentials.NewStaticCredentials(w.gateway.AccessKey, w.gateway.SecretKey, ""))
	if _, err := signer.Sign(req, bytes.NewReader(nil), "s3", w.gateway.Region, time.Now()); err != nil {
		w.t.Fatal(err)
	}
	resp, err := w.client.Do(req)
	if err != nil {
		w.t.Fatalf("list the accounts: %v", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("list the accounts: %d %s %v", resp.StatusCode, raw, err)
	}
	var list struct {
		Accounts []struct {
			Access string `xml:"Access"`
		} `xml:"Accounts"`
	}
	if err := xml.Unmarshal(raw, &list); err != nil {
		w.t.Fatalf("list the accounts: %s: %v", raw, err)
	}
	var keys []string
	for _, a := range list.Accounts {
		keys = append(keys, a.Access)
	}
	slices.Sort(keys)
	return keys
}

// works tells whether a binding's credentials can write and read its bucket.
func (w *world) works(body map[string]any) bool {
	w.t.Helper()
	c, _ := body["credentials"].(map[string]any)
	id, _ := c["bucketID"].(string)
	secret, _ := c["bucketPword"].(string)
	bucket, _ := c["bucketName"].(string)
	client := w.s3As(id, secret)
	_, err := client.PutObjectWithContext(w.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("probe"), Body: strings.NewReader("x")})
	if err != nil {
		return false
	}
	_, err = client.DeleteObjectWithContext(w.ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("probe")})
	return err == nil
}

func createBucket(name string) *s3.CreateBucketInput { return &s3.CreateBucketInput{Bucket: &name} }

func putObject(bucket, key, text string) *s3.PutObjectInput {
	return &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(text)}
}

func getObject(bucket, key string) *s3.GetObjectInput {
	return &s3.GetObjectInput{Bucket: &bucket, Key: &key}
}

// purgePlanID finds the shipped plan that empties buckets.
func purgePlanID(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("../catalog/gluster-s3.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`- id: (\S+)\n  name: purge\n`).FindSubmatch(raw)
	if m == nil {
		t.Fatal("the shipped catalog has no plan purge")
	}
	return string(m[1])
}
