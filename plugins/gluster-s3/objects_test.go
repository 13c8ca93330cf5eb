//lint:file-ignore SA1019 the project uses version 1 of the SDK on purpose (CONTRIBUTING.md)

package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/service/s3"
)

// putObject writes as an application does.
func putObject(t *testing.T, g *s3Gateway, bucket, key, content string) {
	t.Helper()
	_, err := g.api.PutObjectWithContext(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(content)})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

// getObject reads as an application does.
func getObject(t *testing.T, g *s3Gateway, bucket, key string) string {
	t.Helper()
	out, err := g.api.GetObjectWithContext(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	defer out.Body.Close()
	raw, err := io.ReadAll(out.Body)
	must(t, err)
	return string(raw)
}

// fill puts n objects, a second version of each, a delete marker for the first, and
// an unfinished multipart upload into a bucket.
func fill(t *testing.T, g *s3Gateway, bucket string, n int) {
	t.Helper()
	for _, content := range []string{"old", "new"} {
		for k := range n {
			putObject(t, g, bucket, fmt.Sprintf("dir%d/object %d", k%7, k), content)
		}
	}
	key := "dir0/object 0"
	_, err := g.api.DeleteObjectWithContext(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	must(t, err)
	startUpload(t, g, bucket, "unfinished")
}

// startUpload begins a multipart upload, sends a part and does not finish.
func startUpload(t *testing.T, g *s3Gateway, bucket, key string) {
	t.Helper()
	up, err := g.api.CreateMultipartUploadWithContext(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key})
	must(t, err)
	one := int64(1)
	_, err = g.api.UploadPartWithContext(t.Context(), &s3.UploadPartInput{
		Bucket: &bucket, Key: &key, UploadId: up.UploadId, PartNumber: &one, Body: strings.NewReader("part"),
	})
	must(t, err)
}
