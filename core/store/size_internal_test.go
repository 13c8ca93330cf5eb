package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// sizeVariable says how many instances the large store of BenchmarkSize has.
const sizeVariable = "CHANDLER_BENCH_INSTANCES"

// fillings make n ready instances, each with a finished operation, its timeline and a
// fence, without going through the store: a million of them would take it long. %s
// is the id of instance i, spread like random ids; one is of the plan "rare".
var fillings = []string{
	`INSERT INTO instances (id, service_id, plan_id, definition, backend, organization_guid, space_guid, parameters, context,
		ready, usable, inputs, outputs, dashboard_url, maintenance_version, last_operation, created_at, updated_at)
	SELECT %[1]s, 's' || (i %% 5), CASE WHEN i = 7 THEN 'rare' ELSE 'p' || (i %% 20) END, 'd', 'b' || (i %% 4), '', '', %[3]s, %[3]s,
		TRUE, TRUE, %[3]s, %[3]s, '', '', 'o' || i, 1, 1 FROM %[2]s`,
	`INSERT INTO operations (id, verb, instance_id, binding_id, state, phase, request, definition, backend, service_id, plan_id,
		wanted, seed, fence, calls, failures, progress_text, progress_percent, detached, reported, cancelled_by, "user", request_id,
		holder, epoch, created_at, finished_at, gone)
	SELECT 'o' || i, 'provision', %[1]s, '', 'succeeded', 'call', 'r', 'd', 'b' || (i %% 4), 's' || (i %% 5), 'p' || (i %% 20),
		%[3]s, %[3]s, 1, 1, 0, '', -1, TRUE, FALSE, '', 'u', 'r', '', 0, 1, 1, 0 FROM %[2]s`,
	`INSERT INTO steps (operation, seq, at, kind, text, detail) SELECT seq, 1, 1, 'accepted', '', '' FROM operations`,
	`INSERT INTO fences (instance_id, fence) SELECT %[1]s, 1 FROM %[2]s`,
}

const pageSize = 20

func sizeID(i int) string { return fmt.Sprintf("%08x-%d", i*2654435761%(1<<32), i) }

