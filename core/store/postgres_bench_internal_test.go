package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// each runs n numbered calls, callers at a time, and gives how long all took.
func each(b *testing.B, n, callers int, fn func(i int64) error) time.Duration {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// BenchmarkPostgresUpdate compares what the lifecycle writes for a provision, two
// Updates, with bare durable inserts of one row by as many callers in the same run:
// x-bare is how many of those are done in the time of one Update.
func BenchmarkPostgresUpdate(b *testing.B) {
	server, err := postgres.Start("")
	if errors.Is(err, postgres.ErrNotInstalled) {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	defer server.Stop()
	s, err := OpenPostgres(b.Context(), PostgresConfig{DSN: server.DSN()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	settings, err := pgxpool.ParseConfig(server.DSN())
	if err != nil {
		b.Fatal(err)
	}
	settings.MaxConns = 16
	bare, err := pgxpool.NewWithConfig(b.Context(), settings)
	if err != nil {
		b.Fatal(err)
	}
	defer bare.Close()
	if _, err := bare.Exec(b.Context(), "CREATE TABLE bare (id BIGINT PRIMARY KEY, value TEXT)"); err != nil {
		b.Fatal(err)
	}
	var used atomic.Int64 // ids of the runs before
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("accept+finish/callers=%d", callers), func(b *testing.B) {
			base := used.Add(int64(b.N)) - int64(b.N)
			bareTook := each(b, b.N, callers, func(i int64) error {
				_, err := bare.Exec(context.Background(), "INSERT INTO bare VALUES ($1, 'x')", base+i)
				return err
			})
			b.ResetTimer()
			took := each(b, b.N, callers, func(i int64) error {
				n := base + i
				id := fmt.Sprintf("%08x-0000-4000-8000-%012d", n*2654435761%(1<<32), n)
				for _, fn := range []func(core.Tx) error{accept(id), finish(id)} {
					if err := s.Update(context.Background(), fn); err != nil {
						return err
					}
				}
				return nil
			})
			b.ReportMetric(float64(took)/2/float64(bareTook), "x-bare")
			b.ReportMetric(2*float64(b.N)/took.Seconds(), "updates/s")
		})
	}
}
