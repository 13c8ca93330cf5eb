package plugintest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// Run checks a plugin, every check as a sub-test.
func Run(t *testing.T, c Config) {
	t.Helper()
	s, err := newSuite(c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, check := range s.selected() {
		t.Run(check.name, func(t *testing.T) {
			result := s.run(t.Context(), check)
			switch result.Verdict {
			case Skipped:
				t.Skip(strings.Join(result.Problems, "; "))
			case Failed:
				for _, p := range result.Problems {
					t.Error(p)
				}
				t.Logf("%s; the plugin's log ends with:\n%s", check.why, s.transcript.tail())
			}
		})
	}
}

// Check checks a plugin. Its error says why nothing could be checked at all: a wrong
// configuration, or that ctx ended. What the plugin does wrong is in the report.
func Check(ctx context.Context, c Config) (Report, error) {
	s, err := newSuite(c)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	var report Report
	for _, check := range s.selected() {
		report.Results = append(report.Results, s.run(ctx, check))
		if ctx.Err() != nil {
			return report, ctx.Err()
		}
	}
	report.Plugin, report.Version = s.description.GetName(), s.description.GetVersion()
	report.Log = s.transcript.tail()
	return report, nil
}

// Checks gives the names of all checks, in the order in which they run.
func Checks() []string {
	var names []string
	for _, c := range checks() {
		names = append(names, c.name)
	}
	return names
}

// check is one promise of the contract.
type check struct {
	name, why string
	run       func(*trial)
}

// suite is what the checks share.
type suite struct {
	config      Config
	directory   string // temporary: data directory and sockets
	transcript  *transcript
	description *pluginpb.DescribeResponse // nil until a process described itself
	shared      *process                   // configured; for checks that do not end it
	fences      int64
}

func newSuite(c Config) (*suite, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pt") // short: socket paths are limited to about 100 bytes
	if err != nil {
		return nil, fmt.Errorf("plugintest: %w", err)
	}
	return &suite{config: c, directory: dir, transcript: &transcript{}}, nil
}

func (s *suite) close() {
	if s.shared != nil {
		s.shared.kill()
	}
	_ = os.RemoveAll(s.directory)
}

func (s *suite) selected() []check {
	var selected []check
	for _, c := range checks() {
		if len(s.config.Only) == 0 || slices.Contains(s.config.Only, c.name) {
			selected = append(selected, c)
		}
	}
	return selected
}

// trial is one run of a check. Its methods end it by panicking with stop.
type trial struct {
	*suite
	ctx      context.Context
	problems []string
	skipped  bool
	cleanups []func()
}

type stop struct{}

func (s *suite) run(ctx context.Context, c check) Result {
	began := time.Now()
	t := &trial{suite: s, ctx: ctx}
	t.guarded(func() { c.run(t) })
	t.ctx = context.WithoutCancel(ctx) // what was made is removed, also after ctrl-c
	for _, cleanup := range slices.Backward(t.cleanups) {
		t.guarded(cleanup)
	}
	result := Result{Check: c.name, Why: c.why, Verdict: Passed, Problems: t.problems, Took: time.Since(began)}
	switch {
	case t.skipped:
		result.Verdict = Skipped
	case len(t.problems) > 0:
		result.Verdict = Failed
	}
	return result
}

func (t *trial) guarded(f func()) {
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(stop); !ok {
				panic(p)
			}
		}
	}()
	f()
}

// errorf notes a problem; the check goes on.
func (t *trial) errorf(format string, args ...any) {
	t.problems = append(t.problems, fmt.Sprintf(format, args...))
}

// fatalf notes a problem and ends the check.
func (t *trial) fatalf(format string, args ...any) {
	t.errorf(format, args...)
	panic(stop{})
}

// skipf ends the check without a verdict, unless a problem was found already.
func (t *trial) skipf(format string, args ...any) {
	if len(t.problems) == 0 {
		t.skipped = true
		t.errorf(format, args...)
	}
	panic(stop{})
}

func (t *trial) cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// describe gives the plugin's description, from the first process that is needed for it.
func (t *trial) describe() *pluginpb.DescribeResponse {
	if t.description == nil {
		p := t.start()
		defer p.kill()
		t.describeProcess(p)
	}
	return t.description
}

func (t *trial) describeProcess(p *process) *pluginpb.DescribeResponse {
	ctx, cancel := context.WithTimeout(t.ctx, startTimeout)
	defer cancel()
	d, err := p.rpc.Describe(ctx, &pluginpb.DescribeRequest{BrokerVersion: "plugintest"})
	if err != nil {
		t.fatalf("Describe: %v", err)
	}
	if t.description == nil {
		t.description = d
	}
	return d
}

// plugin gives a configured process that checks share.
func (t *trial) plugin() *process {
	if t.shared != nil && t.shared.alive() {
		return t.shared
	}
	t.shared = t.fresh()
	return t.shared
}

// fresh gives a configured process of its own.
func (t *trial) fresh() *process {
	p := t.start()
	t.describeProcess(p)
	if err := t.configure(p, t.config.Config); err != nil {
		p.kill()
		t.fatalf("Configure with the given configuration: %v", err)
	}
	return p
}

func (t *trial) configure(p *process, config json.RawMessage) error {
	ctx, cancel := context.WithTimeout(t.ctx, t.config.Timeout)
	defer cancel()
	t.transcript.hide(secretsOf(t.description.GetConfigSchema(), config)...)
	_, err := p.rpc.Configure(ctx, &pluginpb.ConfigureRequest{
		Backend: backendName, Config: config, DataDirectory: t.dataDirectory(),
	})
	if err != nil {
		t.transcript.add("status of Configure", err.Error())
	}
	return err
}

func random(bytes int) []byte {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return b
}

func randomID() string { return hex.EncodeToString(random(5)) }
