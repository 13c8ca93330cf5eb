package store

import "errors"

// plan is what an Update learned from the attempts before: what it must do at once
// that cannot be done in the middle.
type plan struct {
	apart     bool            // only leases are touched, which no other Update looks at
	alone     bool            // lock everything
	exclusive map[string]bool // lock these alone, though they are read first
	careful   bool            // a constraint will be broken: keep the transaction usable
}

// errPlan ends an attempt whose plan has changed.
var errPlan = errors.New("store: the transaction begins again with other locks")

// maxLocks is how many keys a transaction locks before it locks everything instead:
// the server has room for some thousands.
const maxLocks = 512

// lock implements conn.
func (c *pgConn) lock(mode lockMode, key string) (bool, error) {
	if c.plan.alone {
		return true, nil
	}
	if mode == lockAll || len(c.locks) >= maxLocks {
		c.plan.alone = true
		return c.replan()
	}
	held, ok := c.locks[key]
	switch {
	case ok && (held != lockShare || mode == lockShare):
		return true, nil
	case ok: // to ask for more than a share while others have one would end in a deadlock
		if c.plan.exclusive == nil {
			c.plan.exclusive = map[string]bool{}
		}
		c.plan.exclusive[key] = true
		return c.replan()
	case mode == lockTry:
		return c.tryLock(key)
	case mode == lockShare && !c.plan.exclusive[key]:
		c.queued = append(c.queued, statement{lockOneShare, []any{key}})
		c.locks[key] = lockShare
	default:
		c.queued = append(c.queued, statement{lockOne, []any{key}})
		c.locks[key] = lockKey
	}
	return true, nil
}

// replan lets the attempt begin with the changed plan: at once if it has not begun,
// again otherwise.
func (c *pgConn) replan() (bool, error) {
	if !c.begun && c.plan.alone {
		return true, nil
	}
	return false, errPlan
}

func (c *pgConn) tryLock(key string) (got bool, err error) {
	r, err := c.query(c.ctx, tryLockOne, key)
	if err != nil {
		return false, err
	}
	defer r.Close()
	for r.Next() {
		if err := r.Scan(&got); err != nil {
			return false, err
		}
	}
	if got {
		c.locks[key] = lockKey
	}
	return got, r.Err()
}

// serial implements conn.
func (c *pgConn) serial() bool { return false }
