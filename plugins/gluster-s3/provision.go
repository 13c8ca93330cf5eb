package main

import (
	"context"
	"maps"

	"github.com/chandler-broker/chandler/core/plugin"
)

// The values of instanceInputs.OnDelete.
const (
	onDeleteRefuse = "refuse"
	onDeletePurge  = "purge"
	onDeleteRetain = "retain"
)

// instanceInputs are the inputs of Provision, Update and Deprovision.
type instanceInputs struct {
	Bucket     string            `json:"bucket"`
	Versioning bool              `json:"versioning"`
	OnDelete   string            `json:"onDelete"`
	Tags       map[string]string `json:"tags"`
}

// decodeInstanceInputs reads and checks inputs against the rules of S3 and what this
// gateway can do, so that nothing fails in the middle of the work.
func (b *backend) decodeInstanceInputs(d plugin.Document) (instanceInputs, error) {
	var in instanceInputs
	if err := d.Decode(&in); err != nil {
		return in, err
	}
	if wrong := checkBucketName(in.Bucket); wrong != "" {
		return in, plugin.InvalidInput("/bucket", "%s", wrong)
	}
	switch in.OnDelete {
	case "", onDeleteRefuse, onDeletePurge, onDeleteRetain:
	default:
		return in, plugin.InvalidInput("/onDelete", "onDelete is %s, %s or %s.", onDeleteRefuse, onDeletePurge, onDeleteRetain)
	}
	if in.Versioning && !b.can.version {
		return in, plugin.InvalidInput("/versioning", "This S3 gateway cannot keep versions of objects.")
	}
	if len(in.Tags) > 0 && !b.can.tag {
		return in, plugin.InvalidInput("/tags", "This S3 gateway has no tags for buckets.")
	}
	return in, nil
}

// Provision makes the bucket in two calls, so that a handle says that the name was
// free before it creates: see the package's comment.
func (p *glusterS3) Provision(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	b, err := p.configured()
	if err != nil {
		return plugin.Result{}, err
	}
	in, err := b.decodeInstanceInputs(req.Inputs)
	if err != nil {
		return plugin.Result{}, err
	}
	ev := evidenceOf(req, in.Bucket)
	whose, why, err := b.ownerOf(ctx, in.Bucket, ev)
	if err != nil {
		return plugin.Result{}, err
	}
	switch whose {
	case ownerForeign:
		return plugin.Result{}, taken(in.Bucket, why)
	case ownerNobody:
		if !nameWasFree(req, in.Bucket) {
			return b.rememberFree(ctx, req, in.Bucket)
		}
		return b.create(ctx, req, in, ev)
	case ownerLikely:
		return plugin.Pending(handle{Bucket: in.Bucket, Step: stepCreated, Fence: req.Fence}, 0, "The bucket exists."), nil
	}
	return b.finish(ctx, in, req.InstanceID, req.Fence)
}

// taken is the error for a name that is somebody else's.
func taken(bucket, why string) *plugin.Error {
	return plugin.Conflict("The bucket name %q is taken. Choose another name.", bucket).WithDetail("bucket %s is not this instance's: %s", bucket, why)
}

// nameWasFree tells whether this operation has already stored that the name was free.
func nameWasFree(req *plugin.InstanceRequest, bucket string) bool {
	var h handle
	return req.Handle.Decode(&h) == nil && h.Bucket == bucket && h.Step == stepAbsent
}

// rememberFree looks the name up once more, for the gateway's clock, and stores that it is free.
func (b *backend) rememberFree(ctx context.Context, req *plugin.InstanceRequest, bucket string) (plugin.Result, error) {
	now, err := b.gateway.exists(ctx, bucket)
	switch reasonOf(err) {
	case reasonAbsent:
		h := handle{Bucket: bucket, Step: stepAbsent, Fence: req.Fence, Checked: now}
		return plugin.Pending(h, 0, "The name is free; the bucket is made next."), nil
	case reasonNone, reasonDenied, reasonElsewhere:
		return plugin.Result{}, taken(bucket, "it was made in this very moment")
	}
	return plugin.Result{}, problem(err, "look up bucket "+bucket)
}

