package store

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

const (
	hasDefinition    = `SELECT seq FROM definitions WHERE digest = ?`
	insertDefinition = `INSERT INTO definitions (digest, blob) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING`
	selectDefinition = `SELECT blob FROM definitions WHERE digest = ?`

	plansOfInstances  = `SELECT service_id, plan_id, definition, instances FROM uses`
	plansOfOperations = `SELECT DISTINCT service_id, plan_id, definition, 0 FROM operations
	INDEXED BY operations_unfinished WHERE ` + unfinished + ` AND plan_id <> ''`

	putDocument    = `INSERT INTO documents (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
	selectDocument = `SELECT value FROM documents WHERE key = ?`

	selectCounts = `SELECT name, n FROM counts`
)

// PutDefinition implements core.Tx.
func (t *tx) PutDefinition(d core.Definition) error {
	if err := t.usable(true); err != nil {
		return err
	}
	if err := t.share("definition", d.Digest); err != nil {
		return err
	}
	var seq int64
	err := t.row("put definition", false, []any{&seq}, hasDefinition, d.Digest)
	if !errors.Is(err, core.ErrNotFound) {
		return err
	}
	if err := t.lock("definition", d.Digest); err != nil {
		return err
	}
	_, err = t.exec("put definition", insertDefinition, d.Digest, raw(d.Blob))
	return err
}

// Definition implements core.Tx.
func (t *tx) Definition(digest string) (core.Definition, error) {
	if err := t.share("definition", digest); err != nil {
		return core.Definition{}, err
	}
	d := core.Definition{Digest: digest}
	if err := t.row("read definition", false, []any{blob{&d.Blob}}, selectDefinition, digest); err != nil {
		return core.Definition{}, err
	}
	return d, nil
}

// PlansInUse implements core.Tx, ordered by service and plan. The newest definition is the one
// that was put last; its Blob is nil if the definition was never put.
func (t *tx) PlansInUse() ([]core.PlanUse, error) {
	if err := t.lockAll(); err != nil {
		return nil, err
	}
	uses := map[[2]string]*planUse{}
	add := func(r rows) error {
		var service, plan, definition string
		var n int
		if err := r.Scan(&service, &plan, &definition, &n); err != nil {
			return err
		}
		u := uses[[2]string{service, plan}]
		if u == nil {
			u = &planUse{}
			uses[[2]string{service, plan}] = u
		}
		u.instances += n
		u.digests = append(u.digests, definition)
		return nil
	}
	if err := t.rows("list plans in use", false, add, plansOfInstances); err != nil {
		return nil, err
	}
	if err := t.rows("list plans in use", false, add, plansOfOperations); err != nil {
		return nil, err
	}
	var list []core.PlanUse
	for key, u := range uses {
		d, err := t.newest(u.digests)
		if err != nil {
			return nil, err
		}
		list = append(list, core.PlanUse{ServiceID: key[0], PlanID: key[1], Definition: d, Instances: u.instances})
	}
	slices.SortFunc(list, func(a, b core.PlanUse) int {
		return cmp.Or(strings.Compare(a.ServiceID, b.ServiceID), strings.Compare(a.PlanID, b.PlanID))
	})
	return list, nil
}

type planUse struct {
	instances int
	digests   []string
}

// newest reads that one of the definitions which was put last.
func (t *tx) newest(digests []string) (core.Definition, error) {
	best, bestSeq := digests[0], int64(0)
	for _, digest := range digests {
		var seq int64
		err := t.row("read definition", false, []any{&seq}, hasDefinition, digest)
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			return core.Definition{}, err
		}
		if seq > bestSeq {
			best, bestSeq = digest, seq
		}
	}
	if bestSeq == 0 {
		return core.Definition{Digest: best}, nil
	}
	return t.Definition(best)
}

// Put implements core.Tx.
func (t *tx) Put(key string, value []byte) error {
	if err := t.lock("document", key); err != nil {
		return err
	}
	return t.post(putDocument, key, raw(value))
}

// Get implements core.Tx.
func (t *tx) Get(key string) ([]byte, error) {
	if err := t.share("document", key); err != nil {
		return nil, err
	}
	var value []byte
	err := t.row("read document", false, []any{blob{&value}}, selectDocument, key)
	return value, err
}

// Counts implements core.Tx. Verbs without unfinished operations are not in the map.
func (t *tx) Counts() (core.Counts, error) {
	if err := t.lockAll(); err != nil {
		return core.Counts{}, err
	}
	c := core.Counts{Unfinished: map[core.Verb]int64{}}
	err := t.rows("read counts", false, func(r rows) error {
		var name string
		var n int64
		if err := r.Scan(&name, &n); err != nil {
			return err
		}
		verb, isVerb := strings.CutPrefix(name, "unfinished ")
		switch {
		case name == "instances":
			c.Instances = n
		case name == "bindings":
			c.Bindings = n
		case isVerb && n != 0:
			c.Unfinished[core.Verb(verb)] = n
		}
		return nil
	}, selectCounts)
	return c, err
}
