package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

var (
	_ plugin.Inspector = (*glusterS3)(nil)
	_ plugin.Lister    = (*glusterS3)(nil)
	_ plugin.Adopter   = (*glusterS3)(nil)
)

// Inspect looks whether the bucket is there and the instance's, and compares its
// versioning and tags with the applied inputs.
func (p *glusterS3) Inspect(ctx context.Context, req *plugin.InspectRequest) (plugin.Inspection, error) {
	b, err := p.configured()
	if err != nil {
		return plugin.Inspection{}, err
	}
	bucket := bucketOf(req.Applied)
	if bucket == "" {
		return plugin.Inspection{}, nil
	}
	var in instanceInputs
	if err := req.Applied.Inputs.Decode(&in); err != nil {
		return plugin.Inspection{}, err
	}
	ev := evidence{instance: instanceName(req.InstanceID), fence: math.MaxInt64} // any call's mark counts
	ev.apply(req.Applied, bucket)
	whose, why, err := b.ownerOf(ctx, bucket, ev)
	if err != nil {
		return plugin.Inspection{}, err
	}
	if whose != ownerUs {
		return plugin.Inspection{Drift: []plugin.Drift{{Pointer: "/bucket", Message: fmt.Sprintf("The bucket %s is not this instance's: %s.", bucket, why)}}}, nil
	}
	found := plugin.Inspection{Exists: true, Outputs: b.instanceOutputs(bucket)}
	found.Drift, err = b.drift(ctx, bucket, in)
	return found, err
}

// drift compares a bucket's tags and versioning with what is wanted.
func (b *backend) drift(ctx context.Context, bucket string, want instanceInputs) (list []plugin.Drift, err error) {
	differs := func(pointer, format string, args ...any) {
		list = append(list, plugin.Drift{Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	if b.can.tag {
		tags, err := b.tags(ctx, bucket)
		if err != nil {
			return nil, problem(err, "read the tags of bucket "+bucket)
		}
		own := withoutMarks(tags)
		for _, key := range slices.Sorted(maps.Keys(withMarks(own, want.Tags))) {
			is, there := own[key]
			should, wanted := want.Tags[key]
			switch {
			case !wanted:
				differs("/tags", "The tag %q was added.", key)
			case !there:
				differs("/tags", "The tag %q is gone.", key)
			case is != should:
				differs("/tags", "The tag %q is %q, not %q.", key, is, should)
			}
		}
	}
	if !b.can.version {
		return list, nil
	}
	state, err := b.gateway.versioning(ctx, bucket)
	if err != nil {
		return nil, problem(err, "read the versioning of bucket "+bucket)
	}
	switch on := state == "Enabled"; {
	case on && !want.Versioning:
		differs("/versioning", "The bucket keeps versions.")
	case !on && want.Versioning:
		differs("/versioning", "The bucket keeps no versions.")
	}
	return list, nil
}

// List names the buckets of the account, by name, with their marks. A mark is a hash and
// does not give the instance's id away: the broker knows it by the bucket's name.
func (p *glusterS3) List(ctx context.Context, req *plugin.ListRequest) (plugin.Page, error) {
	b, err := p.configured()
	if err != nil {
		return plugin.Page{}, err
	}
	entries, err := b.gateway.buckets(ctx)
	if err != nil {
		return plugin.Page{}, problem(err, "list buckets")
	}
	entries = slices.DeleteFunc(entries, func(e bucketEntry) bool {
		return e.name <= req.PageToken || strings.HasPrefix(e.name, probePrefix)
	})
	slices.SortFunc(entries, func(a, b bucketEntry) int { return strings.Compare(a.name, b.name) })
	size, page := req.PageSize, plugin.Page{}
	if size == 0 {
		size = 100
	}
	if len(entries) > size {
		entries = entries[:size]
		page.Next = entries[size-1].name
	}
	for _, e := range entries {
		f := plugin.Found{Name: e.name, Inputs: map[string]string{"bucket": e.name}, Attributes: map[string]any{}}
		if b.can.birthday || b.can.markAtBirth {
			f.Attributes["created"] = e.created.UTC().Format(time.RFC3339)
		}
		if b.can.tag {
			tags, err := b.tags(ctx, e.name)
			switch reasonOf(err) {
			case reasonNone:
			case reasonDenied, reasonElsewhere:
				continue // another account's, whatever the list says
			default:
				return plugin.Page{}, problem(err, "read the tags of bucket "+e.name)
			}
			if mark, marked := tags[markInstance]; marked {
				f.Marked, f.Attributes["mark"] = true, mark
			}
		}
		page.Found = append(page.Found, f)
	}
	return page, nil
}

// Adopt marks a bucket of the account that carries no mark. The mark and the tags come in
// one request, which is the first change; what fails after it is repeated, or
// ends as failed, since it is no longer as it was.
func (p *glusterS3) Adopt(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	b, err := p.configured()
	if err != nil {
		return plugin.Result{}, err
	}
	in, err := b.decodeInstanceInputs(req.Inputs)
	if err != nil {
		return plugin.Result{}, err
	}
	if err := b.adoptable(ctx, in.Bucket, evidenceOf(req, in.Bucket)); err != nil {
		return plugin.Result{}, err
	}
	if err := b.applyTags(ctx, in, req.InstanceID, req.Fence); err != nil {
		return plugin.Result{}, err
	}
	if err := b.applyVersioning(ctx, in); err != nil {
		if plugin.CodeOf(err) == plugin.CodeConflict {
			err = plugin.Failed("The bucket's versions cannot be set as wanted; it is marked as the instance's all the same.").WithCause(err)
		}
		return plugin.Result{}, err
	}
	return plugin.Done(b.instanceOutputs(in.Bucket)), nil
}

// adoptable gives the error with which an adopt is refused; nil if the bucket is in the
// broker's account and carries no mark, or this instance's.
func (b *backend) adoptable(ctx context.Context, bucket string, ev evidence) error {
	if !b.can.tag {
		return plugin.Conflict("This S3 gateway has no tags for buckets: a bucket cannot be marked as an instance's.")
	}
	owned, err := b.gateway.owned(ctx, bucket)
	switch reason := reasonOf(err); {
	case reason == reasonAbsent:
		return plugin.NotFound("There is no bucket %q.", bucket)
	case reason == reasonDenied, reason == reasonElsewhere, err == nil && !owned:
		return plugin.Conflict("The bucket %q is not the broker's account's.", bucket)
	case err != nil:
		return problem(err, "read the owner of bucket "+bucket)
	}
	tags, err := b.tags(ctx, bucket)
	switch reasonOf(err) {
	case reasonNone:
	case reasonDenied, reasonElsewhere:
		return taken(bucket, "it belongs to another account")
	default:
		return problem(err, "read the tags of bucket "+bucket)
	}
	mark, marked := tags[markInstance]
	if !marked {
		return nil
	}
	whose, why, err := judgeMark(mark, tags[markFence], bucket, ev)
	if err == nil && whose != ownerUs {
		return plugin.Conflict("The bucket %q carries the mark of another instance.", bucket).WithDetail("bucket %s: %s", bucket, why)
	}
	return err
}
