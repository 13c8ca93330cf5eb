package main

import (
	"context"
	"errors"
)

// half measures the synchronous requests of cycles at half of the greatest load: the
// latency that callers see while the machine is not full.
func (s settings) half(ctx context.Context, r *report) (err error) {
	t, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	full, err := s.loopOf(t, 0, demoPlan.cycle).run(ctx)
	if err != nil {
		return err
	}
	r.Loops["half: full load before"] = full
	if full.Turns == 0 {
		return errors.New("no cycle was completed in time")
	}
	res, err := s.loopOf(t, full.PerSec/2, demoPlan.cycle).run(ctx)
	if err != nil {
		return err
	}
	r.Loops["half"] = res
	if p := res.Requests["provision"]; p.P50 > 0 {
		r.most("provision at half load: p99 / median", float64(p.P99)/float64(p.P50), 5)
	}
	return nil
}