// create makes the bucket and finds out whether it was really we who made it.
func (b *backend) create(ctx context.Context, req *plugin.InstanceRequest, in instanceInputs, ev evidence) (plugin.Result, error) {
	var marks map[string]string
	if b.can.markAtBirth {
		marks = withMarks(in.Tags, marksOf(req.InstanceID, req.Fence))
	}
	err := b.gateway.create(ctx, in.Bucket, marks)
	switch reasonOf(err) {
	case reasonNone, reasonTaken:
	case reasonInvalidName:
		return plugin.Result{}, plugin.InvalidInput("/bucket", "The S3 gateway refuses this bucket name.").WithCause(err)
	case reasonBusy:
		return plugin.Result{}, plugin.Unavailable(0, "The bucket name is in use for a moment; it will be tried again.").WithCause(err)
	default:
		return plugin.Result{}, problem(err, "create bucket "+in.Bucket)
	}
	if !b.can.markAtBirth {
		// The answer is the only proof; store it before anything else.
		h := handle{Bucket: in.Bucket, Step: stepCreated, Fence: req.Fence}
		if err != nil {
			h.Step = stepTaken
		}
		return plugin.Pending(h, 0, ""), nil
	}
	whose, why, lookup := b.ownerOf(ctx, in.Bucket, ev)
	switch {
	case lookup != nil:
		return plugin.Result{}, lookup
	case whose == ownerUs:
		return b.finish(ctx, in, req.InstanceID, req.Fence)
	case whose == ownerNobody:
		return plugin.Result{}, plugin.Unavailable(0, "The bucket vanished right after it was made; it will be made again.")
	}
	return plugin.Result{}, taken(in.Bucket, why).WithCause(err)
}

// finish gives a bucket that is ours the properties that the inputs ask for.
func (b *backend) finish(ctx context.Context, in instanceInputs, instanceID string, fence int64) (plugin.Result, error) {
	if err := b.applyTags(ctx, in, instanceID, fence); err != nil {
		return plugin.Result{}, err
	}
	if err := b.applyVersioning(ctx, in); err != nil {
		return plugin.Result{}, err
	}
	return plugin.Done(b.instanceOutputs(in.Bucket)), nil
}

// applyTags makes the bucket's tags the wanted ones and the mark.
func (b *backend) applyTags(ctx context.Context, in instanceInputs, instanceID string, fence int64) error {
	if !b.can.tag {
		return nil
	}
	have, err := b.tags(ctx, in.Bucket)
	if err != nil {
		return problem(err, "read the tags of bucket "+in.Bucket)
	}
	mark := marksOf(instanceID, fence)
	if made, ok := have[markFence]; ok {
		mark[markFence] = made // the mark tells of the bucket's creation
	}
	want := withMarks(in.Tags, mark)
	if maps.Equal(have, want) {
		return nil
	}
	if err := b.gateway.setTags(ctx, in.Bucket, want); err != nil {
		if reasonOf(err) == reasonMalformed {
			return plugin.InvalidInput("/tags", "The S3 gateway refuses these tags.").UpdateRepeatable(false).WithCause(err)
		}
		return problem(err, "tag bucket "+in.Bucket)
	}
	return nil
}

// applyVersioning switches versions on, or suspends them where they are on: S3 does
// not take them back.
func (b *backend) applyVersioning(ctx context.Context, in instanceInputs) error {
	if !b.can.version {
		return nil
	}
	have, err := b.gateway.versioning(ctx, in.Bucket)
	if err != nil {
		return problem(err, "read the versioning of bucket "+in.Bucket)
	}
	const on, suspended = "Enabled", "Suspended"
	want := have
	if in.Versioning {
		want = on
	} else if have == on {
		want = suspended
	}
	if want == have {
		return nil
	}
	if err := b.gateway.setVersioning(ctx, in.Bucket, want); err != nil {
		if reasonOf(err) == reasonMalformed {
			return plugin.Conflict("The bucket's versions cannot be suspended while object lock is on.").UpdateRepeatable(false).WithCause(err)
		}
		return problem(err, "set the versioning of bucket "+in.Bucket)
	}
	return nil
}
