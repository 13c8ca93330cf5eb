package main

import (
	"context"
	"crypto/rand"
	"strings"
	"time"
)

// features are what a gateway can do, beyond buckets and objects.
type features struct {
	tag         bool // buckets can have tags
	markAtBirth bool // CreateBucket takes tags: a bucket is marked from its first moment on
	version     bool // buckets can keep versions
	policy      bool // buckets can have a policy
	// birthday: the list of buckets says when they were made; only asked where buckets
	// cannot be marked at birth. Swift's s3api says 2009 of all.
	birthday bool
}

// probeMark is a tag of the buckets that probe makes.
const probeMark = "chandler-probe"

// oldProbe is how old a bucket of probe's must be before another Configure removes it:
// older than any Configure that still runs, the difference of two clocks included.
const oldProbe = 5 * time.Minute

// probe learns what the gateway can do with a bucket of its own, which it removes
// again, also when ctx ends meanwhile.
func probe(ctx context.Context, g gateway) (can features, err error) {
	name := probePrefix + strings.ToLower(rand.Text()[:20])
	// Reading first: a gateway that has no tags may choke on them in CreateBucket.
	_, err = g.tags(ctx, name)
	switch reasonOf(err) {
	case reasonNotImplemented, reasonMalformed, reasonOther:
	case reasonUnavailable, reasonCancelled, reasonUntrusted, reasonBadKeys:
		return can, configProblem(err, "read the tags of a bucket", "/endpoint")
	default:
		can.tag = true
	}
	marks := map[string]string{probeMark: "1"}
	if !can.tag {
		marks = nil
	}
	err = g.create(ctx, name, marks)
	if marks != nil && (reasonOf(err) == reasonMalformed || reasonOf(err) == reasonNotImplemented) {
		err = g.create(ctx, name, nil)
	}
	// Removed whatever the answer was: it may have been lost.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if gone := g.remove(ctx, name); err == nil && gone != nil && reasonOf(gone) != reasonAbsent {
			err = configProblem(gone, "delete buckets", "/endpoint")
		}
	}()
	if err != nil {
		return can, configProblem(err, "create buckets", "/endpoint")
	}
	return can, probeBucket(ctx, g, name, &can)
}

// probeBucket tries features on a bucket.
func probeBucket(ctx context.Context, g gateway, name string, can *features) error {
	if can.tag {
		tags, err := g.tags(ctx, name)
		can.markAtBirth = err == nil && tags[probeMark] != ""
		if !can.markAtBirth {
			can.tag, err = available(g.setTags(ctx, name, map[string]string{probeMark: "1"}))
		}
		if err != nil && can.tag {
			return configProblem(err, "tag buckets", "/endpoint")
		}
	}
	if !can.markAtBirth {
		if err := can.probeBirthday(ctx, g, name); err != nil {
			return err
		}
	}
	var err error
	if can.version, err = available(g.setVersioning(ctx, name, "Enabled")); err != nil {
		return configProblem(err, "switch versions on", "/endpoint")
	}
	_, err = g.policy(ctx, name)
	if can.policy, err = available(err); err != nil {
		return configProblem(err, "read a bucket's policy", "/endpoint")
	}
	return nil
}

// probeBirthday compares the gateway's clock with what it says of a bucket made now.
func (can *features) probeBirthday(ctx context.Context, g gateway, name string) error {
	now, err := g.exists(ctx, name)
	if err != nil {
		return configProblem(err, "look up buckets", "/endpoint")
	}
	entries, err := g.buckets(ctx)
	if err != nil {
		return configProblem(err, "list buckets", "/endpoint")
	}
	for _, e := range entries {
		can.birthday = can.birthday || e.name == name && e.created.Sub(now).Abs() < time.Minute
	}
	return nil
}

// available reads the answer to a feature's call. An error is one that says nothing
// about the feature.
func available(err error) (bool, error) {
	switch reasonOf(err) {
	case reasonNone, reasonAbsent:
		return true, nil
	case reasonUnavailable, reasonCancelled, reasonUntrusted, reasonBadKeys:
		return false, err
	}
	return false, nil
}

// removeOldProbes removes buckets that a Configure left behind that was killed. They
// are empty, else the gateway keeps them.
func (b *backend) removeOldProbes(ctx context.Context, entries []bucketEntry) {
	for _, e := range entries {
		if strings.HasPrefix(e.name, probePrefix) && !e.created.IsZero() && time.Since(e.created) > oldProbe {
			_ = b.gateway.remove(ctx, e.name) // the next Configure tries again
		}
	}
}
