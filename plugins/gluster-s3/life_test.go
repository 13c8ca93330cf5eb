package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLife walks an instance and a binding through their life with each way of
// accounts, over TLS with an authority of our own too.
func TestLife(t *testing.T) {
	cases := []struct {
		name, why, accounts string
		args                []string
	}{
		{"admin API", "users made through VersityGW's admin API", accountsVersityGW, nil},
		{"admin API over TLS", "S3 and admin API trust the configured authority", accountsVersityGW, []string{"-tls"}},
		{"IAM", "users made through the AWS-style IAM API", accountsIAM, []string{"-iam", "standalone"}},
		{"IAM over TLS", "S3 and IAM API trust the configured authority", accountsIAM, []string{"-iam", "standalone", "-tls"}},
		{"shared", "no accounts at all, as on any gateway", accountsShared, nil},
		{"another region", "CreateBucket must carry region and tags in one body", accountsVersityGW, []string{"-region", "eu-north-1"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := startGateway(t, c.args...)
			p := configure(t, g.config(t, c.accounts))
			i := newInstance("an instance, é")
			must(t, i.provision(t, p, map[string]any{"bucket": "photos", "versioning": true, "tags": map[string]string{"team": "a b+c"}}))

			out, err := i.bind(t, p, "b1", accessReadWrite)
			must(t, err)
			app := clientOf(t, g, keys{out.AccessKeyID, out.SecretAccessKey})
			putObject(t, app, "photos", "dir/one", "hello")
			if got := getObject(t, app, "photos", "dir/one"); got != "hello" {
				t.Errorf("read back %q", got)
			}
			tags, err := rootOf(t, g).tags(t.Context(), "photos")
			must(t, err)
			if diff := cmp.Diff(map[string]string{"team": "a b+c", markInstance: instanceName(i.id), markFence: "2"}, tags); diff != "" {
				t.Errorf("tags of the bucket (-want +got):\n%s", diff)
			}
			must(t, i.unbind(t, p, "b1"))
			if c.accounts != accountsShared {
				if _, err := app.versions(t.Context(), "photos", 1, listing{}); err == nil {
					t.Error("the keys live on after unbind")
				}
			}
			left, err := i.deprovision(t, p, map[string]any{"bucket": "photos", "onDelete": "purge"})
			must(t, err)
			if len(left) > 0 || len(bucketNames(t, rootOf(t, g))) > 0 {
				t.Errorf("left over: %q, buckets %q", left, bucketNames(t, rootOf(t, g)))
			}
		})
	}
}
