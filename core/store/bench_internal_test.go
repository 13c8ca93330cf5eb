package store

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// bareCommits measures n durable transactions of one small row each, one after
// the other, on a connection with the store's own settings: what the disk allows.
func bareCommits(b *testing.B, n int) time.Duration {
	b.Helper()
	s, err := openSession(b.Context(), dsn(filepath.Join(b.TempDir(), "bare.db"), SQLiteConfig{}.withDefaults(), false))
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	if err := writeAhead(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	if err := s.script(b.Context(), "CREATE TABLE bare (id INTEGER PRIMARY KEY, value TEXT)"); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	for range n {
		if _, err := s.exec("INSERT INTO bare (value) VALUES (?)", "x"); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// accept is what the lifecycle writes when it accepts a provision, finish when it is done.
func accept(id string) func(core.Tx) error {
	return func(tx core.Tx) error {
		if err := tx.PutInstance(benchInstance(id, false)); err != nil {
			return err
		}
		if err := tx.InsertOperation(benchOperation(id, core.OperationPending)); err != nil {
			return err
		}
		if err := tx.AddStep(&core.Step{Operation: id, Kind: core.StepAccepted, At: time.Now()}); err != nil {
			return err
		}
		_, err := tx.NextFence(id)
		return err
	}
}

func finish(id string) func(core.Tx) error {
	return func(tx core.Tx) error {
		if err := tx.UpdateOperation(benchOperation(id, core.OperationSucceeded)); err != nil {
			return err
		}
		if err := tx.PutInstance(benchInstance(id, true)); err != nil {
			return err
		}
		return tx.AddStep(&core.Step{Operation: id, Kind: core.StepDone, At: time.Now()})
	}
}

func benchInstance(id string, done bool) *core.Instance {
	in := &core.Instance{ID: id, ServiceID: "6f3c5a52-0a5e-4d3c-8d6e-5a8b6a1f0001", PlanID: "0b1d5a52-0a5e-4d3c-8d6e-5a8b6a1f0002",
		Definition: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Backend: "gluster-s3",
		Parameters: []byte(`{"bucketName":"photos"}`), Context: []byte(`{"platform":"kubernetes","namespace":"default"}`),
		LastOperation: id, CreatedAt: time.Now(), UpdatedAt: time.Now()}
	if done {
		in.Ready, in.Usable = true, true
		in.Applied = core.Applied{Inputs: []byte(`{"bucket":"photos"}`), Outputs: []byte(`{"endpoint":"https://s3.example.org","bucket":"photos"}`)}
	}
	return in
}

func benchOperation(id string, state core.OperationState) *core.Operation {
	op := &core.Operation{ID: id, Verb: core.VerbProvision, InstanceID: id, State: state, Phase: core.PhaseCall,
		Request: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", Backend: "gluster-s3",
		Wanted: core.Wanted{Parameters: []byte(`{"bucketName":"photos"}`), Inputs: []byte(`{"bucket":"photos"}`)},
		Seed:   make([]byte, 32), CreatedAt: time.Now(), Deadline: time.Now()}
	if !state.Unfinished() {
		op.FinishedAt = time.Now()
	}
	return op
}

// BenchmarkUpdate compares Updates with bare commits of the same run: x-bare is
// how many of them are done in the time of one bare commit.
func BenchmarkUpdate(b *testing.B) {
	for _, work := range []struct {
		name string
		fn   func(id string) []func(core.Tx) error
	}{
		{"document", func(id string) []func(core.Tx) error {
			return []func(core.Tx) error{func(tx core.Tx) error { return tx.Put("k", []byte(id)) }}
		}},
		{"accept", func(id string) []func(core.Tx) error { return []func(core.Tx) error{accept(id)} }},
		{"accept+finish", func(id string) []func(core.Tx) error { return []func(core.Tx) error{accept(id), finish(id)} }},
	} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", work.name, callers), func(b *testing.B) {
				s := opened(b)
				const each = 500 // before and after, since the disk has its moods
				bare := bareCommits(b, each)
				var next atomic.Int64
				var updates atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range callers {
					wg.Go(func() {
						for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
							for _, fn := range work.fn(fmt.Sprintf("%08x-0000-4000-8000-%012d", n*2654435761%(1<<32), n)) {
								updates.Add(1)
								if err := s.Update(context.Background(), fn); err != nil {
									b.Error(err)
								}
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				bare = (bare + bareCommits(b, each)) / (2 * each)
				b.ReportMetric(float64(bare)*float64(updates.Load())/float64(b.Elapsed()), "x-bare")
				b.ReportMetric(float64(bare.Microseconds()), "bare-µs")
			})
		}
	}
}

// BenchmarkView reads an instance and its latest operation, as a GET or a poll does.
func BenchmarkView(b *testing.B) {
	s := opened(b)
	for n := range 1000 {
		id := fmt.Sprint(n)
		for _, fn := range []func(core.Tx) error{accept(id), finish(id)} {
			if err := s.Update(b.Context(), fn); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ResetTimer()
	for n := 0; b.Loop(); n++ {
		id := fmt.Sprint(n % 1000)
		err := s.View(context.Background(), func(tx core.Tx) error {
			if _, err := tx.Instance(id); err != nil {
				return err
			}
			_, err := tx.LatestOperation(id, "")
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
