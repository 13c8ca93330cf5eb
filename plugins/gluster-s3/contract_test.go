package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chandler-broker/chandler/core/plugin/plugintest"
)

// TestContract runs the conformance kit against the executable: among others it kills
// the process at any moment and looks at the gateway for what is left.
func TestContract(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "chandler-plugin-gluster-s3")
	must(t, build(".", binary))
	cases := append(slices.Clone(bothAccounts), struct {
		name, accounts string
		args           []string
	}{"shared", accountsShared, nil})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := startGateway(t, c.args...)
			cfg, err := json.Marshal(g.config(t, c.accounts).document(t).Raw())
			must(t, err)
			config := plugintest.Config{
				Command:   []string{binary},
				Config:    cfg,
				Provision: json.RawMessage(`{"bucket":"b-{id}","onDelete":"purge","tags":{"made":"here"}}`),
				Update:    json.RawMessage(`{"bucket":"b-{id}","onDelete":"purge","versioning":true,"tags":{"changed":"there"}}`),
				Bind:      json.RawMessage(`{"access":"read-write"}`),
				Count:     countBuckets(rootOf(t, g)),
				Adopt:     json.RawMessage(`{"bucket":"adopted-{id}","onDelete":"purge"}`),
				Unowned:   strangersBucket(rootOf(t, g)),
			}
			if c.accounts != accountsShared {
				config.Live = liveKeys(t, g)
			}
			plugintest.Run(t, config)
			if names := bucketNames(t, rootOf(t, g)); len(names) > 0 {
				t.Errorf("buckets left: %q", names)
			}
			w := wired{gateway: g, config: g.config(t, c.accounts)}
			if users := w.users(t); len(users) > 0 {
				t.Errorf("users left: %q", users)
			}
		})
	}
}

// strangersBucket makes the bucket of some inputs, as somebody does who knows nothing of this plugin.
func strangersBucket(root gateway) func(context.Context, json.RawMessage) error {
	return func(ctx context.Context, inputs json.RawMessage) error {
		var in struct{ Bucket string }
		if err := json.Unmarshal(inputs, &in); err != nil {
			return err
		}
		return root.create(ctx, in.Bucket, nil)
	}
}

// countBuckets counts the buckets that are marked as an instance's.
func countBuckets(root gateway) func(context.Context, string) (int, error) {
	return func(ctx context.Context, instanceID string) (int, error) {
		entries, err := root.buckets(ctx)
		n := 0
		for _, e := range entries {
			tags, err := root.tags(ctx, e.name)
			if err != nil && reasonOf(err) != reasonAbsent {
				return n, err
			}
			if tags[markInstance] == instanceName(instanceID) {
				n++
			}
		}
		return n, err
	}
}

// liveKeys tells whether a binding's keys open its bucket.
func liveKeys(t *testing.T, g *testGateway) func(context.Context, json.RawMessage, json.RawMessage) (bool, error) {
	return func(ctx context.Context, _, outputs json.RawMessage) (bool, error) {
		var out bindingOutputs
		if err := json.Unmarshal(outputs, &out); err != nil {
			return false, err
		}
		_, err := clientOf(t, g, keys{out.AccessKeyID, out.SecretAccessKey}).versions(ctx, out.Bucket, 1, listing{})
		switch reasonOf(err) {
		case reasonNone:
			return true, nil
		case reasonBadKeys, reasonDenied, reasonAbsent:
			return false, nil
		}
		return false, err
	}
}
