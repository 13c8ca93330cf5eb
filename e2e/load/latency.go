package main

import (
	"math"
	"slices"
	"time"
)

// latencies are all measured durations of one kind of request: no buckets, no estimates.
type latencies []time.Duration

// summary is what a report says about one kind of request. Times are microseconds.
type summary struct {
	Count int   `json:"count"`
	Mean  int64 `json:"mean_us"`
	P50   int64 `json:"p50_us"`
	P90   int64 `json:"p90_us"`
	P99   int64 `json:"p99_us"`
	P999  int64 `json:"p999_us"`
	Max   int64 `json:"max_us"`
}

// summarise sorts l in place.
func (l latencies) summarise() summary {
	if len(l) == 0 {
		return summary{}
	}
	slices.Sort(l)
	var sum time.Duration
	for _, d := range l {
		sum += d
	}
	return summary{Count: len(l), Mean: (sum / time.Duration(len(l))).Microseconds(),
		P50: l.at(0.5), P90: l.at(0.9), P99: l.at(0.99), P999: l.at(0.999), Max: l.at(1)}
}

// at is the smallest duration that at least the share q of all does not exceed, in
// microseconds. l is sorted and not empty; q is in (0, 1].
func (l latencies) at(q float64) int64 {
	i := int(math.Ceil(q*float64(len(l)))) - 1
	return l[max(0, i)].Microseconds()
}
