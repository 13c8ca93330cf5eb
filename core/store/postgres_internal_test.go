package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store/storetest/postgres"
)

// startPostgres starts a server of the test's own.
func startPostgres(t *testing.T, settings ...string) *postgres.Server {
	t.Helper()
	server, err := postgres.Start("", append(settings, "fsync=off")...)
	if errors.Is(err, postgres.ErrNotInstalled) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

func openedPostgres(t *testing.T, config PostgresConfig) *Postgres {
	t.Helper()
	s, err := OpenPostgres(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestFrozenReplica is one that stops in the middle of a transaction: the server
// takes its locks away, and when it goes on, it begins again.
func TestFrozenReplica(t *testing.T) {
	server := startPostgres(t)
	config := PostgresConfig{DSN: server.DSN(), Timeout: 1500 * time.Millisecond}
	frozen, other := openedPostgres(t, config), openedPostgres(t, config)
	runs := 0
	err := frozen.Update(t.Context(), func(tx core.Tx) error {
		runs++
		if err := tx.PutInstance(&core.Instance{ID: "i", PlanID: "of the frozen one"}); err != nil {
			return err
		}
		if _, err := tx.Bindings("i"); err != nil { // with this the row is sent, too
			return err
		}
		if runs == 1 { // this returns when the server has ended our transaction
			return other.Update(context.Background(), func(tx core.Tx) error {
				return tx.PutInstance(&core.Instance{ID: "i", PlanID: "of the other"})
			})
		}
		in, err := tx.Instance("i")
		if err == nil && in.PlanID != "of the frozen one" {
			t.Errorf("the second time it reads %q", in.PlanID)
		}
		return err
	})
	if err != nil || runs != 2 {
		t.Errorf("%v after %d runs, want success after 2", err, runs)
	}
}

// TestFrozenServer has connections that answer nothing, as behind a network that is
// gone: who has a deadline, such as a lease's renewal, is told in time.
func TestFrozenServer(t *testing.T) {
	s := openedPostgres(t, PostgresConfig{DSN: startPostgres(t).DSN()})
	renew := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return s.Renew(ctx, core.Replica{Holder: "h"}, time.Hour)
	}
	if err := renew(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	rows, err := s.own.Query(t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = 'chandler'")
	if err != nil {
		t.Fatal(err)
	}
	if pids, err = pgx.CollectRows(rows, pgx.RowTo[int]); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		defer syscall.Kill(pid, syscall.SIGCONT)
	}
	if err := renew(); core.CodeOf(err) != core.CodeOverloaded && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Renew over a frozen connection: %v", err)
	}
	if err := renew(); err != nil {
		t.Errorf("Renew over the next connection: %v", err)
	}
}

// TestPostgresRenewalHasAConnection lets everything else that a replica does beside its Updates
// hold its connections, as a long VACUUM and slow claims do.
func TestPostgresRenewalHasAConnection(t *testing.T) {
	s := openedPostgres(t, PostgresConfig{DSN: startPostgres(t).DSN()})
	for range ownConnections {
		c, err := s.own.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
	}
	for _, why := range []string{"the first one", "the next one"} {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		if err := s.Renew(ctx, core.Replica{Holder: "h"}, time.Hour); err != nil {
			t.Errorf("%s: %v", why, err)
		}
		cancel()
	}
}

func TestCommitsAreDurable(t *testing.T) {
	server := startPostgres(t, "synchronous_commit=off")
	s := openedPostgres(t, PostgresConfig{DSN: server.DSN()})
	var level string
	if err := s.pool.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&level); err != nil || level != "on" {
		t.Errorf("synchronous_commit is %q, %v", level, err)
	}
}

func TestFoldedCountsAreTheSame(t *testing.T) {
	s := openedPostgres(t, PostgresConfig{DSN: startPostgres(t).DSN()})
	all := func() (uses []core.PlanUse, counts core.Counts) {
		err := s.View(t.Context(), func(tx core.Tx) (err error) {
			if uses, err = tx.PlansInUse(); err != nil {
				return err
			}
			counts, err = tx.Counts()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return uses, counts
	}
	err := s.Update(t.Context(), func(tx core.Tx) error {
		for i := range foldFrom + 10 {
			id := fmt.Sprint(i % 400)
			if err := tx.PutInstance(&core.Instance{ID: id, PlanID: fmt.Sprint("p", i%3), Definition: "d"}); err != nil {
				return err
			}
			for _, b := range []string{"a", "b"} {
				if err := tx.PutBinding(&core.Binding{InstanceID: id, ID: b}); err != nil {
					return err
				}
			}
			if i%4 == 0 {
				if err := tx.DeleteInstance(id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	uses, counts := all()
	rows := func() (n int) {
		err := s.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM uses_changes) + (SELECT count(*) FROM counts_changes)").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if rows() < foldFrom {
		t.Fatalf("only %d changes: the test tests nothing", rows())
	}
	s.foldOnce(t.Context())
	if rows() > 10 {
		t.Errorf("%d changes are left", rows())
	}
	usesAfter, countsAfter := all()
	if fmt.Sprint(uses) != fmt.Sprint(usesAfter) || fmt.Sprint(counts) != fmt.Sprint(countsAfter) {
		t.Errorf("before: %v, %v\nafter: %v, %v", uses, counts, usesAfter, countsAfter)
	}
}

// TestPostgresPlans checks that no statement reads a whole table that grows.
func TestPostgresPlans(t *testing.T) {
	s := openedPostgres(t, PostgresConfig{DSN: startPostgres(t).DSN()})
	queries := []string{
		selectInstance, selectInstanceKeys, updateInstanceKeys, updateInstance, deleteInstance, deleteInstanceSecrets,
		deleteInstanceReservations, orphanInstance, stripInstance, selectBinding, listBindings, listToRevoke, deleteBinding,
		deleteBindingSecrets, orphanBinding, stripBinding, updateOperation, selectOperation, latestOperation,
		unfinishedOfInstance, unfinishedOfAll, deleteOperation, isGone, deleteTombstones, selectTombstones, deleteTombstone, selectSeq, addStep, listSteps,
		selectSecret, selectReservation, listReservations, release, hasDefinition, selectDefinition,
		plansOfOperations, selectDocument, unfinishedHolders, instancesHeld, holdersOfInstance, claimInstance,
		freeOperations, leaseEnd, selectOperationInstance, selectReservations, selectHistory, deleteHistory, newestOperation,
		definitionsOfNewer, statesOfOperations, instancesOfHolder, operationsOfHolder, sameKeyset,
	}
	states := func(s ...core.OperationState) []core.OperationState { return s }
	for _, f := range []core.OperationFilter{
		{}, {InstanceID: "i", BindingID: "b"}, {InstanceID: "i"}, {BindingID: "b"}, {Verb: core.VerbBind},
		{States: states(core.OperationFailed)}, {States: states(core.OperationPending)},
	} {
		query, _ := listOperations(f, math.MaxInt64)
		queries = append(queries, query)
	}
	for _, f := range []core.InstanceFilter{{}, {PlanID: "p"}, {ServiceID: "s"}, {Backend: "b"}} {
		query, _ := (&pgConn{}).page(f)
		queries = append(queries, query)
	}
	c, err := pgx.ConnectConfig(t.Context(), s.pool.Config().ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	for i, query := range queries {
		name := fmt.Sprintf("q%d", i)
		if _, err := c.Exec(t.Context(), "PREPARE "+name+" AS "+translated(query)); err != nil {
			t.Errorf("%v\n%s", err, translated(query))
			continue
		}
		if _, err := c.Exec(t.Context(), "SET plan_cache_mode = force_generic_plan"); err != nil {
			t.Fatal(err)
		}
		call := "EXECUTE " + name
		if n := strings.Count(query, "?"); n > 0 {
			call += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", n), ", ") + ")"
		}
		rows, err := c.Query(t.Context(), "EXPLAIN "+call, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%v\n%s", err, query)
		}
		for _, line := range lines {
			// What triggers append is small, since it is folded.
			if strings.Contains(line, "Seq Scan") && !strings.Contains(line, "_changes") {
				t.Errorf("%s\n%s", translated(query), strings.Join(lines, "\n"))
				break
			}
		}
	}
}
