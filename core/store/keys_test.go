package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/store/storetest"
)

func master(t testing.TB) store.MasterKey {
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

func keyring(t testing.TB, masters ...store.MasterKey) *store.Keyring {
	t.Helper()
	k, err := store.NewKeyring(masters...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// loaded gives a keyring with a new keyset, and the document.
func loaded(t testing.TB, unsealed bool, masters ...store.MasterKey) (*store.Keyring, []byte) {
	t.Helper()
	k := keyring(t, masters...)
	document, err := k.Create(unsealed)
	if err != nil {
		t.Fatal(err)
	}
	must(t, k.Load(document))
	return k, document
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMasterKeyForm(t *testing.T) {
	good, err := store.NewMasterKey(rand.Reader)
	must(t, err)
	for _, c := range []struct {
		why, text string
		ok        bool
	}{
		{"as it was made", good, true},
		{"an editor's blanks", "  " + strings.TrimSpace(good) + "\r\n\n", true},
		{"nothing", "", false},
		{"a pass phrase is no key", "correct horse battery staple", false},
		{"too short", "c2hvcnQ=", false},
		{"too long", "AAAA" + good, false},
		{"URL-safe base64 would be a second spelling", strings.Repeat("_", 43) + "=", false},
	} {
		_, err := store.ParseMasterKey(c.text)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.why, err)
		}
		if err != nil && c.text != "" && strings.Contains(err.Error(), strings.TrimSpace(c.text)) {
			t.Errorf("%s: the error shows the key", c.why)
		}
	}
	key := master(t)
	if shown := fmt.Sprintf("%v %+v %#v %s", key, key, key, key); strings.Count(shown, key.ID()) != 4 {
		t.Errorf("printed, a key must be its id only: %s", shown)
	}
}

func TestValuesOpenInTheirPlaceOnly(t *testing.T) {
	k, _ := loaded(t, false, master(t))
	sealed, err := k.Seal("instances", "1:a", "inputs", []byte("secret"))
	must(t, err)
	if bytes.Contains(sealed, []byte("secret")) {
		t.Fatal("not sealed")
	}
	for _, c := range []struct {
		why, table, row, column string
		ok                      bool
	}{
		{"where it belongs", "instances", "1:a", "inputs", true},
		{"another table", "bindings", "1:a", "inputs", false},
		{"another row", "instances", "1:b", "inputs", false},
		{"another column", "instances", "1:a", "outputs", false},
		{"parts that read the same in a row", "instances1", ":a", "inputs", false},
	} {
		plain, err := k.Open(c.table, c.row, c.column, bytes.Clone(sealed))
		if (err == nil) != c.ok || c.ok && string(plain) != "secret" {
			t.Errorf("%s: %q, %v", c.why, plain, err)
		}
	}
	for i := range sealed {
		broken := bytes.Clone(sealed)
		broken[i] ^= 1
		if _, err := k.Open("instances", "1:a", "inputs", broken); err == nil {
			t.Errorf("opens with byte %d changed", i)
		}
	}
}

func TestUnsealedValuesOpenOnlyWhileTheKeysetSaysSo(t *testing.T) {
	m := master(t)
	k, _ := loaded(t, false, m)
	if _, err := k.Open("t", "r", "c", []byte(`{"a":1}`)); err == nil {
		t.Error("a value in the clear opens in a sealed store")
	}
	k, document := loaded(t, true, m)
	if plain, err := k.Open("t", "r", "c", []byte(`{"a":1}`)); err != nil || string(plain) != `{"a":1}` {
		t.Errorf("while values may be in the clear: %q, %v", plain, err)
	}
	document, err := k.Change(document, core.KeysSealed)
	must(t, err)
	must(t, k.Load(document))
	if _, err := k.Open("t", "r", "c", []byte(`{"a":1}`)); err == nil {
		t.Error("a value in the clear opens after the store was sealed")
	}
	empty := keyring(t, m)
	if _, err := empty.Seal("t", "r", "c", nil); err == nil {
		t.Error("seals without a keyset")
	}
	if _, err := empty.Open("t", "r", "c", []byte(`{}`)); err == nil {
		t.Error("opens without a keyset")
	}
}

// Whoever can write to the database must not be able to change what the document says.
func TestDocumentIsProven(t *testing.T) {
	m := master(t)
	_, document := loaded(t, false, m)
	if err := keyring(t, master(t)).Load(document); core.CodeOf(err) != core.CodeConflict || !strings.Contains(err.Error(), m.ID()) {
		t.Errorf("another master key: %v", err)
	}
	for why, change := range map[string][2]string{
		"values may be in the clear": {`"unsealed":false`, `"unsealed":true`},
		"another phase":              {`"phase":"steady"`, `"phase":"added"`},
		"another revision":           {`"revision":1`, `"revision":7`},
		"a newer format":             {`"format":1`, `"format":2`},
		"another key id":             {m.ID() + `":"`, `0000000000000000":"`},
		"not JSON":                   {`{`, ``},
		"an unknown field":           {`{`, `{"x":1,`},
	} {
		forged := strings.Replace(string(document), change[0], change[1], 1)
		if forged == string(document) {
			t.Fatalf("%s: nothing was forged in %s", why, document)
		}
		if err := keyring(t, m).Load([]byte(forged)); core.CodeOf(err) != core.CodeConflict {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestRotationSteps(t *testing.T) {
	k, document := loaded(t, false, master(t))
	seal := func() []byte {
		sealed, err := k.Seal("t", "r", "c", []byte("x"))
		must(t, err)
		return sealed
	}
	step := func(s core.KeyStep, phase core.KeysPhase, keys int) {
		t.Helper()
		next, err := k.Change(document, s)
		must(t, err)
		must(t, k.Load(next))
		must(t, k.Load(document)) // an older one is passed over
		document = next
		if got := k.State(); got.Phase != phase || got.Keys != keys {
			t.Fatalf("after %s: %+v", s, got)
		}
	}
	first, primary := seal(), k.State().Primary
	step(core.KeyAdd, core.KeysAdded, 2)
	if k.State().Primary != primary {
		t.Error("a key seals before every replica knows it")
	}
	if _, err := k.Change(document, core.KeyAdd); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("a third key: %v", err)
	}
	step(core.KeyPromote, core.KeysPromoted, 2)
	second := seal()
	for _, sealed := range [][]byte{first, second} {
		if _, err := k.Open("t", "r", "c", sealed); err != nil {
			t.Error(err)
		}
	}
	step(core.KeyRemove, core.KeysSteady, 1)
	if _, err := k.Open("t", "r", "c", first); err == nil {
		t.Error("the removed key still opens")
	}
	if _, err := k.Open("t", "r", "c", second); err != nil {
		t.Error(err)
	}
}

func TestMasterKeyChange(t *testing.T) {
	old, fresh := master(t), master(t)
	before, document := loaded(t, false, old)
	sealed, err := before.Seal("t", "r", "c", []byte("x"))
	must(t, err)
	both := keyring(t, fresh, old)
	must(t, both.Load(document))
	if _, err := before.Change(document, core.MasterOnly); err != nil {
		t.Errorf("the same one again: %v", err)
	}
	if _, err := both.Change(document, core.MasterOnly); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("alone before every replica knows it: %v", err)
	}
	two, err := both.Change(document, core.MasterAdd)
	must(t, err)
	must(t, before.Load(two))
	if got := before.State().Revision; got != 1 {
		t.Errorf("who does not know the new master key confirms revision %d", got)
	}
	must(t, both.Load(two))
	if got := both.State().Revision; got != 2 {
		t.Errorf("who knows it confirms revision %d", got)
	}
	if _, err := both.Change(two, core.KeyAdd); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("a data key in the middle of it: %v", err)
	}
	one, err := both.Change(two, core.MasterOnly)
	must(t, err)
	if err := before.Load(one); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("the old master key still unwraps: %v", err)
	}
	after := keyring(t, fresh)
	must(t, after.Load(one))
	if plain, err := after.Open("t", "r", "c", sealed); err != nil || string(plain) != "x" {
		t.Errorf("%q, %v", plain, err)
	}
}

// resealAll passes over everything once.
func resealAll(ctx context.Context, r *store.Resealer, limit int) (total core.ResealPage, err error) {
	for first := true; first || total.Next != ""; first = false {
		page, err := r.Reseal(ctx, total.Next, limit)
		if err != nil {
			return total, err
		}
		total.Next, total.Rows = page.Next, total.Rows+page.Rows
		total.Changed, total.Missed = total.Changed+page.Changed, total.Missed+page.Missed
	}
	return total, nil
}

// overBoth runs a test over both stores; open opens the test's database with a cipher, again after a Close.
func overBoth(t *testing.T, test func(t *testing.T, open func(store.Cipher) core.Store)) {
	t.Run("sqlite", func(t *testing.T) {
		dir := t.TempDir()
		test(t, func(cipher store.Cipher) core.Store {
			return open(t, dir, func(c *store.SQLiteConfig) { c.Cipher = cipher })
		})
	})
	t.Run("postgres", func(t *testing.T) {
		dsn := newDatabase(t)
		test(t, func(cipher store.Cipher) core.Store {
			return openPostgres(t, store.PostgresConfig{DSN: dsn, Cipher: cipher})
		})
	})
}

// A store in the clear is encrypted while it is used, and rotated, and reads the same all the time.
func TestReseal(t *testing.T) { overBoth(t, testReseal) }

func testReseal(t *testing.T, open func(store.Cipher) core.Store) {
	m := master(t)
	plain := open(nil)
	must(t, plain.Update(t.Context(), canaries))
	want := everything(t, plain)
	if sealed, clear, err := store.NewResealer(plain, nil).Probe(t.Context()); err != nil || sealed || !clear {
		t.Errorf("a store in the clear looks sealed: %v, clear: %v, %v", sealed, clear, err)
	}
	must(t, plain.Close())

	k, document := loaded(t, true, m)
	s := open(k)
	if got := everything(t, s); got != want {
		t.Errorf("before the rewrap:\n%s\nwant\n%s", got, want)
	}
	r := store.NewResealer(s, k)
	for limit := range 3 { // pages of every size, and again: nothing is left
		total, err := resealAll(t.Context(), r, limit+1)
		must(t, err)
		if first := limit == 0; (total.Changed > 0) != first || total.Missed != 0 || total.Rows < 6 {
			t.Errorf("pass %d: %+v", limit, total)
		}
	}
	for _, step := range []core.KeyStep{core.KeysSealed, core.KeyAdd, core.KeyPromote} {
		next, err := k.Change(document, step)
		must(t, err)
		must(t, k.Load(next))
		document = next
	}
	total, err := resealAll(t.Context(), r, 500)
	must(t, err)
	if total.Changed != total.Rows {
		t.Errorf("a rotation left something: %+v", total)
	}
	document, err = k.Change(document, core.KeyRemove)
	must(t, err)
	must(t, k.Load(document))
	if got := everything(t, s); got != want {
		t.Errorf("after the rotation:\n%s\nwant\n%s", got, want)
	}
	if sealed, clear, err := r.Probe(t.Context()); err != nil || !sealed || clear {
		t.Errorf("a sealed store looks sealed: %v, clear: %v, %v", sealed, clear, err)
	}
}

// everything is what canaries wrote, as it reads.
func everything(t *testing.T, s core.Store) string {
	t.Helper()
	var all []any
	must(t, s.View(t.Context(), func(tx core.Tx) error {
		in, err1 := tx.Instance("i")
		b, err2 := tx.Binding("i", "b")
		op, err3 := tx.Operation("o")
		steps, err4 := tx.Steps("o")
		all = append(all, in, b, op, steps)
		return errors.Join(err1, err2, err3, err4)
	}))
	must(t, s.Update(t.Context(), func(tx core.Tx) error {
		for _, binding := range []string{"", "b"} {
			secret, err := tx.Secret("i", binding, "admin", func() (string, error) { return "", errors.New("it is gone") })
			if err != nil {
				return err
			}
			all = append(all, secret)
		}
		return nil
	}))
	raw, err := json.MarshalIndent(all, "", " ")
	must(t, err)
	return string(raw)
}

// A rewrap beside writers loses none of their writes.
func TestResealLosesNoWrite(t *testing.T) { overBoth(t, testResealLosesNoWrite) }

func testResealLosesNoWrite(t *testing.T, open func(store.Cipher) core.Store) {
	const instances, rounds = 20, 40
	k, document := loaded(t, false, master(t))
	s := open(k)
	put := func(id, round int) error {
		return s.Update(t.Context(), func(tx core.Tx) error {
			return tx.PutInstance(&core.Instance{ID: fmt.Sprint("i", id), Parameters: fmt.Appendf(nil, `{"round":%d}`, round), CreatedAt: time.Now()})
		})
	}
	for id := range instances {
		must(t, put(id, 0))
	}
	for _, step := range []core.KeyStep{core.KeyAdd, core.KeyPromote} {
		next, err := k.Change(document, step)
		must(t, err)
		must(t, k.Load(next))
		document = next
	}
	written := make(chan error)
	go func() {
		var errs []error
		for round := range rounds {
			for id := range instances {
				errs = append(errs, put(id, round+1))
			}
		}
		written <- errors.Join(errs...)
	}()
	r := store.NewResealer(s, k)
	for done := false; !done; {
		if _, err := resealAll(t.Context(), r, 3); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-written:
			must(t, err)
			done = true
		default:
		}
	}
	total, err := resealAll(t.Context(), r, 500)
	must(t, err)
	if total.Changed != 0 {
		t.Errorf("written with the old key after the new one was loaded: %+v", total)
	}
	must(t, s.View(t.Context(), func(tx core.Tx) error {
		for id := range instances {
			in, err := tx.Instance(fmt.Sprint("i", id))
			if want := fmt.Sprintf(`{"round":%d}`, rounds); err != nil || string(in.Parameters) != want {
				t.Errorf("instance %d: %s, %v; want %s", id, in.Parameters, err, want)
			}
		}
		return nil
	}))
}