func filledSQLite(b *testing.B, n int) core.Store {
	b.Helper()
	file := filepath.Join(b.TempDir(), "chandler.db")
	s, err := OpenSQLite(b.Context(), SQLiteConfig{Path: file})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	numbers := fmt.Sprintf("(WITH RECURSIVE n (i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i FROM n)", n-1)
	err = s.Update(b.Context(), func(core.Tx) error {
		for _, text := range fillings {
			text = fmt.Sprintf(text+"%.0[1]s%.0[2]s%.0[3]s", "printf('%08x-%d', i * 2654435761 % 4294967296, i)", numbers,
				`CAST('{"bucketName":"photos"}' AS BLOB)`)
			if err := s.writer.session.script(b.Context(), text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func filledPostgres(b *testing.B, n int) core.Store {
	b.Helper()
	server, err := postgres.Start("", "shared_buffers=256MB", "max_wal_size=2GB")
	if errors.Is(err, postgres.ErrNotInstalled) {
		b.Skip(err)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { server.Stop() })
	s, err := OpenPostgres(b.Context(), PostgresConfig{DSN: server.DSN()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	c, err := pgx.Connect(b.Context(), server.DSN())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close(context.Background())
	for _, text := range fillings {
		text = fmt.Sprintf(text+"%.0[1]s%.0[2]s%.0[3]s", "lpad(to_hex(i * 2654435761 % 4294967296), 8, '0') || '-' || i",
			fmt.Sprintf("generate_series(0::bigint, %d) i", n-1), `'{"bucketName":"photos"}'::bytea`)
		if _, err := c.Exec(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
	for left := foldFrom + 1; left > foldFrom; { // a million at once is more than a fold may take
		s.foldOnce(b.Context())
		if err := s.pool.QueryRow(b.Context(), "SELECT count(*) FROM uses_changes").Scan(&left); err != nil {
			b.Fatal(err)
		}
	}
	// As if it had been folded all the while, and not left a file of empty pages.
	if _, err := c.Exec(b.Context(), "VACUUM FULL uses_changes"); err != nil {
		b.Fatal(err)
	}
	return s
}

// sizeWork is what must not become slower as the store grows.
func sizeWork(n int) map[string]func(s core.Store, i int) error {
	ctx := context.Background()
	view := func(s core.Store, fn func(core.Tx) error) error { return s.View(ctx, fn) }
	list := func(f core.InstanceFilter) func(core.Store, int) error {
		return func(s core.Store, i int) error {
			if f.Limit == pageSize {
				f.After = fmt.Sprintf("%02x", i%200) // somewhere but near the end
			}
			return view(s, func(tx core.Tx) error {
				rows, err := tx.Instances(f)
				if err == nil && len(rows) == 0 {
					return errors.New("an empty page")
				}
				return err
			})
		}
	}
	return map[string]func(core.Store, int) error{
		"get": func(s core.Store, i int) error {
			return view(s, func(tx core.Tx) error {
				id := sizeID(i * 7919 % n)
				if _, err := tx.Instance(id); err != nil {
					return err
				}
				_, err := tx.LatestOperation(id, "")
				return err
			})
		},
		"provision": func(s core.Store, i int) error {
			id := fmt.Sprintf("%x-new-%d", i*2654435761%(1<<32), i)
			if err := s.Update(ctx, accept(id)); err != nil {
				return err
			}
			return s.Update(ctx, finish(id))
		},
		"list":            list(core.InstanceFilter{Limit: pageSize}),
		"list-by-plan":    list(core.InstanceFilter{PlanID: "p3", Limit: pageSize}),
		"list-by-service": list(core.InstanceFilter{ServiceID: "s1", Limit: pageSize}),
		"list-by-backend": list(core.InstanceFilter{Backend: "b2", Limit: pageSize}),
		"list-rare":       list(core.InstanceFilter{PlanID: "rare"}),
		"list-operations": func(s core.Store, i int) error {
			return view(s, func(tx core.Tx) error {
				_, err := tx.Operations(core.OperationFilter{InstanceID: sizeID(i * 7919 % n), Limit: pageSize})
				return err
			})
		},
		"counts": func(s core.Store, i int) error {
			return view(s, func(tx core.Tx) error { _, err := tx.Counts(); return err })
		},
	}
}

// median is that of count calls, after some that warm up.
func median(b *testing.B, s core.Store, count int, fn func(core.Store, int) error) time.Duration {
	b.Helper()
	var took []time.Duration
	for i := range count + count/4 {
		began := time.Now()
		if err := fn(s, i); err != nil {
			b.Fatal(err)
		}
		if i >= count/4 {
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// BenchmarkSize compares medians with a thousand instances and with many
// (CHANDLER_BENCH_INSTANCES, default 20,000) in one run.
func BenchmarkSize(b *testing.B) {
	many := 20_000
	if text := os.Getenv(sizeVariable); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			b.Fatal(err)
		}
		many = n
	}
	for name, fill := range map[string]func(*testing.B, int) core.Store{"sqlite": filledSQLite, "postgres": filledPostgres} {
		b.Run(name, func(b *testing.B) {
			few, large := fill(b, 1000), fill(b, many)
			small, big := sizeWork(1000), sizeWork(many)
			names := make([]string, 0, len(small))
			for work := range small {
				names = append(names, work)
			}
			slices.SortFunc(names, cmp.Compare)
			const calls = 400
			for _, work := range names {
				a, z := median(b, few, calls, small[work]), median(b, large, calls, big[work])
				b.Logf("%-16s %8s with 1000, %8s with %d: %.2f", work, a.Round(time.Microsecond), z.Round(time.Microsecond), many, float64(z)/float64(a))
				b.ReportMetric(float64(z)/float64(a), work+"-x")
			}
			b.ReportMetric(0, "ns/op") // it says nothing
		})
	}
}
