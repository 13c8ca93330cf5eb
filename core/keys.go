package core

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// KeysDocument is the key of the document that holds the store's keyset.
const KeysDocument = "keys"

// Keyring holds the keys by which the store seals its secrets. The keyset is a document
// in the store, wrapped by master keys that only the Keyring knows. core/store
// implements it; safe for concurrent use. Documents are opaque to everybody else, and
// none of its errors holds a key.
type Keyring interface {
	// Create makes the document of a new keyset. unsealed says that the store has values
	// in the clear already: until KeysSealed they may be read.
	Create(unsealed bool) ([]byte, error)
	// Load lets the document's keys serve from now on; one that is older than the loaded one
	// is passed over. An error (*Error) changes nothing: the document cannot be read, or is
	// wrapped by other master keys.
	Load(document []byte) error
	// Change gives the document that follows one: the same with one step taken and its
	// revision raised. It does not load it. CodeConflict if the step cannot come now.
	Change(document []byte, step KeyStep) ([]byte, error)
	// State describes the loaded keyset.
	State() KeysetState
}

// KeyStep is one step in the life of a keyset.
type KeyStep string

// The steps. A new data key is added, promoted once every replica can open what it
// seals, and the old one removed once nothing is sealed by it any more. A new master
// key wraps the keyset beside the old one first, then alone.
const (
	KeyAdd     KeyStep = "add"     // from KeysSteady to KeysAdded
	KeyPromote KeyStep = "promote" // from KeysAdded to KeysPromoted
	KeyRemove  KeyStep = "remove"  // from KeysPromoted to KeysSteady; the store is sealed, too
	KeysSealed KeyStep = "sealed"  // nothing is in the clear any more
	MasterAdd  KeyStep = "master-add"
	MasterOnly KeyStep = "master-only"
)

// KeysPhase says how far a rotation of the data key is.
type KeysPhase string

// The phases.
const (
	KeysSteady   KeysPhase = "steady"   // one data key
	KeysAdded    KeysPhase = "added"    // a second one, which nothing is sealed by yet
	KeysPromoted KeysPhase = "promoted" // the second one seals; the first opens what is older
)

// KeysetState describes a keyset without its keys.
type KeysetState struct {
	// Revision rises with every change. It is the one that this process has confirmed: it
	// opens what the keyset's keys seal, and knows the master key that is to stay.
	// 0: nothing is loaded.
	Revision int64     `json:"revision"`
	Phase    KeysPhase `json:"phase"`
	Primary  string    `json:"primary"` // id of the data key that seals
	Keys     int       `json:"keys"`    // data keys
	// Unsealed is true while values may be in the clear.
	Unsealed bool     `json:"unsealed"`
	Masters  []string `json:"masters"` // ids of the master keys that wrap the keyset
	// Master is the id of the master key that this process would wrap the keyset with.
	Master string `json:"master"`
}

// Resealer looks at what is stored below Tx. core/store implements it.
type Resealer interface {
	// Reseal seals what is in the clear or sealed by another key than the primary one
	// again: of up to limit rows after the cursor, each by compare-and-swap, so that no
	// concurrent write is lost. "" begins; a page whose Next is "" is the last.
	Reseal(ctx context.Context, cursor string, limit int) (ResealPage, error)
	// Probe looks at the first and the last rows of every table: are there values
	// that look sealed, and values in the clear?
	Probe(ctx context.Context) (sealed, clear bool, err error)
}

// ResealPage is what one call of Reseal did.
type ResealPage struct {
	Next    string // cursor of the next page; "" after the last
	Rows    int64  // looked at
	Changed int64  // sealed again
	Missed  int64  // changed by somebody else meanwhile: for the next pass
}

// KeysConfig is what Keys is made of. Store, Keyring and Resealer are required; a nil
// Keyring means that the store is in the clear on purpose.
type KeysConfig struct {
	Store    Store
	Keyring  Keyring
	Resealer Resealer
	Leases   Leases       // nil: no other replica
	Log      *slog.Logger // default: discard
	Audit    *slog.Logger // default: Log
	// Poll is how often the document is looked at. Default 2 s.
	Poll time.Duration
	// Settle is how long a transaction of another replica can outlive its lease at the
	// most: that long a rotation waits before it trusts that nobody seals with the old
	// key. Default 35 s; not used without Leases.
	Settle time.Duration
	// Broken is called once, if this process must end: the keyset is gone, or wrapped by master
	// keys that it does not have, or appeared though it writes in the clear.
	Broken func(error)
	Now    func() time.Time // default time.Now
}

// Keys keeps the process's keyring in step with the store's keyset, and rotates it. Safe for concurrent use.
type Keys struct {
	cfg  KeysConfig
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	busy bool // a rotation or a rewrap runs in this process
}

