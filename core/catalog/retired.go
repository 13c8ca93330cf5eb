package catalog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// retired compiles the plans that instances still have and that services lack.
func (c *Catalog) retired(ctx context.Context, services []*core.Service) ([]*core.Plan, error) {
	uses, err := c.inUse(ctx)
	if err != nil {
		return nil, err
	}
	listed := core.NewSnapshot("", time.Time{}, services, nil)
	var retired []*core.Plan
	for _, use := range uses {
		if listed.Plan(use.ServiceID, use.PlanID) != nil {
			continue
		}
		plan, err := c.Plan(use.Definition)
		if err != nil {
			// The other plans must not suffer; operations on this one fail with the same words.
			c.cfg.Log.Error("a plan that instances use cannot be kept", "service_id", use.ServiceID, "plan_id", use.PlanID, "error", err)
			continue
		}
		copied := *plan // NewSnapshot marks it as retired; others may hold the cached one
		retired = append(retired, &copied)
	}
	return retired, nil
}

// inUse lists the plans that instances have or unfinished operations want.
func (c *Catalog) inUse(ctx context.Context) (uses []core.PlanUse, err error) {
	if c.cfg.Store == nil {
		return nil, nil
	}
	err = c.cfg.Store.View(ctx, func(tx core.Tx) error {
		uses, err = tx.PlansInUse()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the plans in use: %w", err)
	}
	return uses, nil
}

// compiledPlan is a definition that is compiled at most once.
type compiledPlan struct {
	once sync.Once
	plan *core.Plan
	err  error
}

// Plan implements core.Catalog. The error is a *core.Error of CodeFailed.
func (c *Catalog) Plan(def core.Definition) (*core.Plan, error) {
	if p := c.active.Load().byDigest[def.Digest]; p != nil {
		return p, nil
	}
	entry, _ := c.compiled.LoadOrStore(def.Digest, &compiledPlan{})
	cp := entry.(*compiledPlan)
	cp.once.Do(func() { cp.plan, cp.err = Compile(c.cfg.Templates, def) })
	if cp.err != nil {
		c.compiled.CompareAndDelete(def.Digest, entry) // damaged bytes must not spoil the good ones of this digest
		return nil, core.Errorf(core.CodeFailed, "the plan of this instance cannot be read").
			WithHint("The operator finds the cause in the log under the id.").WithCause(cp.err)
	}
	return cp.plan, nil
}
