package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/chandler-broker/chandler/core/plugin"
)

// found is a bucket that an instance names, and whose it is.
type found struct {
	bucket string
	whose  owner
	why    string
	// claimed: the broker's store says that it was the instance's.
	claimed bool
}

// Check says whether Deprovision would refuse.
func (p *glusterS3) Check(ctx context.Context, req *plugin.InstanceRequest) error {
	b, err := p.configured()
	if err != nil {
		return err
	}
	list, err := b.find(ctx, req)
	if err != nil {
		return err
	}
	return b.refuse(ctx, list, onDelete(req))
}

// Deprovision removes the instance's users and does with its bucket what onDelete
// says. A bucket that is not provably the instance's is left as it is.
func (p *glusterS3) Deprovision(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	b, err := p.configured()
	if err != nil {
		return plugin.Result{}, err
	}
	list, err := b.find(ctx, req)
	if err != nil {
		return plugin.Result{}, err
	}
	what := onDelete(req)
	if err := b.refuse(ctx, list, what); err != nil {
		return plugin.Result{}, err
	}
	// Keys first: an application that goes on writing would undo the purge.
	own := slices.DeleteFunc(slices.Clone(list), func(f found) bool { return f.whose != ownerUs })
	if err := b.accounts.forget(ctx, req.InstanceID, names(own)); err != nil {
		return plugin.Result{}, err
	}
	var left []string
	for _, f := range list {
		note, err := b.dispose(ctx, req, f, what)
		if err != nil {
			return plugin.Result{}, err
		}
		if note != "" {
			left = append(left, note)
		}
	}
	return plugin.Done(nil, plugin.WithLeft(left...)), nil
}

func names(list []found) []string {
	var names []string
	for _, f := range list {
		names = append(names, f.bucket)
	}
	return names
}

// onDelete is what is to be done: by the request's inputs, else by the applied ones.
func onDelete(req *plugin.InstanceRequest) string {
	for _, d := range []plugin.Document{req.Inputs, req.Applied.Inputs} {
		var in instanceInputs
		if d.Decode(&in) == nil && in.OnDelete != "" {
			return in.OnDelete
		}
	}
	return onDeleteRefuse
}

// find looks up the instance's bucket; if none was ever applied, every bucket that it asked for.
func (b *backend) find(ctx context.Context, req *plugin.InstanceRequest) ([]found, error) {
	var wanted []string
	want := func(bucket string) {
		// A name that cannot be a bucket's never was one; S3 paths must not be made of it.
		if checkBucketName(bucket) == "" && !slices.Contains(wanted, bucket) {
			wanted = append(wanted, bucket)
		}
	}
	if applied := bucketOf(req.Applied); applied != "" {
		want(applied) // an update cannot have made another
	} else {
		for _, a := range req.Attempted {
			want(bucketOf(plugin.Applied{Inputs: a.Inputs}))
		}
		want(bucketOf(plugin.Applied{Inputs: req.Inputs}))
	}

	var list []found
	for _, bucket := range wanted {
		ev := evidenceOf(req, bucket)
		whose, why, err := b.ownerOf(ctx, bucket, ev)
		if err != nil {
			return nil, err
		}
		list = append(list, found{bucket, whose, why, ev.applied})
	}
	return list, nil
}

// refuse is the error of a deprovision that must not happen: onDelete is refuse and
// there is something in the bucket. Unfinished uploads do not count: no listing of
// objects shows them, so a user could not find what is in the way.
func (b *backend) refuse(ctx context.Context, list []found, what string) error {
	if what != onDeleteRefuse {
		return nil
	}
	for _, f := range list {
		if f.whose != ownerUs {
			continue
		}
		full, err := b.hasContent(ctx, f.bucket)
		if err != nil {
			return err
		}
		if full {
			return notEmpty(f.bucket)
		}
	}
	return nil
}

func notEmpty(bucket string) *plugin.Error {
	return plugin.Conflict("The bucket %q is not empty. Delete its objects, old versions and delete markers included, or use a plan with onDelete: purge.", bucket)
}

// dispose does with one bucket what is to be done, and says what it left.
func (b *backend) dispose(ctx context.Context, req *plugin.InstanceRequest, f found, what string) (string, error) {
	switch {
	case f.whose == ownerNobody:
		return "", nil
	case f.whose == ownerForeign:
		return fmt.Sprintf("bucket %s: not touched, it is not provably this instance's: %s", f.bucket, f.why), nil
	case what == onDeleteRetain:
		return b.retain(ctx, f)
	case f.whose == ownerLikely:
		return "", b.removeEmpty(ctx, f.bucket)
	case what == onDeletePurge:
		return "", b.purge(ctx, f.bucket, req.Progress)
	}
	return "", b.removeEmpty(ctx, f.bucket)
}

// retain gives the bucket to the operator: without the mark, no instance takes it for its own.
func (b *backend) retain(ctx context.Context, f found) (string, error) {
	if b.can.tag {
		tags, err := b.tags(ctx, f.bucket)
		if err != nil {
			return "", problem(err, "read the tags of bucket "+f.bucket)
		}
		if own := withoutMarks(tags); len(own) != len(tags) {
			if err := b.gateway.setTags(ctx, f.bucket, own); err != nil {
				return "", problem(err, "take the mark off bucket "+f.bucket)
			}
		}
	}
	return fmt.Sprintf("bucket %s: kept with all its content (onDelete: retain); it is the operator's now", f.bucket), nil
}

// removeEmpty deletes a bucket that has no objects; unfinished uploads are aborted.
func (b *backend) removeEmpty(ctx context.Context, bucket string) error {
	if _, err := b.abortUploads(ctx, bucket); err != nil {
		return err
	}
	switch err := b.gateway.remove(ctx, bucket); reasonOf(err) {
	case reasonNone, reasonAbsent:
		return nil
	case reasonNotEmpty:
		return notEmpty(bucket).WithCause(err)
	default:
		return problem(err, "delete bucket "+bucket)
	}
}