// errNoKeys is what the verbs answer where the store is in the clear.
var errNoKeys = Errorf(CodeConflict, "This broker does not encrypt its store.").
	WithHint("Configure encryption.masterKeys and start it again.")

// OpenKeys loads the keyset of a store, or makes one where there is none yet, and begins to
// watch it. ctx bounds the loading only. It refuses, with an *Error, what would make
// secrets unreadable or leave them in the clear by accident. Close ends it.
func OpenKeys(ctx context.Context, cfg KeysConfig) (*Keys, error) {
	if cfg.Store == nil || cfg.Resealer == nil {
		return nil, Errorf(CodeFailed, "keys need a store")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Audit == nil {
		cfg.Audit = cfg.Log
	}
	if cfg.Poll <= 0 {
		cfg.Poll = 2 * time.Second
	}
	if cfg.Settle <= 0 {
		cfg.Settle = storeTimeout + 5*time.Second
	}
	if cfg.Broken == nil {
		cfg.Broken = func(error) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	k := &Keys{cfg: cfg, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if err := k.open(ctx); err != nil {
		return nil, err
	}
	watching, stop := context.WithCancel(context.Background())
	k.stop = stop
	go k.watch(watching)
	return k, nil
}

// open loads or makes the keyset.
func (k *Keys) open(ctx context.Context) error {
	document, err := k.document(ctx)
	if err != nil {
		return err
	}
	switch {
	case document != nil && k.cfg.Keyring == nil:
		return errKeysetWithoutMaster
	case document != nil:
		return k.cfg.Keyring.Load(document)
	}
	sealed, clear, err := k.cfg.Resealer.Probe(ctx)
	switch {
	case err != nil:
		return storeError(err)
	case sealed:
		return errKeysetGone
	case k.cfg.Keyring == nil:
		return nil
	}
	return k.create(ctx, clear)
}

// create makes the first keyset. Another replica may do so at the same moment: the first one holds.
func (k *Keys) create(ctx context.Context, unsealed bool) error {
	if err := k.nobodyInTheClear(ctx); err != nil {
		return err
	}
	made, err := k.cfg.Keyring.Create(unsealed)
	if err != nil {
		return err
	}
	document := made
	err = k.cfg.Store.Update(ctx, func(tx Tx) error {
		there, err := tx.Get(KeysDocument)
		if errors.Is(err, ErrNotFound) || err == nil && len(there) == 0 {
			document = made
			return tx.Put(KeysDocument, made)
		}
		document = there
		return err
	})
	if err != nil {
		return storeError(err)
	}
	if unsealed {
		k.cfg.Log.Warn("the store holds secrets in the clear from before it was encrypted; encrypt them with: chandler keys rewrap")
	} else {
		k.cfg.Log.Info("a keyset was made for the store")
	}
	return k.cfg.Keyring.Load(document)
}

// nobodyInTheClear refuses to begin encrypting while another replica could neither
// read what this one seals nor seal what it writes.
func (k *Keys) nobodyInTheClear(ctx context.Context) error {
	if k.cfg.Leases == nil {
		return nil
	}
	replicas, err := k.cfg.Leases.Replicas(ctx)
	if err != nil {
		return storeError(err)
	}
	for _, r := range replicas {
		if r.Keys == 0 {
			return Errorf(CodeConflict, "The replica %s works on the same store without encryption.", r.Name).
				WithHint("Stop all replicas, configure encryption.masterKeys for each of them, and start them again.")
		}
	}
	return nil
}

var (
	errKeysetWithoutMaster = Errorf(CodeConflict, "The store is encrypted, and no master key is configured.").
				WithHint("Configure encryption.masterKeys with the master key of this store; without it, its secrets are lost.")
	errKeysetGone = Errorf(CodeConflict, "The store holds encrypted values, but its keyset is gone.").
			WithHint("Restore the store from a backup: without its keyset, its secrets cannot be read.")
	errKeysetAppeared = Errorf(CodeConflict, "The store is encrypted now, and this broker has no master key.").
				WithHint("Configure encryption.masterKeys and start it again.")
)

// document reads the keyset's document; nil if there is none.
func (k *Keys) document(ctx context.Context) (document []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err = k.cfg.Store.View(ctx, func(tx Tx) error {
		document, err = tx.Get(KeysDocument)
		return err
	})
	if errors.Is(err, ErrNotFound) || err == nil && len(document) == 0 {
		return nil, nil
	}
	return document, storeError(err)
}

// Revision is Replica.Keys: the keyset's revision that this process has confirmed, 0 without encryption.
func (k *Keys) Revision() int64 {
	if k.cfg.Keyring == nil {
		return 0
	}
	return k.cfg.Keyring.State().Revision
}

// Close ends the watching and waits for it. Rotations that run end with their own contexts.
func (k *Keys) Close() {
	k.stop()
	<-k.done
}
