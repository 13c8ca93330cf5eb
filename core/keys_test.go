package core_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// keyRig is one store, which several replicas with keyrings of their own look at.
type keyRig struct {
	*testing.T
	dir string
}

func masterKey(t *testing.T) store.MasterKey {
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

// replica is one process with its keys; nil masters mean no encryption.
type replica struct {
	name  string
	store *store.SQLite
	ring  *store.Keyring
	keys  *core.Keys
	// broken is what Broken was told.
	broken chan error
}

func (r keyRig) open(ring *store.Keyring) *store.SQLite {
	r.Helper()
	c := store.SQLiteConfig{Path: filepath.Join(r.dir, "chandler.db")}
	if ring != nil {
		c.Cipher = ring
	}
	s, err := store.OpenSQLite(r.Context(), c)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { s.Close() })
	return s
}

// start starts a replica on the store, or on a new one where s is nil.
func (r keyRig) start(name string, s *store.SQLite, shared bool, masters ...store.MasterKey) (*replica, error) {
	r.Helper()
	p := &replica{name: name, store: s, broken: make(chan error, 1)}
	var err error
	if len(masters) > 0 {
		if p.ring, err = store.NewKeyring(masters...); err != nil {
			r.Fatal(err)
		}
	}
	if p.store == nil {
		p.store = r.open(p.ring)
	}
	c := core.KeysConfig{Store: p.store, Resealer: store.NewResealer(p.store, p.ring), Poll: time.Hour, Settle: time.Millisecond,
		Broken: func(err error) { p.broken <- err }}
	if p.ring != nil {
		c.Keyring = p.ring
	}
	if shared {
		c.Leases = p.store
	}
	if p.keys, err = core.OpenKeys(r.Context(), c); err != nil {
		return nil, err
	}
	r.Cleanup(p.keys.Close)
	if shared {
		p.renew(r)
	}
	return p, nil
}

func (r keyRig) must(name string, s *store.SQLite, shared bool, masters ...store.MasterKey) *replica {
	r.Helper()
	p, err := r.start(name, s, shared, masters...)
	if err != nil {
		r.Fatal(err)
	}
	return p
}

// renew renews the replica's lease, which is how it confirms a revision.
func (p *replica) renew(t keyRig) {
	t.Helper()
	if err := p.store.Renew(context.Background(), core.Replica{Holder: p.name, Name: p.name, Keys: p.keys.Revision()}, time.Hour); err != nil {
		t.Fatal(err)
	}
}

func (p *replica) put(t keyRig, id, secret string) {
	t.Helper()
	if err := p.store.Update(t.Context(), func(tx core.Tx) error {
		return tx.PutInstance(&core.Instance{ID: id, Parameters: json.RawMessage(`{"secret":"` + secret + `"}`)})
	}); err != nil {
		t.Fatal(err)
	}
}

func (p *replica) reads(t keyRig, id, secret string) {
	t.Helper()
	if err := p.store.View(t.Context(), func(tx core.Tx) error {
		in, err := tx.Instance(id)
		if err == nil && string(in.Parameters) != `{"secret":"`+secret+`"}` {
			t.Errorf("%s reads %s", id, in.Parameters)
		}
		return err
	}); err != nil {
		t.Errorf("read %s: %v", id, err)
	}
}

func (p *replica) document(t keyRig, value []byte) {
	t.Helper()
	if err := p.store.Update(t.Context(), func(tx core.Tx) error { return tx.Put(core.KeysDocument, value) }); err != nil {
		t.Fatal(err)
	}
}

