package store

import (
	"context"

	"github.com/chandler-broker/chandler/core"
)

// Claim implements core.Leases.
func (l *leases) Claim(ctx context.Context, holder string, limit int) ([]string, error) {
	var claimed []string
	err := l.update(ctx, func(t *tx) error {
		claimed = nil
		live, err := t.leaseLives(holder)
		if err != nil {
			return err
		}
		if !live {
			return core.ErrLeaseLost
		}
		ended, err := t.endedHolders(holder)
		if err != nil {
			return err
		}
		claimed, err = t.claim(holder, ended, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// endedHolders gives whose operations may be taken: "" for free ones, and holders
// without a live lease. It records of those that they have ended, so that neither
// a late renewal nor a clock that is put back revives them. One that is being
// renewed at this moment is left for the next time.
func (t *tx) endedHolders(self string) ([]string, error) {
	all, err := t.strings("list holders", unfinishedHolders)
	if err != nil {
		return nil, err
	}
	var ended []string
	for _, h := range all {
		if h == self {
			continue
		}
		if h != "" {
			live, err := t.leaseLives(h)
			if err != nil {
				return nil, err
			}
			if live {
				continue
			}
			if free, err := t.tryLock("lease", h); err != nil {
				return nil, err
			} else if !free {
				continue
			}
			if live, err = t.leaseLives(h); err != nil {
				return nil, err
			}
			if live { // it was renewed in between
				continue
			}
			if _, err := t.exec("end lease", endLease, h); err != nil {
				return nil, err
			}
		}
		ended = append(ended, h)
	}
	return ended, nil
}

// claim takes the operations of up to limit instances from the ended holders.
func (t *tx) claim(self string, ended []string, limit int) ([]string, error) {
	takeable := map[string]bool{self: true}
	for _, h := range ended {
		takeable[h] = true
	}
	var claimed []string
	for _, h := range ended {
		if len(claimed) >= limit {
			break
		}
		// A few more than needed, since some of them may be busy now.
		ids, err := t.strings("list operations to claim", instancesHeld, h, limit-len(claimed)+64)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if len(claimed) >= limit {
				break
			}
			ok, err := t.claimInstance(self, id, takeable)
			if err != nil {
				return nil, err
			}
			if ok {
				claimed = append(claimed, id)
			}
		}
	}
	return claimed, nil
}

// claimInstance takes all unfinished operations of the instance, unless a holder
// that is not takeable has one of them, or somebody else is changing the instance.
func (t *tx) claimInstance(self, id string, takeable map[string]bool) (bool, error) {
	if free, err := t.tryLock("instance", id); err != nil || !free {
		return false, err
	}
	holders, err := t.strings("list holders", holdersOfInstance, id)
	if err != nil {
		return false, err
	}
	for _, h := range holders {
		if !takeable[h] {
			return false, nil
		}
	}
	n, err := t.exec("claim operations", claimInstance, self, id, self)
	return n > 0, err
}
