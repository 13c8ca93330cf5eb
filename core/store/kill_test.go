package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// childVariable makes this test binary a process that writes until it is killed.
const childVariable = "CHANDLER_STORE_TEST_CHILD"

const childWriters = 6

// child opens the store of dir, and each of its writers commits numbered rows and
// prints "writer number" after each answer.
func child(dir string) error {
	s, err := store.OpenSQLite(context.Background(), store.SQLiteConfig{Path: filepath.Join(dir, "chandler.db")})
	if err != nil {
		return err
	}
	fmt.Println("open")
	var wg sync.WaitGroup
	errs := make(chan error, childWriters)
	for w := range childWriters {
		wg.Go(func() {
			for {
				n, err := writeNumbered(s, w)
				if err != nil {
					errs <- err
					return
				}
				fmt.Printf("%d %d\n", w, n) // one write call, so lines do not mix
			}
		})
	}
	return <-errs
}

// writeNumbered commits the writer's next row and all that belongs to it.
func writeNumbered(s core.Store, w int) (n int, err error) {
	key := fmt.Sprint("writer", w)
	err = s.Update(context.Background(), func(tx core.Tx) error {
		n = 0
		if b, err := tx.Get(key); err == nil {
			n, _ = strconv.Atoi(string(b))
		}
		n++
		id := fmt.Sprintf("%d-%d", w, n)
		if err := tx.Put(key, []byte(strconv.Itoa(n))); err != nil {
			return err
		}
		if err := tx.PutInstance(&core.Instance{ID: id, Parameters: []byte(strings.Repeat("x", 500))}); err != nil {
			return err
		}
		if err := tx.InsertOperation(&core.Operation{ID: id, InstanceID: id, State: core.OperationPending}); err != nil {
			return err
		}
		return tx.AddStep(&core.Step{Operation: id, Kind: core.StepAccepted})
	})
	return n, err
}

func TestKill(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	dir := t.TempDir()
	var acknowledged [childWriters]int
	for round := range rounds {
		killAtRandom(t, dir, &acknowledged)
		s := open(t, dir) // the lock is free
		for w, n := range acknowledged {
			// The next child goes on after a row that was under way, acknowledged or not.
			acknowledged[w] = checkNumbered(t, s, w, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		integrity(t, filepath.Join(dir, "chandler.db"))
		if t.Failed() {
			t.Fatalf("round %d, acknowledged %v", round, acknowledged)
		}
	}
	t.Logf("acknowledged %v", acknowledged)
}

// killAtRandom runs a child, kills it after a random number of its answers, and
// notes the last number that each writer acknowledged.
func killAtRandom(t *testing.T, dir string, acknowledged *[childWriters]int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := sync.OnceFunc(func() { cmd.Process.Signal(syscall.SIGKILL) })
	defer cmd.Wait()
	defer kill()
	lines := bufio.NewReader(out)
	if first, err := lines.ReadString('\n'); err != nil || first != "open\n" {
		t.Fatalf("the child said %q, %v", first, err)
	}
	_, err = store.OpenSQLite(t.Context(), store.SQLiteConfig{Path: filepath.Join(dir, "chandler.db")})
	if want := fmt.Sprintf("pid %d", cmd.Process.Pid); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("open beside the child: %v, want an error with %q", err, want)
	}
	for after := rand.IntN(400); ; after-- {
		if after == 0 {
			kill() // what it wrote to the pipe before it died is still read
		}
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return // a last line without its end is no acknowledgement
		}
		if err != nil {
			t.Fatal(err)
		}
		var w, n int
		if _, err := fmt.Sscanf(line, "%d %d\n", &w, &n); err != nil {
			t.Fatalf("the child said %q", line)
		}
		acknowledged[w] = n
	}
}

// checkNumbered checks that the writer's rows up to n exist, whole, and at most
// one more: the one that was under way. It gives the last row's number.
func checkNumbered(t *testing.T, s core.Store, w, n int) (last int) {
	t.Helper()
	err := s.View(t.Context(), func(tx core.Tx) error {
		if b, err := tx.Get(fmt.Sprint("writer", w)); err == nil {
			last, _ = strconv.Atoi(string(b))
		}
		if last < n || last > n+1 {
			t.Errorf("writer %d: the last row is %d, acknowledged was %d", w, last, n)
		}
		for i := 1; i <= last+1; i++ {
			id := fmt.Sprintf("%d-%d", w, i)
			_, errInstance := tx.Instance(id)
			_, errOperation := tx.LatestOperation(id, "")
			steps, err := tx.Steps(id)
			if err != nil {
				return err
			}
			if whole, want := errInstance == nil && errOperation == nil && len(steps) == 1, i <= last; whole != want {
				t.Errorf("row %s: %v, %v, %d steps", id, errInstance, errOperation, len(steps))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// integrity lets SQLite check the file.
func integrity(t *testing.T, file string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var answer string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&answer); err != nil || answer != "ok" {
		t.Errorf("integrity check: %q, %v", answer, err)
	}
	var broken int
	if err := db.QueryRow("SELECT count(*) FROM pragma_foreign_key_check").Scan(&broken); err != nil || broken != 0 {
		t.Errorf("%d broken foreign keys, %v", broken, err)
	}
}
