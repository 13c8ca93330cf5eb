package main

import (
	"context"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

// bindInputs are the inputs of Bind.
type bindInputs struct {
	Access string `json:"access"`
}

// bindingOutputs are the outputs of Bind.
type bindingOutputs struct {
	AccessKeyID     string `json:"accessKeyID"`
	SecretAccessKey string `json:"secretAccessKey"`
	Endpoint        string `json:"endpoint"`
	Host            string `json:"host"`
	Port            int    `json:"port"`
	HostPort        string `json:"hostPort"`
	Region          string `json:"region"`
	PathStyle       bool   `json:"pathStyle"`
	Bucket          string `json:"bucket"`
	Access          string `json:"access"`
	CACertificate   string `json:"caCertificate"`
}

// Bind makes fresh keys for the instance's bucket and ends those of earlier calls for
// the same binding. It is done when the keys work.
func (p *glusterS3) Bind(ctx context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	b, err := p.configured()
	if err != nil {
		return plugin.Result{}, err
	}
	in := bindInputs{}
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	switch in.Access {
	case "":
		in.Access = accessReadWrite
	case accessReadOnly, accessReadWrite:
	default:
		return plugin.Result{}, plugin.InvalidInput("/access", "access is %s or %s.", accessReadOnly, accessReadWrite)
	}
	bucket := bucketOf(req.Instance)
	if bucket == "" {
		return plugin.Result{}, plugin.Failed("The instance has no bucket yet.").WithDetail("the request carries no outputs of the instance")
	}
	whose, why, err := b.ownerOf(ctx, bucket, bindingEvidence(req, bucket))
	if err != nil {
		return plugin.Result{}, err
	}
	if whose != ownerUs {
		return plugin.Result{}, lost(bucket, why)
	}
	k, err := b.accounts.grant(ctx, granteeOf(req, bucket), in.Access)
	if err != nil {
		return plugin.Result{}, err
	}
	req.Hide(k.secret)
	if err := b.proveKeys(ctx, bucket, k); err != nil {
		return plugin.Result{}, err
	}
	return plugin.Done(b.bindingOutputs(bucket, in.Access, k)), nil
}

// Unbind ends all keys of the binding.
func (p *glusterS3) Unbind(ctx context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	b, err := p.configured()
	if err != nil {
		return plugin.Result{}, err
	}
	bucket := bucketOf(req.Instance)
	if bucket != "" {
		whose, _, err := b.ownerOf(ctx, bucket, bindingEvidence(req, bucket))
		if err != nil {
			return plugin.Result{}, err
		}
		if whose != ownerUs {
			bucket = "" // not ours to change; the users are
		}
	}
	if err := b.accounts.revoke(ctx, granteeOf(req, bucket)); err != nil {
		return plugin.Result{}, err
	}
	return plugin.Done(nil), nil
}

func granteeOf(req *plugin.BindingRequest, bucket string) grantee {
	return grantee{instanceID: req.InstanceID, bindingID: req.BindingID, bucket: bucket, fence: req.Fence}
}

// bindingEvidence is what proves the bucket to be the instance's, for a binding.
func bindingEvidence(req *plugin.BindingRequest, bucket string) evidence {
	ev := evidence{instance: instanceName(req.InstanceID), fence: req.Fence}
	ev.apply(req.Instance, bucket)
	return ev
}

// proveKeys waits until fresh keys open the bucket: on AWS, and where several gateways
// share one directory of users, that takes a moment.
func (b *backend) proveKeys(ctx context.Context, bucket string, k keys) error {
	const tries = 8 // some 13 s in all
	as := b.gatewayAs(k)
	wait := 50 * time.Millisecond
	for try := 1; ; try++ {
		_, err := as.exists(ctx, bucket)
		switch reasonOf(err) {
		case reasonNone:
			return nil
		case reasonDenied, reasonBadKeys:
			if try == tries {
				return plugin.Unavailable(0, "The S3 gateway does not know the new keys yet; new ones will be made.").WithCause(err)
			}
		default:
			return problem(err, "use the new keys")
		}
		if err := pause(ctx, wait); err != nil {
			return problem(err, "use the new keys")
		}
		wait *= 2
	}
}

func (b *backend) bindingOutputs(bucket, access string, k keys) bindingOutputs {
	public := b.where.public
	return bindingOutputs{
		AccessKeyID:     k.id,
		SecretAccessKey: k.secret,
		Endpoint:        public.url,
		Host:            public.host,
		Port:            public.port,
		HostPort:        public.hostPort(),
		Region:          b.config.Region,
		PathStyle:       b.config.pathStyle(),
		Bucket:          bucket,
		Access:          access,
		CACertificate:   b.config.CACertificate,
	}
}
