package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/chandler-broker/chandler/core/plugin"
)

// testGateway is a real gateway: a process of e2e/s3gateway, or one that somebody
// else has started.
type testGateway struct {
	Endpoint      string `json:"endpoint"`
	AdminEndpoint string `json:"adminEndpoint"`
	IAMEndpoint   string `json:"iamEndpoint"`
	Region        string `json:"region"`
	CACertificate string `json:"caCertificate"`

	keys keys
}

// startGateway runs a gateway in a directory of its own until the test ends.
func startGateway(t *testing.T, args ...string) *testGateway {
	t.Helper()
	return startGatewayIn(t, t.TempDir(), args...)
}

// startGatewayIn is startGateway in that directory.
func startGatewayIn(t *testing.T, dir string, args ...string) *testGateway {
	t.Helper()
	if errNoGateway != nil {
		t.Skipf("no S3 gateway to test against: %v", errNoGateway)
	}
	g := &testGateway{keys: keys{"root", newSecret()}}
	cmd := exec.Command(gatewayBinary, append([]string{"-dir", dir}, args...)...)
	cmd.Env = append(os.Environ(), "S3GATEWAY_ACCESS_KEY="+g.keys.id, "S3GATEWAY_SECRET_KEY="+g.keys.secret)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // its end ends the gateway, whatever ends this process
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the gateway did not start: %v", err)
	}
	if err := json.Unmarshal(line, g); err != nil {
		t.Fatal(err)
	}
	return g
}

// config is a backend's configuration for the gateway.
func (g *testGateway) config(t *testing.T, accounts string) config {
	t.Helper()
	c := config{
		Endpoint:        g.Endpoint,
		AdminEndpoint:   g.AdminEndpoint,
		IAMEndpoint:     g.IAMEndpoint,
		Region:          g.Region,
		AccessKeyID:     g.keys.id,
		SecretAccessKey: g.keys.secret,
		Accounts:        accounts,
	}
	if g.CACertificate != "" {
		pem, err := os.ReadFile(g.CACertificate)
		if err != nil {
			t.Fatal(err)
		}
		c.CACertificate = string(pem)
	}
	return c
}

// document gives a configuration as the broker does, without keys that are empty.
func (c config) document(t *testing.T) plugin.Document {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	for k, v := range m {
		if v == "" || v == nil {
			delete(m, k)
		}
	}
	return plugin.JSON(m)
}

// configure makes a plugin as a fresh process would be after Configure.
func configure(t *testing.T, c config) *glusterS3 {
	t.Helper()
	p := newGlusterS3()
	if err := p.Configure(t.Context(), &plugin.ConfigureRequest{Backend: "test", Config: c.document(t)}); err != nil {
		t.Fatalf("Configure: %v", err)
	}
	t.Cleanup(p.backend.client.CloseIdleConnections)
	return p
}

// rootOf is a client with the gateway's own keys, to look at what the plugin did and
// to play the stranger.
func rootOf(t *testing.T, g *testGateway) *s3Gateway {
	t.Helper()
	return clientOf(t, g, g.keys)
}

// clientOf is an application's client.
func clientOf(t *testing.T, g *testGateway, k keys) *s3Gateway {
	t.Helper()
	client := newHTTPClient(g.config(t, accountsShared).CACertificate)
	t.Cleanup(client.CloseIdleConnections)
	return newS3Gateway(client, g.Endpoint, g.Region, true, k)
}

// must ends the test if err is not nil.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bucketNames are the names of all buckets at the gateway.
func bucketNames(t *testing.T, g gateway) []string {
	t.Helper()
	entries, err := g.buckets(context.Background())
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.name)
	}
	return names
}
