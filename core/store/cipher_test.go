package store_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/store/storetest"
)

// toyCipher hides values by XOR and ties each to its place, which is all that
// this test needs of a cipher.
type toyCipher struct {
	mu   sync.Mutex
	seen map[string]bool // table.column
}

func (c *toyCipher) Seal(table, row, column string, plain []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[table+"."+column] = true
	return toggle([]byte(table + "|" + row + "|" + column + "|" + string(plain))), nil
}

func (c *toyCipher) Open(table, row, column string, sealed []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(toggle(sealed), []byte(table+"|"+row+"|"+column+"|"))
	if !ok {
		return nil, fmt.Errorf("the value belongs elsewhere")
	}
	return plain, nil
}

func toggle(b []byte) []byte {
	b = slices.Clone(b)
	for i := range b {
		b[i] ^= 0x5a
	}
	return b
}

// canaries puts a secret into every place that may hold one.
func canaries(tx core.Tx) error {
	n := 0
	text := func() string { n++; return fmt.Sprintf("canary-%02d-", n) }
	object := func() []byte { return []byte(`{"x":"` + text() + `"}`) }
	attempts := func() []core.Attempt {
		return []core.Attempt{{Operation: "o", Inputs: object(), Handle: []byte(text())}}
	}
	in := &core.Instance{ID: "i", Parameters: object(), Context: object(),
		Applied: core.Applied{Inputs: object(), Outputs: object()}, Attempted: attempts(),
		DashboardURL: text(), Labels: object(), Attributes: object()}
	b := &core.Binding{InstanceID: "i", ID: "b", Request: text(), Parameters: object(), Context: object(), Resource: object(),
		Applied: core.Applied{Inputs: object(), Outputs: object()}, Attempted: attempts(),
		Result: &core.BindingResult{Credentials: object(), SyslogDrainURL: text()}}
	op := &core.Operation{ID: "o", InstanceID: "i", State: core.OperationPending, Handle: []byte(text()), Seed: []byte(text()),
		Request: text(), ProgressText: text(), Left: []string{text()}, Identity: object(), Error: core.Errorf(core.CodeFailed, "%s", text()),
		Wanted: core.Wanted{Parameters: object(), Context: object(), Inputs: object(), Undo: object(), Labels: object(),
			Secrets: []string{text()}, Unbinds: []core.WantedUnbind{{BindingID: "b", Inputs: object()}}}}
	for range 2 { // inserted and replaced
		if err := tx.PutInstance(in); err != nil {
			return err
		}
		if err := tx.PutBinding(b); err != nil {
			return err
		}
	}
	if err := tx.InsertOperation(op); err != nil {
		return err
	}
	if err := tx.UpdateOperation(op); err != nil {
		return err
	}
	if err := tx.AddStep(&core.Step{Operation: "o", At: time.Now(), Text: text(), Detail: text()}); err != nil {
		return err
	}
	for _, binding := range []string{"", "b"} {
		if _, err := tx.Secret("i", binding, "admin", func() (string, error) { return text(), nil }); err != nil {
			return err
		}
	}
	return nil
}

// dump is everything that the store has on disk now.
func dump(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}

func TestSecretColumnsPassTheCipher(t *testing.T) {
	// Without a cipher the canaries are found: the search works.
	plain := t.TempDir()
	s := open(t, plain)
	if err := s.Update(t.Context(), canaries); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(dump(t, plain), "canary-"); n < 34 { // two more are handles in JSON, which has them in base64
		t.Fatalf("only %d canaries in a store without a cipher", n)
	}

	dir, cipher := t.TempDir(), &toyCipher{seen: map[string]bool{}}
	s = open(t, dir, func(c *store.SQLiteConfig) { c.Cipher = cipher })
	if err := s.Update(t.Context(), canaries); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if i := strings.Index(dump(t, dir), "canary-"); i >= 0 {
			t.Errorf("%s: %.10q is on disk in the clear", when, dump(t, dir)[i:])
		}
	}
	check("in the write-ahead log")
	want := map[string]bool{}
	for table, columns := range map[string]string{
		"instances":  "parameters context inputs outputs attempted dashboard_url labels attributes",
		"bindings":   "request parameters context resource inputs outputs attempted result",
		"operations": "request wanted handle seed progress_text error left_behind identity",
		"steps":      "text detail",
		"secrets":    "value",
	} {
		for c := range strings.FieldsSeq(columns) {
			want[table+"."+c] = true
		}
	}
	if diff := cmp.Diff(want, cipher.seen); diff != "" {
		t.Errorf("sealed columns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, store.SealedColumns()); diff != "" {
		t.Errorf("columns that a rewrap goes through (-want +got):\n%s", diff)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check("in the database")
	s = open(t, dir) // without the key
	err := s.View(t.Context(), func(tx core.Tx) error {
		b, err := tx.Binding("i", "b")
		if err == nil {
			t.Errorf("read without the key: %s", b.Result.Credentials)
		}
		return nil
	})
	if core.CodeOf(err) != core.CodeUnavailable || strings.Contains(err.Error(), "canary-") {
		t.Errorf("the View without the key: %v", err)
	}
}

// TestConformanceWithCipher shows that nothing depends on values being stored as they are.
func TestConformanceWithCipher(t *testing.T) {
	storetest.Run(t, func(t *testing.T) core.Store {
		return open(t, t.TempDir(), func(c *store.SQLiteConfig) { c.Cipher = &toyCipher{seen: map[string]bool{}} })
	})
}