func (p *replica) stop(t keyRig) {
	t.Helper()
	p.keys.Close()
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func quiet(core.KeysProgress) {}

func TestKeysRefuseToStart(t *testing.T) {
	a, b := masterKey(t), masterKey(t)
	with := func(m ...store.MasterKey) []store.MasterKey { return m }
	for _, c := range []struct {
		why     string
		before  []store.MasterKey // of the process that wrote a secret; nil: in the clear
		removed bool              // the keyset, afterwards
		now     []store.MasterKey
		want    string // in the error; "" starts
	}{
		{"the same master key", with(a), false, with(a), ""},
		{"a second one behind it", with(a), false, with(a, b), ""},
		{"a new one before it", with(a), false, with(b, a), ""},
		{"the wrong one", with(a), false, with(b), "wrapped by the master key " + "[" + a.ID() + "]"},
		{"none though the store is encrypted", with(a), false, nil, "no master key is configured"},
		{"the keyset was removed", with(a), true, with(a), "its keyset is gone"},
		{"the keyset was removed, and the master key too", with(a), true, nil, "its keyset is gone"},
		{"still in the clear", nil, false, nil, ""},
		{"in the clear until now", nil, false, with(a), ""},
	} {
		t.Run(c.why, func(t *testing.T) {
			r := keyRig{t, t.TempDir()}
			p := r.must("first", nil, false, c.before...)
			p.put(r, "i", "s")
			if c.removed {
				p.document(r, nil)
			}
			p.stop(r)
			p, err := r.start("second", nil, false, c.now...)
			switch {
			case c.want == "" && err == nil:
				p.reads(r, "i", "s")
			case c.want == "" || core.CodeOf(err) != core.CodeConflict || !strings.Contains(err.Error(), c.want):
				t.Errorf("got %v; want %q", err, c.want)
			}
		})
	}
}

func TestKeysEncryptAStoreInTheClear(t *testing.T) {
	r := keyRig{t, t.TempDir()}
	p := r.must("clear", nil, false)
	p.put(r, "old", "one")
	if _, err := p.keys.Status(t.Context()); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("status without encryption: %v", err)
	}
	if p.keys.Revision() != 0 {
		t.Error("a revision without encryption")
	}
	p.stop(r)
	m := masterKey(t)
	p = r.must("sealed", nil, false, m)
	if s := p.ring.State(); !s.Unsealed || s.Revision != 1 {
		t.Fatalf("%+v", s)
	}
	p.put(r, "new", "two")
	if err := p.keys.Rewrap(t.Context(), core.Caller{}, quiet); err != nil {
		t.Fatal(err)
	}
	if s := p.ring.State(); s.Unsealed || s.Revision != 2 {
		t.Errorf("%+v", s)
	}
	p.reads(r, "old", "one")
	p.reads(r, "new", "two")
	p.stop(r)
	p = r.must("again", nil, false, m)
	p.reads(r, "old", "one")
}

// Nobody begins to encrypt while a replica could not read it.
func TestKeysWaitForReplicasInTheClear(t *testing.T) {
	r := keyRig{t, t.TempDir()}
	p := r.must("clear", nil, true)
	if _, err := r.start("sealed", p.store, true, masterKey(t)); core.CodeOf(err) != core.CodeConflict || !strings.Contains(err.Error(), "replica clear") {
		t.Errorf("got %v", err)
	}
}

