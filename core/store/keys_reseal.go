package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/chandler-broker/chandler/core"
)

// resealBatch is how many rows one transaction of a rewrap changes at most, so
// that it holds nobody up.
const resealBatch = 100

// probeRows is how many rows Probe looks at on each end of a table.
const probeRows = 50

// Resealer implements core.Resealer over any store of this package.
type Resealer struct {
	store core.Store
	ring  *Keyring // nil: for Probe only
}

var _ core.Resealer = (*Resealer)(nil)

// NewResealer gives the Resealer of a store that seals with the keyring; nil where the store is in the clear.
func NewResealer(s core.Store, ring *Keyring) *Resealer { return &Resealer{store: s, ring: ring} }

// resealCursor is where a rewrap is: behind a key of a table.
type resealCursor struct {
	Table int      `json:"table"`
	After []string `json:"after,omitempty"`
}

func parseCursor(text string) (c resealCursor, err error) {
	if text == "" {
		return c, nil
	}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return c, fmt.Errorf("the cursor of a rewrap cannot be read: %w", err)
	}
	if c.Table < 0 || c.Table >= len(sealedTables) {
		return c, fmt.Errorf("the cursor of a rewrap names table %d", c.Table)
	}
	return c, nil
}

func (c resealCursor) String() string {
	raw, err := json.Marshal(c)
	if err != nil { // strings and a number
		panic(err)
	}
	return string(raw)
}

// Reseal implements core.Resealer. It reads and seals outside of the writing
// transaction; a row that changed in between is counted and left for the next pass.
func (r *Resealer) Reseal(ctx context.Context, cursor string, limit int) (page core.ResealPage, err error) {
	c, err := parseCursor(cursor)
	if err != nil {
		return page, err
	}
	table := &sealedTables[c.Table]
	var list []sealedRow
	err = r.view(ctx, func(t *tx) error {
		list, err = table.read(t, c.After, false, limit)
		return err
	})
	if err != nil {
		return page, err
	}
	var changes []*resealed
	for _, row := range list {
		changed, err := table.reseal(r.ring, row)
		if err != nil {
			return page, err
		}
		if changed != nil {
			changes = append(changes, changed)
		}
	}
	for batch := range slices.Chunk(changes, resealBatch) {
		written, err := r.write(ctx, table, batch)
		if err != nil {
			return page, err
		}
		page.Changed += written
		page.Missed += int64(len(batch)) - written
	}
	page.Rows = int64(len(list))
	switch {
	case len(list) == limit:
		page.Next = resealCursor{c.Table, list[len(list)-1].keys}.String()
	case c.Table+1 < len(sealedTables):
		page.Next = resealCursor{Table: c.Table + 1}.String()
	}
	return page, nil
}

func (r *Resealer) write(ctx context.Context, table *sealedTable, batch []*resealed) (written int64, err error) {
	err = r.store.Update(ctx, func(tx core.Tx) error {
		written = 0
		t, err := own(tx)
		if err != nil {
			return err
		}
		for _, change := range batch {
			ok, err := table.write(t, change)
			if err != nil {
				return err
			}
			if ok {
				written++
			}
		}
		return nil
	})
	return written, err
}

// Probe implements core.Resealer. Handles and seeds are random bytes, which tell nothing.
func (r *Resealer) Probe(ctx context.Context) (sealed, clear bool, err error) {
	err = r.view(ctx, func(t *tx) error {
		for i := range sealedTables {
			for _, last := range []bool{false, true} {
				list, err := sealedTables[i].read(t, nil, last, probeRows)
				if err != nil {
					return err
				}
				for _, row := range list {
					s, c := sealedTables[i].looks(row)
					sealed, clear = sealed || s, clear || c
				}
			}
		}
		return nil
	})
	return sealed, clear, err
}

// looks tells whether values of the row look sealed or are in the clear. JSON and
// texts do not begin with a one, which is how Tink's values begin.
func (st *sealedTable) looks(row sealedRow) (sealed, clear bool) {
	see := func(value []byte) {
		if len(value) == 0 {
			return
		}
		_, ok := keyID(value)
		sealed, clear = sealed || ok, clear || !ok
	}
	for i, column := range st.blobs {
		if column != "handle" && column != "seed" {
			see(row.blobs[i])
		}
	}
	for _, text := range row.texts {
		if value, err := unsealText(text); err == nil {
			see(value)
		}
	}
	return sealed, clear
}

func (r *Resealer) view(ctx context.Context, fn func(*tx) error) error {
	return r.store.View(ctx, func(tx core.Tx) error {
		t, err := own(tx)
		if err != nil {
			return err
		}
		return fn(t)
	})
}

// own gives this package's transaction.
func own(t core.Tx) (*tx, error) {
	mine, ok := t.(*tx)
	if !ok {
		return nil, fmt.Errorf("store: a rewrap of a store of another kind (%T)", t)
	}
	return mine, nil
}
