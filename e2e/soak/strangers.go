package main

import (
	"slices"
	"strings"
	"time"
)

// strangers reports what exists at a backend or in the store and belongs to no group.
func (w *world) strangers(groups []*group, s seen) {
	ids, keys, unsure := map[string]bool{takenBucket: true}, map[string]bool{}, false
	for _, g := range groups {
		ids[g.id] = true
		for _, t := range g.credentials {
			keys[t.Key] = true
		}
		// Of a failed bind an account may be left that nobody was told of.
		for _, ready := range s.rows[g.id] {
			unsure = unsure || g.first.Plan >= planPurge && !ready
		}
		g.mu.Lock()
		for _, n := range g.numbers() {
			if t := g.credentials[n]; s.accounts[t.Key] {
				if _, gone := g.Standing(t.binding, n); gone {
					g.check(&violation{g, "the account of a deleted binding is left: " + t.Key})
				}
			}
		}
		g.mu.Unlock()
	}
	var unknown []string
	for id := range s.demo {
		unknown = appendUnless(ids[id], unknown, "demo instance "+id)
	}
	for name := range s.buckets {
		unknown = appendUnless(ids[name] || w.freshProbe(name), unknown, "bucket "+name)
	}
	for id := range s.rows {
		unknown = appendUnless(ids[id], unknown, "row "+id)
	}
	for key := range s.accounts {
		unknown = appendUnless(keys[key] || unsure, unknown, "account "+key)
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		w.report(&violation{text: "nobody knows of: " + strings.Join(unknown, ", ")})
	}
}

// A Configure of gluster-s3 that is killed leaves an empty bucket of its own behind, which a later
// one removes five minutes later; plugins are killed more often than that.
const (
	probePrefix = "chandler-probe-"
	probeTime   = 10 * time.Minute
)

// freshProbe tells whether the bucket is such a one, and not yet overdue.
func (w *world) freshProbe(name string) bool {
	if !strings.HasPrefix(name, probePrefix) {
		return false
	}
	first, ok := w.probes[name]
	if !ok {
		first = time.Now()
		w.probes[name] = first
	}
	return time.Since(first) < probeTime
}

func appendUnless(known bool, list []string, what string) []string {
	if known {
		return list
	}
	return append(list, what)
}
