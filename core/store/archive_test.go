package store_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

func masterKey(t testing.TB) store.MasterKey {
	t.Helper()
	text, err := store.NewMasterKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := store.ParseMasterKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sealedStore opens an empty store of the kind with a keyset of its own.
func sealedStore(t *testing.T, kind string) core.Store {
	t.Helper()
	ring, err := store.NewKeyring(masterKey(t))
	if err != nil {
		t.Fatal(err)
	}
	var s core.Store
	if kind == "postgres" {
		s = openPostgres(t, store.PostgresConfig{DSN: newDatabase(t), Cipher: ring})
	} else {
		s = open(t, t.TempDir(), func(c *store.SQLiteConfig) { c.Cipher = ring })
	}
	document, err := ring.Create(false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx core.Tx) error { return tx.Put(core.KeysDocument, document) }); err != nil {
		t.Fatal(err)
	}
	if err := ring.Load(document); err != nil {
		t.Fatal(err)
	}
	return s
}

// furnish fills every table, also with what is hard to keep: bytes that are no text,
// empty and missing values, tombstones, unfinished work, many rows.
func furnish(tx core.Tx) error {
	if err := canaries(tx); err != nil {
		return err
	}
	def := core.Definition{Digest: "digest", Blob: []byte(`{"größe":"<&>"}`)}
	if err := tx.PutDefinition(def); err != nil {
		return err
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 891000, time.UTC)
	for n := range 200 { // more than a page
		id := fmt.Sprintf("i%03d ß'\"", n)
		in := &core.Instance{ID: id, ServiceID: "s", PlanID: fmt.Sprint("p", n%3), Definition: "digest", Backend: "b", Ready: n%2 == 0,
			Parameters: []byte(`{}`), CreatedAt: at.Add(time.Duration(n) * time.Microsecond)}
		if err := tx.PutInstance(in); err != nil {
			return err
		}
		op := &core.Operation{ID: fmt.Sprintf("op%03d", n), Verb: core.VerbProvision, InstanceID: id, State: core.OperationSucceeded,
			Handle: []byte{}, Seed: []byte{0, 1, 255, byte(n)}, Epoch: int64(n), Holder: "a lease at the source", CreatedAt: at, FinishedAt: at}
		if n%10 == 0 {
			op.State, op.FinishedAt = core.OperationPending, time.Time{}
		}
		if err := tx.InsertOperation(op); err != nil {
			return err
		}
		if err := tx.AddStep(&core.Step{Operation: op.ID, At: at, Kind: core.StepAccepted, Text: "zero\x01byte", Detail: "d"}); err != nil {
			return err
		}
		for range n%4 + 1 {
			if _, err := tx.NextFence(id); err != nil {
				return err
			}
		}
		if err := tx.Reserve("b", "/name", fmt.Sprint("name", n), id); err != nil {
			return err
		}
		if n%7 == 1 { // leaves a tombstone and a fence
			if err := tx.DeleteInstance(id); err != nil {
				return err
			}
		}
	}
	if err := tx.Put("large", bytes.Repeat([]byte("segments "), 300<<10)); err != nil {
		return err
	}
	return tx.Put("catalog", []byte{0, 255, '\n'})
}

