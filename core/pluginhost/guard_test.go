package pluginhost

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestGuarded(t *testing.T) {
	type event struct {
		at   time.Duration // of the steady clock
		told string        // "": a look at the clock only
		kill []int         // what is killed then
	}
	for _, c := range []struct {
		name, why string
		events    []event
	}{
		{"no bound", "a broker without leases", []event{{0, "+ 10 a", nil}, {time.Hour, "", nil}}},
		{"it passes", "everything dies, once", []event{{0, "= 5000000000", nil}, {0, "+ 10 a", nil}, {0, "+ 11 b", nil},
			{4 * time.Second, "", nil}, {5 * time.Second, "", []int{10, 11}}, {6 * time.Second, "", nil}}},
		{"renewed in time", "only the last word counts", []event{{0, "+ 10 a", nil}, {0, "= 5000000000", nil}, {4 * time.Second, "= 9000000000", nil},
			{6 * time.Second, "", nil}, {9 * time.Second, "", []int{10}}}},
		{"renewed too late", "the guard was stopped together with the broker, and reads the message first", []event{{0, "+ 10 a", nil},
			{0, "= 5000000000", nil}, {6 * time.Second, "= 9000000000", []int{10}}, {7 * time.Second, "", nil}}},
		{"begun too late", "a process that was being started when the bound passed", []event{{0, "= 5000000000", nil}, {6 * time.Second, "", nil},
			{7 * time.Second, "+ 10 a", []int{10}}, {7 * time.Second, "= 9000000000", nil}, {7 * time.Second, "+ 11 b", nil}}},
		{"ended before", "its number may be another's", []event{{0, "= 5000000000", nil}, {0, "+ 10 a", nil}, {1, "- 10", nil}, {6 * time.Second, "", nil}}},
		{"taken back", "the broker closes, or has no lease any more", []event{{0, "+ 10 a", nil}, {0, "= 5000000000", nil}, {1, "= 0", nil}, {time.Hour, "", nil}}},
		{"the past", "a lease that had ended before it was told", []event{{7 * time.Second, "+ 10 a", nil}, {7 * time.Second, "= 5000000000", nil},
			{7 * time.Second, "", []int{10}}}},
		{"nonsense", "is no message", []event{{0, "= x", nil}, {0, "+ 1 a", nil}, {0, "", nil}, {0, "= 1", nil}, {2, "", []int{}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var now time.Duration
			var killed []int
			w := guarded{groups: map[int]string{}, now: func() int64 { return int64(now) },
				kill: func(groups map[int]string) {
					killed = append(killed, slices.Sorted(maps.Keys(groups))...)
				}}
			for i, e := range c.events {
				now, killed = e.at, nil
				if e.told != "" {
					w.follow(e.told)
				} else if wait := w.look(); wait < 0 || wait > longestSleep || w.until == 0 && wait != 0 {
					t.Errorf("event %d: looks again in %s", i, wait)
				}
				if diff := cmp.Diff(append([]int{}, e.kill...), append([]int{}, killed...)); diff != "" {
					t.Errorf("event %d: killed: %s\n%s", i, c.why, diff)
				}
			}
		})
	}
}
