package main

import (
	"context"
	"fmt"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

const (
	pageSize = 1000 // the most that S3 lists or deletes at once
	// purgeRounds is how often a purge begins anew when the gateway says that there is
	// still something in a bucket that listed as empty.
	purgeRounds = 5
)

// hasContent tells whether there is any object, old version or delete marker.
func (b *backend) hasContent(ctx context.Context, bucket string) (bool, error) {
	l := listing{}
	page, err := b.gateway.versions(ctx, bucket, 1, l)
	if r := reasonOf(err); r == reasonNotImplemented {
		l.current = true
		page, err = b.gateway.versions(ctx, bucket, 1, l)
	}
	switch reasonOf(err) {
	case reasonNone:
		return len(page) > 0, nil
	case reasonAbsent:
		return false, nil
	}
	return false, problem(err, "list bucket "+bucket)
}

// purge deletes everything in a bucket and then the bucket. It needs no state: it
// always takes the first page of what is there, deletes it and looks again, so it can
// be stopped and begun anew at any point, and no listing runs while it deletes.
func (b *backend) purge(ctx context.Context, bucket string, progress func(string, int)) error {
	e := emptier{gateway: b.gateway, bucket: bucket, progress: progress}
	for round := 1; ; round++ {
		if err := e.empty(ctx); err != nil {
			return err
		}
		aborted, err := b.abortUploads(ctx, bucket)
		if err != nil {
			return err
		}
		if aborted > 0 {
			progress(fmt.Sprintf("%d unfinished uploads aborted", aborted), -1)
		}
		err = b.gateway.remove(ctx, bucket)
		switch reasonOf(err) {
		case reasonNone, reasonAbsent:
			return nil
		case reasonNotEmpty:
			if round < purgeRounds {
				continue
			}
			return plugin.Failed("The bucket %q does not become empty: something writes to it, or the gateway keeps objects that it does not list.", bucket).
				InstanceUsable(false).WithCause(err)
		}
		return problem(err, "delete bucket "+bucket)
	}
}

// emptier deletes the objects of one bucket.
type emptier struct {
	gateway  gateway
	bucket   string
	progress func(string, int)

	listing listing
	deleted int
	first   object // of the page before
	stuck   int    // pages that began like the one before, though it was deleted
}

// empty deletes page after page until there is none.
func (e *emptier) empty(ctx context.Context) error {
	for {
		page, err := e.page(ctx)
		if err != nil || len(page) == 0 {
			return err
		}
		if err := e.watch(page[0]); err != nil {
			return err
		}
		d, err := e.gateway.delete(ctx, e.bucket, page)
		switch reasonOf(err) {
		case reasonNone:
		case reasonAbsent:
			return nil // somebody deleted the bucket
		default:
			return problem(err, "delete objects of bucket "+e.bucket)
		}
		if d.deleted == 0 && len(d.failed) > 0 {
			return locked(e.bucket, len(page), d.failed[0])
		}
		e.deleted += d.deleted
		e.progress(fmt.Sprintf("%d objects and versions deleted", e.deleted), -1)
	}
}

// page is the first page of what is there. A gateway without versions is asked for
// objects.
func (e *emptier) page(ctx context.Context) ([]object, error) {
	page, err := e.gateway.versions(ctx, e.bucket, pageSize, e.listing)
	if reasonOf(err) == reasonNotImplemented && !e.listing.current {
		e.listing.current = true
		page, err = e.gateway.versions(ctx, e.bucket, pageSize, e.listing)
	}
	switch reasonOf(err) {
	case reasonNone:
		return page, nil
	case reasonAbsent:
		return nil, nil
	}
	return nil, problem(err, "list bucket "+e.bucket)
}

// watch notices when deleting does not help, though the gateway says that it did: a
// key with characters that XML cannot carry is listed as another. Then keys are asked
// for in URL encoding.
func (e *emptier) watch(first object) error {
	if first != e.first || e.deleted == 0 {
		e.first, e.stuck = first, 0
		return nil
	}
	e.stuck++
	if e.stuck < 2 {
		return nil
	}
	if e.listing.encoded {
		return plugin.Failed("The bucket %q cannot be emptied: the gateway goes on listing an object that it says it has deleted.", e.bucket).
			InstanceUsable(false).WithDetail("the first object listed is %q, version %q", first.key, first.version)
	}
	e.listing.encoded, e.stuck = true, 0
	return nil
}

// locked reports a page of which nothing could be deleted. Trying again would not
// help before a retention ends.
func locked(bucket string, count int, f failedDelete) *plugin.Error {
	if codes[f.code] == reasonUnavailable {
		return plugin.Unavailable(time.Second, "The S3 gateway cannot delete objects now.").
			WithDetail("delete objects of bucket %s: %s: %s", bucket, f.code, f.message)
	}
	return plugin.Failed("The bucket %q cannot be emptied: the gateway refuses to delete %d or more objects or versions, for example %q. They may be under object lock; remove the lock or wait until it ends.",
		bucket, count, f.key).InstanceUsable(false).WithDetail("version %q: %s: %s", f.version, f.code, f.message)
}

// abortUploads aborts all unfinished multipart uploads and gives their number.
func (b *backend) abortUploads(ctx context.Context, bucket string) (int, error) {
	aborted := 0
	var before upload
	for {
		page, err := b.gateway.uploads(ctx, bucket)
		switch reasonOf(err) {
		case reasonNone:
		case reasonAbsent, reasonNotImplemented:
			return aborted, nil
		default:
			return aborted, problem(err, "list the uploads of bucket "+bucket)
		}
		if len(page) == 0 || page[0] == before {
			// Gateways delete buckets with unfinished uploads; one that cannot be
			// aborted is not in the way.
			return aborted, nil
		}
		before = page[0]
		for _, u := range page {
			switch err := b.gateway.abort(ctx, bucket, u); reasonOf(err) {
			case reasonNone:
				aborted++
			case reasonAbsent:
			default:
				return aborted, problem(err, "abort an upload in bucket "+bucket)
			}
		}
	}
}
