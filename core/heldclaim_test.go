package core_test

import (
	"context"
	"sync"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// claimed tells when a claim found nothing more after one that did.
type claimed struct {
	*line
	some bool // used by one goroutine
	all  chan struct{}
}

func (c *claimed) Claim(ctx context.Context, holder string, limit int) ([]string, error) {
	ids, err := c.line.Claim(ctx, holder, limit)
	if err == nil && c.some && len(ids) == 0 {
		c.some = false
		close(c.all)
	}
	c.some = c.some || len(ids) > 0
	return ids, err
}

// TestClaimedBeforeLaunch: the lease ends between the commit that accepts a request and the start
// of its work, and the same broker claims the operation with its next lease. It must not
// pass it over because the request still has it in hand: nobody would look again.
func TestClaimedBeforeLaunch(t *testing.T) {
	var c *claimed
	var once sync.Once
	m := fleet(t, openSQLite(t), 1, func(r *rig) {
		c = &claimed{line: r.config.Leases.(*line), all: make(chan struct{})}
		r.config.Leases = c
		r.config.Fault = func(p core.FaultPoint) {
			if p == core.FaultAfterAccept {
				once.Do(func() {
					c.expire(t)
					receive(t, c.all)
				})
			}
		}
	})
	m[0].done(m[0].must("accepted", put("i", true)))
}