func TestKeysRotate(t *testing.T) {
	r := keyRig{t, t.TempDir()}
	p := r.must("one", nil, false, masterKey(t))
	p.put(r, "i", "s")
	before := p.ring.State()
	for range 2 {
		if err := p.keys.Rotate(t.Context(), core.Caller{}, quiet); err != nil {
			t.Fatal(err)
		}
		p.reads(r, "i", "s")
	}
	after := p.ring.State()
	if after.Revision != before.Revision+6 || after.Primary == before.Primary || after.Keys != 1 || after.Phase != core.KeysSteady {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// A new key does not seal before every replica can open what it seals, and the old one
// stays until nobody seals with it: also over interruptions at each of the waits.
func TestKeysRotateWaitsForReplicas(t *testing.T) {
	r, m := keyRig{t, t.TempDir()}, masterKey(t)
	p := r.must("one", nil, true, m)
	late := r.must("late", p.store, true, m)
	p.put(r, "i", "s")
	wait := func(phase core.KeysPhase) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		err := p.keys.Rotate(ctx, core.Caller{}, func(k core.KeysProgress) {
			p.renew(r)
			if strings.Contains(k.Text, "waiting for late") {
				cancel()
			}
		})
		if core.CodeOf(err) != core.CodeCancelled {
			t.Fatalf("it did not wait for the late replica: %v", err)
		}
		if got := p.ring.State(); got.Phase != phase || got.Keys != 2 {
			t.Fatalf("while the late replica has not confirmed: %+v, want %s", got, phase)
		}
	}
	confirm := func() {
		t.Helper()
		if _, err := late.keys.Status(t.Context()); err != nil {
			t.Fatal(err)
		}
		late.renew(r)
	}
	wait(core.KeysAdded)
	wait(core.KeysAdded) // goes on instead of adding a third key
	confirm()
	wait(core.KeysPromoted)
	confirm()
	if err := p.keys.Rewrap(t.Context(), core.Caller{}, func(core.KeysProgress) { p.renew(r) }); err != nil {
		t.Fatal(err)
	}
	if got := p.ring.State(); got.Phase != core.KeysSteady || got.Keys != 1 {
		t.Errorf("%+v", got)
	}
	status, err := p.keys.Status(t.Context())
	if err != nil || len(status.Replicas) != 2 {
		t.Errorf("%+v, %v", status, err)
	}
	p.reads(r, "i", "s")
}

func TestMasterKeyIsChangedOnline(t *testing.T) {
	r, old, fresh := keyRig{t, t.TempDir()}, masterKey(t), masterKey(t)
	p := r.must("one", nil, true, old)
	p.put(r, "i", "s")
	if err := p.keys.RotateMaster(t.Context(), core.Caller{}, quiet); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("nothing to change: %v", err)
	}
	p.stop(r)
	p = r.must("two", nil, true, fresh, old)
	late := r.must("one-again", p.store, true, old) // not restarted with the new one yet
	if err := p.store.Release(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := p.keys.RotateMaster(ctx, core.Caller{}, func(k core.KeysProgress) {
		p.renew(r)
		if strings.Contains(k.Text, "waiting for one-again") {
			if _, err := late.keys.Status(t.Context()); err != nil { // it goes on working
				t.Error(err)
			}
			late.renew(r)
			cancel()
		}
	})
	if core.CodeOf(err) != core.CodeCancelled {
		t.Fatalf("it did not wait for who knows the old key only: %v", err)
	}
	if err := p.keys.Rotate(t.Context(), core.Caller{}, quiet); core.CodeOf(err) != core.CodeConflict {
		t.Errorf("a data key in the middle of it: %v", err)
	}
	late.keys.Close()
	if err := p.store.Release(t.Context(), "one-again"); err != nil {
		t.Fatal(err)
	}
	if err := p.keys.RotateMaster(t.Context(), core.Caller{}, func(core.KeysProgress) { p.renew(r) }); err != nil {
		t.Fatal(err)
	}
	p.reads(r, "i", "s")
	p.stop(r)
	r.must("three", nil, false, fresh).reads(r, "i", "s")
}

// What another replica did to the keyset is noticed, and what ends the work of this process ends it.
func TestKeysAreWatched(t *testing.T) {
	t.Run("a rotation elsewhere", func(t *testing.T) {
		r, m := keyRig{t, t.TempDir()}, masterKey(t)
		p := r.must("one", nil, false, m)
		other := r.must("other", p.store, false, m)
		if err := other.keys.Rotate(t.Context(), core.Caller{}, quiet); err != nil {
			t.Fatal(err)
		}
		p.keys.Changed("something else")
		p.keys.Changed(core.KeysDocument)
		deadline := time.After(time.Minute)
		for p.keys.Revision() != other.keys.Revision() {
			select {
			case <-deadline:
				t.Fatal("never reloaded")
			case <-time.After(time.Millisecond):
			}
		}
	})
	for why, gone := range map[string]struct {
		masters []store.MasterKey
		want    string
	}{
		"the keyset is removed":                        {masters: []store.MasterKey{masterKey(t)}, want: "its keyset is gone"},
		"a keyset appears for a process without a key": {want: "is encrypted now"},
	} {
		t.Run(why, func(t *testing.T) {
			r := keyRig{t, t.TempDir()}
			p := r.must("one", nil, false, gone.masters...)
			if gone.masters != nil {
				p.document(r, nil)
			} else {
				p.document(r, []byte(`{}`))
			}
			p.keys.Changed(core.KeysDocument)
			if err := <-p.broken; !strings.Contains(err.Error(), gone.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
