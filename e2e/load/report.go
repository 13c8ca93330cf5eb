package main

import (
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
)

// report is the outcome of all scenarios of one run.
type report struct {
	Go         string             `json:"go"`
	Processors int                `json:"processors"`
	Loops      map[string]result  `json:"loops"`
	Values     map[string]float64 `json:"values"` // what was measured without a loop
	Ratios     []ratio            `json:"ratios"`
}

// ratio is a figure that says something on any machine: two measurements of this
// run, one divided by the other.
type ratio struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	// Goal is the bound of the figure, and Most tells whether it is an upper one.
	Goal float64 `json:"goal"`
	Most bool    `json:"at_most"`
}

func (r ratio) reached() bool {
	if r.Most {
		return r.Value <= r.Goal
	}
	return r.Value >= r.Goal
}

func newReport(settings) *report {
	return &report{Go: runtime.Version(), Processors: runtime.NumCPU(), Loops: map[string]result{}, Values: map[string]float64{}}
}

func (r *report) least(name string, value, goal float64) {
	r.Ratios = append(r.Ratios, ratio{Name: name, Value: value, Goal: goal})
}

func (r *report) most(name string, value, goal float64) {
	r.Ratios = append(r.Ratios, ratio{Name: name, Value: value, Goal: goal, Most: true})
}

// failed tells whether any request failed.
func (r *report) failed() bool {
	for _, l := range r.Loops {
		if l.Failed > 0 {
			return true
		}
	}
	return false
}

// print writes the report for people, or all of it as JSON.
func (r *report) print(w io.Writer, asJSON bool) error {
	if asJSON {
		raw, err := indented(r)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\n", raw)
		}
		return err
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Loops)) {
		r.Loops[name].describe(&b, name)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Values)) {
		fmt.Fprintf(&b, "%-58s %12.1f\n", name, r.Values[name])
	}
	for _, x := range r.Ratios {
		word, bound := "reached", "at least"
		if x.Most {
			bound = "at most"
		}
		if !x.reached() {
			word = "NOT REACHED"
		}
		fmt.Fprintf(&b, "%-58s %12.2f  (goal: %s %g; %s)\n", x.Name, x.Value, bound, x.Goal, word)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// describe writes one loop for people.
func (r result) describe(b *strings.Builder, name string) {
	fmt.Fprintf(b, "%s: %d workers, %.0f s, %.1f turns/s", name, r.Workers, r.Seconds, r.PerSec)
	if r.Offered > 0 {
		fmt.Fprintf(b, " (offered %.1f)", r.Offered)
	}
	if r.Failed > 0 {
		fmt.Fprintf(b, ", %d FAILED: %s", r.Failed, r.Failure)
	}
	b.WriteByte('\n')
	for _, kind := range slices.Sorted(maps.Keys(r.Requests)) {
		s := r.Requests[kind]
		fmt.Fprintf(b, "  %-20s %8d  p50 %7d µs  p90 %7d µs  p99 %7d µs  p99.9 %7d µs  max %7d µs\n",
			kind, s.Count, s.P50, s.P90, s.P99, s.P999, s.Max)
	}
	if len(r.CPU) == 0 {
		return
	}
	b.WriteString("  processor time per turn:")
	for _, process := range slices.Sorted(maps.Keys(r.CPU)) {
		fmt.Fprintf(b, " %s %.0f µs (%.0f %%)", process, r.CPU[process], 100*r.Busy[process])
	}
	fmt.Fprintf(b, ", together %.0f µs (%.0f %% of the machine)\n", r.CPU.sum(), 100*r.Busy.sum())
}
