package plugintest

import (
	"fmt"
	"io"
	"time"
)

// Verdict is how a check ended.
type Verdict string

// The verdicts.
const (
	Passed  Verdict = "passed"
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped"
)

// Result is what one check found.
type Result struct {
	// Check is its name, for Config.Only.
	Check string `json:"check"`
	// Why says what the contract promises.
	Why     string  `json:"why"`
	Verdict Verdict `json:"verdict"`
	// Problems are what is wrong, or why it was skipped.
	Problems []string      `json:"problems,omitempty"`
	Took     time.Duration `json:"took"`
}

// Report is what all checks found, in the order in which they ran.
type Report struct {
	Plugin  string   `json:"plugin"`
	Version string   `json:"version"`
	Results []Result `json:"results"`
	// Log is what the plugin wrote to its standard error, the end of it.
	Log string `json:"log,omitempty"`
}

// OK tells whether no check failed.
func (r Report) OK() bool { return r.count(Failed) == 0 }

func (r Report) count(v Verdict) (n int) {
	for _, result := range r.Results {
		if result.Verdict == v {
			n++
		}
	}
	return n
}

// Write writes the report for people. The plugin's log follows if a check failed.
func (r Report) Write(w io.Writer) error {
	marks := map[Verdict]string{Passed: "ok  ", Failed: "FAIL", Skipped: "skip"}
	fmt.Fprintf(w, "%s %s\n\n", r.Plugin, r.Version)
	for _, result := range r.Results {
		fmt.Fprintf(w, "%s  %-22s %s (%s)\n", marks[result.Verdict], result.Check, result.Why, result.Took.Round(time.Millisecond))
		for _, p := range result.Problems {
			fmt.Fprintf(w, "      - %s\n", p)
		}
	}
	if r.count(Failed) > 0 && r.Log != "" {
		fmt.Fprintf(w, "\nThe plugin's log ends with:\n%s\n", r.Log)
	}
	_, err := fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", r.count(Passed), r.count(Failed), r.count(Skipped))
	return err
}
