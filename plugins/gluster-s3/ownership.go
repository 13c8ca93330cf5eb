package main

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

// Tags that mark a bucket as an instance's.
const (
	markInstance = "chandler-instance" // instanceName of the instance
	markFence    = "chandler-fence"    // of the call that made the bucket
)

// marksOf are the tags of a bucket that this call makes.
func marksOf(instanceID string, fence int64) map[string]string {
	return map[string]string{markInstance: instanceName(instanceID), markFence: strconv.FormatInt(fence, 10)}
}

// withMarks are a user's tags and the marks, which come last.
func withMarks(tags, marks map[string]string) map[string]string {
	all := make(map[string]string, len(tags)+len(marks))
	maps.Copy(all, tags)
	maps.Copy(all, marks)
	return all
}

// withoutMarks are somebody's own tags.
func withoutMarks(tags map[string]string) map[string]string {
	own := maps.Clone(tags)
	delete(own, markInstance)
	delete(own, markFence)
	return own
}

// The steps that a handle can record.
const (
	stepAbsent  = "absent"  // the name was free when it was looked up
	stepCreated = "created" // the gateway said that it made the bucket for us
	stepTaken   = "taken"   // the gateway said that somebody else has it
)

// handle is what Provision stores between its calls.
type handle struct {
	Bucket string `json:"bucket"`
	Step   string `json:"step"`
	// Fence is that of the call that wrote the handle.
	Fence int64 `json:"fence"`
	// Checked is when the step was found, by the gateway's clock.
	Checked time.Time `json:"checked,omitzero"`
}

// evidence is what the broker's store knows about a bucket and an instance.
type evidence struct {
	instance string // instanceName
	fence    int64  // of this call
	// applied: outputs that were stored say that the bucket is the instance's; marked:
	// and that it carries the mark.
	applied, marked bool
	// handle is the last that was stored for this bucket; zero if none was.
	handle handle
}

// evidenceOf gathers the evidence for a bucket from a request.
func evidenceOf(req *plugin.InstanceRequest, bucket string) evidence {
	ev := evidence{instance: instanceName(req.InstanceID), fence: req.Fence}
	ev.apply(req.Applied, bucket)
	for _, a := range req.Attempted {
		ev.note(a.Handle, bucket)
	}
	ev.note(req.Handle, bucket)
	return ev
}

// apply takes stored outputs as evidence.
func (ev *evidence) apply(a plugin.Applied, bucket string) {
	var out instanceOutputs
	if a.Outputs.Decode(&out) == nil && out.Bucket == bucket && bucket != "" {
		ev.applied, ev.marked = true, out.Marked
	}
}

// note takes a stored handle as evidence; a later one counts more.
func (ev *evidence) note(stored plugin.Handle, bucket string) {
	var h handle
	if stored.Decode(&h) == nil && h.Bucket == bucket && h.Step != "" {
		ev.handle = h
	}
}

// owner is whose a bucket is, as far as can be proven.
type owner int

const (
	ownerNobody  owner = iota // there is no such bucket
	ownerUs                   // it is this instance's: proven
	ownerLikely               // see likely: may be completed, and deleted while it is empty, never purged
	ownerForeign              // it is, or may be, somebody else's
)

// ownerOf finds out whose a bucket is. why says for the operator what it is judged by.
// What the gateway cannot answer now is an error and proves nothing.
func (b *backend) ownerOf(ctx context.Context, bucket string, ev evidence) (o owner, why string, err error) {
	_, err = b.gateway.exists(ctx, bucket)
	switch reasonOf(err) {
	case reasonNone:
	case reasonAbsent:
		return ownerNobody, "there is no such bucket", nil
	case reasonDenied, reasonElsewhere:
		return ownerForeign, "it belongs to another account", nil
	default:
		return ownerForeign, "", problem(err, "look up bucket "+bucket)
	}
	if b.can.tag {
		tags, err := b.tags(ctx, bucket)
		switch reasonOf(err) {
		case reasonNone:
		case reasonDenied, reasonElsewhere:
			return ownerForeign, "it belongs to another account", nil
		default:
			return ownerForeign, "", problem(err, "read the tags of bucket "+bucket)
		}
		if mark, ok := tags[markInstance]; ok {
			return judgeMark(mark, tags[markFence], bucket, ev)
		}
		if ev.marked {
			return ownerForeign, "it no longer carries the mark of this instance", nil
		}
		if ev.handle.Step != stepCreated && !ev.applied && (b.can.markAtBirth || len(tags) > 0) {
			return ownerForeign, "it does not carry the mark of this instance", nil
		}
	}
	switch {
	case ev.applied:
		return ownerUs, "the broker's store says so", nil
	case ev.handle.Step == stepCreated:
		return ownerUs, "the gateway made it for this operation", nil
	case ev.handle.Step == stepAbsent:
		return b.likely(ctx, bucket, ev)
	}
	return ownerForeign, "nothing proves that it is this instance's", nil
}

// judgeMark decides by a mark that is there.
func judgeMark(mark, fence, bucket string, ev evidence) (owner, string, error) {
	if mark != ev.instance {
		return ownerForeign, "it carries the mark of another instance", nil
	}
	if f, err := strconv.ParseInt(fence, 10, 64); err == nil && f > ev.fence {
		return ownerForeign, "", plugin.Failed("A later call has taken over this instance.").
			WithDetail("bucket %s was made with fence %d, this call has %d", bucket, f, ev.fence)
	}
	return ownerUs, "it carries the mark of this instance", nil
}

// likely judges a bucket that was absent when a handle was stored, on a gateway where
// a bucket cannot be marked in the moment of its creation: an earlier call may have
// made it and been killed before it could say so. That is so only if there was a call
// in between (fences rise by at least one per call), the bucket is in our account and,
// if the gateway tells, younger than the handle, and nobody has put anything into it.
func (b *backend) likely(ctx context.Context, bucket string, ev evidence) (owner, string, error) {
	if ev.fence <= ev.handle.Fence+1 {
		return ownerForeign, "it was made while no call of ours was running", nil
	}
	entries, err := b.gateway.buckets(ctx)
	if err != nil {
		return ownerForeign, "", problem(err, "list buckets")
	}
	young := false
	for _, e := range entries {
		young = young || e.name == bucket && (!b.can.birthday || !e.created.Before(ev.handle.Checked.Truncate(time.Second)))
	}
	if !young {
		return ownerForeign, "it is older than this operation", nil
	}
	full, err := b.hasContent(ctx, bucket)
	if err != nil {
		return ownerForeign, "", err
	}
	if full {
		return ownerForeign, "it holds objects that are not this instance's", nil
	}
	return ownerLikely, "it was made in our account after this operation had found the name free, and is empty", nil
}

// tags reads a bucket's tags; a bucket without any has an empty set.
func (b *backend) tags(ctx context.Context, bucket string) (map[string]string, error) {
	tags, err := b.gateway.tags(ctx, bucket)
	if reasonOf(err) == reasonAbsent {
		return map[string]string{}, nil
	}
	return tags, err
}