// export gives the archive of a store.
func export(t *testing.T, s core.Store, key store.MasterKey) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := store.Export(t.Context(), s, &buf, store.ExportConfig{Master: key, Program: "v1", Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func importInto(t *testing.T, s core.Store, archive []byte, id string, keys ...store.MasterKey) (map[string]int64, error) {
	t.Helper()
	leases, _ := s.(core.Leases)
	return store.Import(t.Context(), s, bytes.NewReader(archive), store.ImportConfig{Masters: keys, ID: id, Now: time.Now(), Leases: leases})
}

func sameRows(t *testing.T, what string, want, got any) {
	t.Helper()
	if reflect.DeepEqual(want, got) {
		return // cmp takes seconds for a megabyte
	}
	t.Errorf("%s (-source +target):\n%.2000s", what, cmp.Diff(want, got))
}

func dispatcherOf(t *testing.T, s core.Store) (d core.DispatcherState) {
	t.Helper()
	err := s.View(t.Context(), func(tx core.Tx) (err error) {
		d, err = core.ReadDispatcher(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every value comes out as it went in, whichever databases and keys are on both sides.
func TestExportAndImport(t *testing.T) {
	for _, way := range [][2]string{{"sqlite", "sqlite"}, {"sqlite", "postgres"}, {"postgres", "sqlite"}, {"postgres", "postgres"}} {
		t.Run(way[0]+" to "+way[1], func(t *testing.T) {
			from, to, key := sealedStore(t, way[0]), sealedStore(t, way[1]), masterKey(t)
			if err := from.Update(t.Context(), furnish); err != nil {
				t.Fatal(err)
			}
			archive := export(t, from, key)
			if bytes.Contains(archive, []byte("canary-")) {
				t.Error("a secret is in the archive in the clear")
			}
			counts, err := importInto(t, to, archive, "one", masterKey(t), key)
			if err != nil {
				t.Fatal(err)
			}
			want, got := store.Rows(t, from), store.Rows(t, to)
			for table, rows := range want {
				if len(rows) == 0 || counts[table] != int64(len(rows)) {
					t.Errorf("%s: %d rows, counted %d", table, len(rows), counts[table])
				}
				sameRows(t, table, rows, got[table])
			}
			if d := dispatcherOf(t, to); !d.Paused || d.Why != "imported" || d.Importing != "" {
				t.Errorf("the dispatcher of the target: %+v", d)
			}
			goesOn(t, from, to)
		})
	}
}

// goesOn looks whether the target works as the source would have.
func goesOn(t *testing.T, from, to core.Store) {
	t.Helper()
	look := func(s core.Store) (out []any) {
		err := s.Update(t.Context(), func(tx core.Tx) error {
			out = nil
			counts, err := tx.Counts()
			if err != nil {
				return err
			}
			uses, err := tx.PlansInUse()
			if err != nil {
				return err
			}
			fence, err := tx.NextFence("i003 ß'\"")
			if err != nil {
				return err
			}
			secret, err := tx.Secret("i", "b", "admin", func() (string, error) { return "", errors.New("it is lost") })
			if err != nil {
				return err
			}
			if err := tx.Reserve("b", "/name", "name3", "i"); !errors.Is(err, core.ErrBusy) {
				return fmt.Errorf("a reservation is lost: %v", err)
			}
			op := &core.Operation{ID: "newest", InstanceID: "i003 ß'\"", State: core.OperationPending}
			if err := tx.InsertOperation(op); err != nil {
				return err
			}
			newest, err := tx.Operations(core.OperationFilter{Limit: 1})
			if err != nil {
				return err
			}
			out = []any{counts, uses, fence, secret, newest[0].ID}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if diff := cmp.Diff(look(from), look(to)); diff != "" {
		t.Errorf("the target goes on otherwise (-source +target):\n%s", diff)
	}
}

// What is not a whole archive of this program's is refused, leaves a store on which no
// broker starts, and can be imported again.
func TestImportRefuses(t *testing.T) {
	from, key := sealedStore(t, "sqlite"), masterKey(t)
	if err := from.Update(t.Context(), furnish); err != nil {
		t.Fatal(err)
	}
	good := export(t, from, key)
	changed := func(change func([]byte) []byte) []byte { return change(bytes.Clone(good)) }
	for _, c := range []struct {
		why     string
		archive []byte
		keys    []store.MasterKey
		want    string
		clean   bool // nothing was begun
	}{
		{"nothing", nil, nil, "incomplete", true},
		{"something else", []byte("SQLite format 3"), nil, "something else", true},
		{"another key", good, []store.MasterKey{masterKey(t)}, "sealed by the master key", true},
		{"no key", good, nil, "sealed by the master key", true},
		{"a newer format", changed(func(b []byte) []byte { return bytes.Replace(b, []byte(`"format":1`), []byte(`"format":2`), 1) }), nil, "newer", true},
		{"a changed header", changed(func(b []byte) []byte { return bytes.Replace(b, []byte(`"program":"v1"`), []byte(`"program":"v2"`), 1) }), []store.MasterKey{key}, "damaged", true},
		{"a header that is cut", good[:30], nil, "incomplete", true},
		{"cut in the middle", good[:len(good)/2], []store.MasterKey{key}, "incomplete", false},
		{"the last byte is missing", good[:len(good)-1], []store.MasterKey{key}, "incomplete", false},
		{"a bit flipped", changed(func(b []byte) []byte { b[len(b)*2/3] ^= 4; return b }), []store.MasterKey{key}, "damaged", false},
		{"something behind it", append(bytes.Clone(good), 'x'), []store.MasterKey{key}, "damaged", false},
	} {
		t.Run(c.why, func(t *testing.T) {
			to := sealedStore(t, "sqlite")
			_, err := importInto(t, to, c.archive, "one", c.keys...)
			var e *core.Error
			if !errors.As(err, &e) || !strings.Contains(e.Message+e.Hint, c.want) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if usable := core.UsableStore(t.Context(), to); (usable == nil) != c.clean {
				t.Errorf("afterwards: %v", usable)
			}
			if _, err := importInto(t, to, good, "two", key); err != nil {
				t.Errorf("again: %v", err)
			}
			sameRows(t, "again", store.Rows(t, from), store.Rows(t, to))
			if _, err := importInto(t, to, good, "three", key); core.CodeOf(err) != core.CodeConflict || !strings.Contains(err.Error(), "not empty") {
				t.Errorf("into a full store: %v", err)
			}
		})
	}
}

// An import that was interrupted begins from scratch, on PostgreSQL, too, where a broker that lives is in the way.
func TestInterruptedImport(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			from, to, key := sealedStore(t, "sqlite"), sealedStore(t, kind), masterKey(t)
			if err := from.Update(t.Context(), furnish); err != nil {
				t.Fatal(err)
			}
			archive := export(t, from, key)
			broken := errors.New("unplugged")
			config := store.ImportConfig{Masters: []store.MasterKey{key}, ID: "one", Now: time.Now()}
			config.Progress = func(table string, _ int64) {
				if table == "operations" {
					panic(broken)
				}
			}
			func() {
				defer func() {
					if recover() != broken {
						t.Error("the import came to its end")
					}
				}()
				_, _ = store.Import(t.Context(), to, bytes.NewReader(archive), config)
			}()
			if err := core.UsableStore(t.Context(), to); core.CodeOf(err) != core.CodeConflict {
				t.Errorf("a half store is usable: %v", err)
			}
			if leases, ok := to.(core.Leases); ok && kind == "postgres" {
				if err := leases.Renew(t.Context(), core.Replica{Holder: "h", Name: "alive"}, time.Hour); err != nil {
					t.Fatal(err)
				}
				if _, err := importInto(t, to, archive, "two", key); core.CodeOf(err) != core.CodeConflict || !strings.Contains(err.Error(), "alive") {
					t.Errorf("beside a broker: %v", err)
				}
				if err := leases.Release(t.Context(), "h"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := importInto(t, to, archive, "three", key); err != nil {
				t.Fatal(err)
			}
			sameRows(t, kind, store.Rows(t, from), store.Rows(t, to))
			goesOn(t, from, to)
		})
	}
}

// Whoever reads the export ends it by an error; the store works on.
func TestExportToABrokenWriter(t *testing.T) {
	s, full := sealedStore(t, "sqlite"), errors.New("the disk is full")
	if err := s.Update(t.Context(), furnish); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	_ = r.CloseWithError(full)
	if err := store.Export(t.Context(), s, w, store.ExportConfig{Master: masterKey(t)}); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}