// A value that does not open stops a rewrap, which says where it is, and changes nothing of it.
func TestResealOfDamage(t *testing.T) {
	dir, m := t.TempDir(), master(t)
	other, _ := loaded(t, false, m)
	s := open(t, dir, func(c *store.SQLiteConfig) { c.Cipher = other })
	must(t, s.Update(t.Context(), canaries))
	must(t, s.Close())
	k, _ := loaded(t, false, m)
	s = open(t, dir, func(c *store.SQLiteConfig) { c.Cipher = k })
	_, err := resealAll(t.Context(), store.NewResealer(s, k), 10)
	if core.CodeOf(err) != core.CodeFailed || !strings.Contains(err.Error(), "instances.") {
		t.Errorf("got %v", err)
	}
}

// TestConformanceWithKeyring runs the whole suite over real encryption.
func TestConformanceWithKeyring(t *testing.T) {
	k, _ := loaded(t, false, master(t))
	storetest.Run(t, func(t *testing.T) core.Store {
		return open(t, t.TempDir(), func(c *store.SQLiteConfig) { c.Cipher = k })
	})
}

func FuzzKeysDocument(f *testing.F) {
	m := master(f)
	k, document := loaded(f, true, m)
	f.Add(document)
	two, err := keyring(f, master(f), m).Change(document, core.MasterAdd)
	must(f, err)
	f.Add(two)
	f.Add([]byte(`{"format":1,"revision":9,"phase":"steady","wrapped":{"":""}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		fresh := keyring(t, m)
		err := fresh.Load(document)
		if err != nil && core.CodeOf(err) != core.CodeConflict {
			t.Errorf("not an error for operators: %v", err)
		}
		if err == nil && fresh.State().Primary != k.State().Primary {
			t.Errorf("a keyset that nobody made: %+v", fresh.State())
		}
	})
}

func FuzzOpenSealed(f *testing.F) {
	k, _ := loaded(f, false, master(f))
	sealed, err := k.Seal("t", "r", "c", []byte("x"))
	must(f, err)
	f.Add(sealed)
	f.Add(sealed[:5])
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, value []byte) {
		plain, err := k.Open("t", "r", "c", bytes.Clone(value))
		if err == nil && !bytes.Equal(value, sealed) {
			t.Errorf("%x opens as %q", value, plain)
		}
	})
}

func BenchmarkCipher(b *testing.B) {
	k, _ := loaded(b, false, master(b))
	for _, size := range []int{32, 200, 2000} {
		plain := make([]byte, size)
		b.Run(fmt.Sprintf("seal/%d", size), func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Seal("operations", "0f0ad5a2-51d5-4bd2-a9c4-3f9b6a5f8a10", "wanted", plain); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("open/%d", size), func(b *testing.B) {
			sealed, _ := k.Seal("operations", "0f0ad5a2-51d5-4bd2-a9c4-3f9b6a5f8a10", "wanted", plain)
			for b.Loop() {
				if _, err := k.Open("operations", "0f0ad5a2-51d5-4bd2-a9c4-3f9b6a5f8a10", "wanted", sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
