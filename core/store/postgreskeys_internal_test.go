package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// keyedReplica is one process's store and keyring.
type keyedReplica struct {
	*testing.T
	*Postgres
	ring *Keyring
}

func newMaster(t *testing.T) MasterKey {
	t.Helper()
	text, err := NewMasterKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseMasterKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func openKeyed(t *testing.T, dsn string, m MasterKey) keyedReplica {
	t.Helper()
	ring, err := NewKeyring(m)
	if err != nil {
		t.Fatal(err)
	}
	return keyedReplica{t, openedPostgres(t, PostgresConfig{DSN: dsn, Cipher: ring}), ring}
}

// keyset stores a document and loads it here only.
func (r keyedReplica) keyset(document []byte) {
	r.Helper()
	err := r.Update(r.Context(), func(tx core.Tx) error { return tx.Put(core.KeysDocument, document) })
	if err != nil {
		r.Fatal(err)
	}
	if err := r.ring.Load(document); err != nil {
		r.Fatal(err)
	}
}

// change takes a step of the keyset, which is stored but loaded nowhere.
func (r keyedReplica) change(document []byte, step core.KeyStep) []byte {
	r.Helper()
	next, err := r.ring.Change(document, step)
	if err != nil {
		r.Fatal(err)
	}
	return next
}

func (r keyedReplica) put(id, secret string) error {
	return r.Update(context.Background(), func(tx core.Tx) error {
		return tx.PutInstance(&core.Instance{ID: id, Parameters: json.RawMessage(`{"secret":"` + secret + `"}`)})
	})
}

func (r keyedReplica) reads(id, secret string) {
	r.Helper()
	err := r.View(r.Context(), func(tx core.Tx) error {
		in, err := tx.Instance(id)
		if err == nil && string(in.Parameters) != `{"secret":"`+secret+`"}` {
			r.Errorf("%s has %s", id, in.Parameters)
		}
		return err
	})
	if err != nil {
		r.Errorf("%s: %v", id, err)
	}
}

// TestPostgresFrozenReplicaSealsReadably is a replica that is frozen while the others replace
// the data key: what it seals when it goes on can be read.
func TestPostgresFrozenReplicaSealsReadably(t *testing.T) {
	dsn, m := startPostgres(t).DSN(), newMaster(t)
	frozen, other := openKeyed(t, dsn, m), openKeyed(t, dsn, m)
	document, err := other.ring.Create(false)
	if err != nil {
		t.Fatal(err)
	}
	other.keyset(document)
	if err := frozen.put("i", "too early"); err == nil {
		t.Error("sealed without a keyset")
	}
	if err := frozen.ring.Load(document); err != nil {
		t.Fatal(err)
	}
	if err := frozen.put("i", "one"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []core.KeyStep{core.KeyAdd, core.KeyPromote} {
		document = other.change(document, step)
		other.keyset(document)
	}
	if _, err := NewResealer(other, other.ring).Reseal(t.Context(), "", 10); err != nil {
		t.Fatal(err)
	}
	document = other.change(document, core.KeyRemove)
	other.keyset(document)
	if got := frozen.ring.State(); got.Revision != 1 {
		t.Fatalf("%+v: the test tests nothing", got)
	}
	if err := frozen.put("i", "two"); err != nil {
		t.Errorf("it did not follow: %v", err)
	}
	if got, want := frozen.ring.State(), other.ring.State(); got.Revision != want.Revision {
		t.Errorf("loaded is %d, want %d", got.Revision, want.Revision)
	}
	other.reads("i", "two")
	// A keyset that it cannot load, such as one of another master key, lets nothing happen.
	stranger, err := NewKeyring(newMaster(t))
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := stranger.Create(false)
	if err != nil {
		t.Fatal(err)
	}
	err = other.Update(t.Context(), func(tx core.Tx) error { return tx.Put(core.KeysDocument, foreign) })
	if err != nil {
		t.Fatal(err)
	}
	if err := frozen.put("i", "three"); core.CodeOf(err) != core.CodeOverloaded {
		t.Errorf("with keys that are not the store's: %v", err)
	}
	other.reads("i", "two")
}

// TestPostgresKeysetWaitsForSealing has a key promoted while a transaction that has sealed
// with the one before is open: it comes behind.
func TestPostgresKeysetWaitsForSealing(t *testing.T) {
	dsn, m := startPostgres(t).DSN(), newMaster(t)
	a, b := openKeyed(t, dsn, m), openKeyed(t, dsn, m)
	document, err := b.ring.Create(false)
	if err != nil {
		t.Fatal(err)
	}
	b.keyset(document)
	if err := a.ring.Load(document); err != nil {
		t.Fatal(err)
	}
	next := b.change(document, core.KeyAdd)
	changed := make(chan error, 1)
	err = a.Update(t.Context(), func(tx core.Tx) error {
		if err := tx.PutInstance(&core.Instance{ID: "i", Parameters: json.RawMessage(`{}`)}); err != nil {
			return err
		}
		if _, err := tx.Bindings("i"); err != nil { // with this the row is sent, too
			return err
		}
		go func() {
			changed <- b.Update(context.Background(), func(tx core.Tx) error { return tx.Put(core.KeysDocument, next) })
		}()
		for waits := 0; waits == 0; {
			select {
			case err := <-changed:
				t.Errorf("the keyset changed under a transaction that sealed: %v", err)
				changed <- nil
				return nil
			default:
			}
			const waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
			if err := a.own.QueryRow(t.Context(), waiting).Scan(&waits); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-changed; err != nil {
		t.Error(err)
	}
}
