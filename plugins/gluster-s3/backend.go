package main

import (
	"context"
	"net"
	"net/http"
	"strconv"

	"github.com/chandler-broker/chandler/core/plugin"
)

// backend is one gateway, configured. Safe for concurrent use; nothing in it changes.
type backend struct {
	config   config
	where    location
	client   *http.Client
	gateway  gateway
	accounts accounts
	can      features
}

// newBackend makes the clients; it does not touch the gateway.
func newBackend(c config, where location) *backend {
	b := &backend{config: c, where: where, client: newHTTPClient(c.CACertificate)}
	b.gateway = b.gatewayAs(keys{c.AccessKeyID, c.SecretAccessKey})
	b.accounts = newAccounts(b)
	return b
}

// gatewayAs is the gateway as the holder of those keys sees it.
func (b *backend) gatewayAs(k keys) gateway {
	return newS3Gateway(b.client, b.where.endpoint, b.config.Region, b.config.pathStyle(), k)
}

// Configure is called once per process. It refuses what the gateway refuses, learns
// what the gateway can do, and leaves nothing behind there.
func (p *glusterS3) Configure(ctx context.Context, req *plugin.ConfigureRequest) error {
	c, err := decodeConfig(req.Config)
	if err != nil {
		return err
	}
	var source endpointSource = fixedEndpoint{c}
	where, err := source.locate(ctx)
	if err != nil {
		return err
	}
	b := newBackend(c, where)
	if err := b.learn(ctx); err != nil {
		b.client.CloseIdleConnections()
		return err
	}
	req.SetIsolated(b.accounts.isolated())
	p.mu.Lock()
	p.backend = b
	p.mu.Unlock()
	return nil
}

// learn asks the gateway whether the keys are good and what it can do.
func (b *backend) learn(ctx context.Context) error {
	entries, err := b.gateway.buckets(ctx)
	if err != nil {
		return configProblem(err, "list buckets", "/endpoint")
	}
	if err := b.accounts.check(ctx); err != nil {
		return err
	}
	b.removeOldProbes(ctx, entries)
	can, err := probe(ctx, b.gateway)
	if err != nil {
		return err
	}
	b.can = can
	if b.config.Accounts == accountsVersityGW && !can.policy {
		return plugin.InvalidInput("/accounts", "accounts: versitygw needs bucket policies, which this gateway does not have.")
	}
	return nil
}

// instanceOutputs are the outputs of Provision and Update.
type instanceOutputs struct {
	Bucket           string `json:"bucket"`
	Endpoint         string `json:"endpoint"`
	EndpointHostPort string `json:"endpointHostPort"`
	Region           string `json:"region"`
	PathStyle        bool   `json:"pathStyle"`
	Marked           bool   `json:"marked"`
}

func (b *backend) instanceOutputs(bucket string) instanceOutputs {
	return instanceOutputs{
		Bucket:           bucket,
		Endpoint:         b.where.public.url,
		EndpointHostPort: b.where.public.hostPort(),
		Region:           b.config.Region,
		PathStyle:        b.config.pathStyle(),
		Marked:           b.can.tag,
	}
}

// hostPort joins host and port by a colon, an IPv6 address in brackets.
func (a address) hostPort() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }
