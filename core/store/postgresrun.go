package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/chandler-broker/chandler/core"
)

func (p *Postgres) view(ctx context.Context, pool *pgxpool.Pool, fn func(core.Tx) error) error {
	for attempt := 0; ; attempt++ {
		err, again := p.viewOnce(ctx, pool, fn)
		if !again || attempt >= maxLost || ctx.Err() != nil {
			return err
		}
	}
}

func (p *Postgres) viewOnce(ctx context.Context, pool *pgxpool.Pool, fn func(core.Tx) error) (err error, again bool) {
	c, err := p.acquire(ctx, pool, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", &plan{})
	if err != nil {
		return err, false
	}
	t := &tx{ctx: ctx, s: c, readOnly: true, cipher: p.config.Cipher}
	defer func() { // also when fn panics
		t.over = true
		c.rollback()
	}()
	err = fn(t)
	if c.again != nil { // whatever fn makes of it; it runs again only if it has seen nothing
		return refused("view", c.again), !c.answered
	}
	if err == nil {
		err = t.broken
	}
	return err, false
}

// maxLost is how often a call that has had no effect is repeated because its
// connection was lost: more than once, since a server's restart kills all of a pool.
const maxLost = 3

// update runs fn until an attempt counts. Attempts that gave way to another
// transaction wait a little, by chance, so that the same ones do not meet again.
func (p *Postgres) update(ctx context.Context, pool *pgxpool.Pool, plan *plan, fn func(core.Tx) error) error {
	for lost, met, keysets := 0, 0, 0; ; {
		c, err := p.acquire(ctx, pool, "BEGIN ISOLATION LEVEL READ COMMITTED", plan)
		if err != nil {
			return err
		}
		err = p.attempt(c, fn)
		switch {
		case c.again == nil:
			return err
		case errors.Is(c.again, errPlan): // with the locks that it asked for
		case errors.Is(c.again, errKeyset):
			if keysets++; keysets > maxKeysets {
				return refused("seal", c.again)
			}
			if err := p.reloadKeyset(ctx, pool); err != nil {
				return err
			}
		case isConflict(c.again):
			met++
			if met > 20 || !pause(ctx, time.Duration(rand.Int64N(int64(met)*int64(10*time.Millisecond)))) {
				return refused("gave way too often", c.again)
			}
		default:
			if lost++; lost > maxLost || ctx.Err() != nil {
				return refused("the connection is lost again and again", c.again)
			}
		}
	}
}

// attempt runs fn in one transaction on c and gives c back. If c.again is set
// afterwards, nothing has happened and fn may run again.
func (p *Postgres) attempt(c *pgConn, fn func(core.Tx) error) (err error) {
	t := &tx{ctx: context.Background(), s: c, cipher: p.config.Cipher}
	kept := false
	defer func() { // also when fn panics
		if !kept {
			c.rollback()
		}
	}()
	err = fn(t)
	t.over = true
	if c.again != nil {
		return c.again
	}
	if err == nil {
		err = t.broken
	}
	if err != nil {
		return err
	}
	kept = true
	return c.commit()
}

// pause waits; false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
