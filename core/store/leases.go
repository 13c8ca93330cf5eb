package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core"
)

const (
	leaseEnd    = `SELECT expires_at FROM leases WHERE holder = ?`
	insertLease = `INSERT INTO leases (name, version, keys, renewed_at, expires_at, holder) VALUES (?, ?, ?, ?, ?, ?)`
	renewLease  = `UPDATE leases SET name = ?, version = ?, keys = ?, renewed_at = ?, expires_at = ? WHERE holder = ?`
	endLease    = `UPDATE leases SET expires_at = 0 WHERE holder = ?`
	pruneLeases = `DELETE FROM leases WHERE expires_at < ? AND renewed_at < ?`
	liveLeases  = `SELECT holder, name, version, keys FROM leases WHERE expires_at > ? ORDER BY holder`

	// Each step of the recursion is one search of the index.
	unfinishedHolders = `WITH RECURSIVE h (holder) AS (
	SELECT (SELECT min(holder) FROM operations INDEXED BY operations_by_holder WHERE ` + unfinished + `)
	UNION ALL SELECT (SELECT min(o.holder) FROM operations o INDEXED BY operations_by_holder
		WHERE o.holder > h.holder AND o.state IN ('pending', 'cancelling')) FROM h WHERE h.holder IS NOT NULL)
	SELECT holder FROM h WHERE holder IS NOT NULL`
	instancesHeld = `SELECT DISTINCT instance_id FROM operations INDEXED BY operations_by_holder
	WHERE holder = ? AND ` + unfinished + ` ORDER BY instance_id LIMIT ?`
	holdersOfInstance = `SELECT DISTINCT holder FROM operations INDEXED BY operations_unfinished
	WHERE instance_id = ? AND ` + unfinished
	claimInstance = `UPDATE operations SET holder = ?, epoch = epoch + 1
	WHERE instance_id = ? AND holder <> ? AND ` + unfinished
	freeOperations = `UPDATE operations SET holder = ''
	WHERE instance_id = ? AND holder = ? AND ` + unfinished
)

// keepLease is how long the row of an ended lease stays, for operators. That its
// holder is refused does not depend on it: the process remembers.
const keepLease = 24 * time.Hour

// leases implements core.Leases but for the hints.
type leases struct {
	transactions

	mu sync.Mutex
	// made are the holders whose lease was made here: one without a row has ended.
	made map[string]bool
}

// Renew implements core.Leases.
func (l *leases) Renew(ctx context.Context, replica core.Replica, ttl time.Duration) error {
	if replica.Holder == "" {
		return errors.New("store: a lease without a holder")
	}
	l.mu.Lock()
	known := l.made[replica.Holder]
	l.mu.Unlock()
	var lost bool
	err := l.apart(ctx, func(t *tx) (err error) {
		lost, err = t.renewLease(replica, ttl, known)
		return err
	})
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made[replica.Holder] = true
	if lost {
		return core.ErrLeaseLost
	}
	return nil
}

// Release implements core.Leases.
func (l *leases) Release(ctx context.Context, holder string) error {
	if holder == "" {
		return nil
	}
	err := l.apart(ctx, func(t *tx) error {
		if err := t.lock("lease", holder); err != nil {
			return err
		}
		_, err := t.exec("release lease", endLease, holder)
		return err
	})
	for more := true; more && err == nil; {
		more, err = l.free(ctx, holder)
	}
	return err
}

// freeBatch is how many instances one transaction frees.
const freeBatch = 200

// free frees operations of some instances; more if there may be others.
func (l *leases) free(ctx context.Context, holder string) (more bool, err error) {
	err = l.update(ctx, func(t *tx) error {
		ids, err := t.strings("list held instances", instancesHeld, holder, freeBatch)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := t.lock("instance", id); err != nil {
				return err
			}
			if _, err := t.exec("free operations", freeOperations, id, holder); err != nil {
				return err
			}
		}
		more = len(ids) == freeBatch
		return nil
	})
	return more, err
}

// Replicas implements core.Leases, ordered by holder.
func (l *leases) Replicas(ctx context.Context) ([]core.Replica, error) {
	var list []core.Replica
	err := l.view(ctx, func(t *tx) error {
		now, err := t.now()
		if err != nil {
			return err
		}
		return t.rows("list replicas", false, func(r rows) error {
			var p core.Replica
			err := r.Scan(&p.Holder, &p.Name, &p.Version, &p.Keys)
			list = append(list, p)
			return err
		}, liveLeases, now)
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// renewLease makes or renews the lease; lost if it has ended, which is then
// recorded. known says that it was made before.
func (t *tx) renewLease(r core.Replica, ttl time.Duration, known bool) (lost bool, err error) {
	if err := t.lock("lease", r.Holder); err != nil {
		return false, err
	}
	now, err := t.now()
	if err != nil {
		return false, err
	}
	args := []any{r.Name, r.Version, r.Keys, now, now + ttl.Microseconds(), r.Holder}
	var end int64
	err = t.row("read lease", false, []any{&end}, leaseEnd, r.Holder)
	switch {
	case errors.Is(err, core.ErrNotFound) && known:
		return true, nil
	case errors.Is(err, core.ErrNotFound):
		old := now - keepLease.Microseconds()
		if _, err := t.exec("forget old leases", pruneLeases, now, old); err != nil {
			return false, err
		}
		_, err = t.exec("make lease", insertLease, args...)
		return false, err
	case err != nil:
		return false, err
	case end <= now:
		_, err = t.exec("end lease", endLease, r.Holder)
		return true, err
	}
	_, err = t.exec("renew lease", renewLease, args...)
	return false, err
}

// leaseLives tells whether the holder has a lease that has not ended.
func (t *tx) leaseLives(holder string) (bool, error) {
	now, err := t.now()
	if err != nil {
		return false, err
	}
	var end int64
	err = t.row("read lease", false, []any{&end}, leaseEnd, holder)
	if errors.Is(err, core.ErrNotFound) {
		return false, nil
	}
	return end > now, err
}

// strings gives the rows of a query for one text column.
func (t *tx) strings(what, query string, args ...any) ([]string, error) {
	if err := t.usable(false); err != nil {
		return nil, err
	}
	var list []string
	err := t.rows(what, false, func(r rows) error {
		var s string
		err := r.Scan(&s)
		list = append(list, s)
		return err
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return list, nil
}

var _ rows = (*sql.Rows)(nil)
