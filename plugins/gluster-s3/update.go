package main

import (
	"context"

	"github.com/chandler-broker/chandler/core/plugin"
)

// Update changes versioning and tags; onDelete only matters later and is stored by the broker.
func (p *glusterS3) Update(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	b, err := p.configured()
	if err != nil {
		return plugin.Result{}, err
	}
	in, err := b.decodeInstanceInputs(req.Inputs)
	if err != nil {
		return plugin.Result{}, err
	}
	if bucket := bucketOf(req.Applied); bucket != "" && bucket != in.Bucket {
		return plugin.Result{}, plugin.InvalidInput("/bucket",
			"A bucket cannot be renamed; it is called %q. Make a new instance for another name.", bucket).UpdateRepeatable(false)
	}
	whose, why, err := b.ownerOf(ctx, in.Bucket, evidenceOf(req, in.Bucket))
	if err != nil {
		return plugin.Result{}, err
	}
	if whose != ownerUs {
		return plugin.Result{}, lost(in.Bucket, why).InstanceUsable(false).UpdateRepeatable(false)
	}
	return b.finish(ctx, in, req.InstanceID, req.Fence)
}

// lost is the error for an instance whose bucket is gone or no longer its own.
func lost(bucket, why string) *plugin.Error {
	return plugin.Failed("The bucket %q of this instance was deleted or taken over outside the broker.", bucket).
		WithDetail("bucket %s: %s", bucket, why)
}

// bucketOf is the bucket of an instance by what was applied; "" if nothing was.
func bucketOf(a plugin.Applied) string {
	var out instanceOutputs
	if a.Outputs.Decode(&out) == nil && out.Bucket != "" {
		return out.Bucket
	}
	var in instanceInputs
	if a.Inputs.Empty() || a.Inputs.Decode(&in) != nil {
		return ""
	}
	return in.Bucket
}
