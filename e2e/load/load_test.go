package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestMain also is the bare server that the catalog is compared with.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == bareCommand {
		if err := serveBare(context.Background(), os.Args[2]); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// built gives the settings of a short run with a broker built for it.
func built(t *testing.T) settings {
	t.Helper()
	bin := t.TempDir()
	for out, pkg := range map[string]string{"chandler": "cmd/chandler", "chandler-plugin-demo": "plugins/demo"} {
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, out), "../../"+pkg)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, text)
		}
	}
	return settings{workers: 4, duration: time.Second, options: options{bin: bin, dir: t.TempDir(),
		catalogDir: "../../catalog", templatesDir: "../../templates"}}
}

// The whole generator runs against a real broker, and what it counts is what the broker counts.
func TestLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	s := built(t)
	t.Run("cycles", func(t *testing.T) {
		target, err := s.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := target.close(); err != nil {
				t.Error(err)
			}
		}()
		res, err := s.loopOf(target, 0, demoPlan.cycle).run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if res.Failed > 0 || res.Turns == 0 {
			t.Fatalf("%d cycles, %d failed: %s", res.Turns, res.Failed, res.Failure)
		}
		c, err := newClient(target.url, target.broker.Operator, target.password)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		for name, want := range map[string]float64{
			"chandler_instances": 0, "chandler_bindings": 0, "chandler_unfinished_operations": 0,
		} {
			if n, err := c.metric(t.Context(), name); err != nil || n != want {
				t.Errorf("%s is %v after complete cycles: %v", name, n, err)
			}
		}
		done, err := c.metric(t.Context(), "chandler_operation_duration_seconds_count")
		if err != nil {
			t.Fatal(err)
		}
		// What ended after the window was done, but not counted: at most a turn of each worker.
		counted := 0
		for _, verb := range []string{"provision", "bind", "unbind", "deprovision"} {
			n := res.Requests[verb].Count
			if counted += n; n < res.Turns || n > res.Turns+s.workers {
				t.Errorf("%d requests of %s in %d cycles", n, verb, res.Turns)
			}
		}
		if most := counted + 4*s.workers; int(done) < counted || int(done) > most {
			t.Errorf("the broker did %v operations; %d to %d were counted", done, counted, most)
		}
		if res.CPU["broker"] == 0 {
			t.Errorf("no processor time was measured: %v", res.CPU)
		}
	})
	s.instances, s.unfinished = 600, 20
	s.scenarios = scenarioNames()
	t.Run("all scenarios", func(t *testing.T) {
		r, err := s.run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.failed() || len(r.Ratios) != 6 {
			t.Errorf("%+v", r)
		}
		for _, x := range r.Ratios {
			if x.Value <= 0 {
				t.Errorf("nothing was measured: %+v", x)
			}
		}
	})
}

// Exact percentiles: of n values, the one that ceil(q·n) of them do not exceed.
func TestLatencies(t *testing.T) {
	var l latencies
	for i := range 1000 {
		l = append(l, time.Duration(1000-i)*time.Microsecond)
	}
	want := summary{Count: 1000, Mean: 500, P50: 500, P90: 900, P99: 990, P999: 999, Max: 1000}
	if got := l.summarise(); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
	if got, one := (latencies{time.Millisecond}).summarise(), int64(1000); got.P50 != one || got.P999 != one || got.Max != one {
		t.Errorf("of one value: %+v", got)
	}
	if got := (latencies{}).summarise(); got != (summary{}) {
		t.Errorf("of none: %+v", got)
	}
}

// What is offered at a rate is measured from when it was due: the requests that a
// stall held up count as slow, too.
func TestDueTimes(t *testing.T) {
	began := time.Now()
	s := &session{window: &window{from: began.Add(-time.Hour), to: began.Add(time.Hour)}, taken: map[string]latencies{},
		due: began.Add(-time.Minute)}
	for range 2 {
		if err := s.measure("r", func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.taken["r"]; got[0] < time.Minute || got[1] >= time.Minute {
		t.Errorf("got %v: the first one was due a minute ago", got)
	}
}
