package main

import (
	"context"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/chandler-broker/chandler/e2e/soak/record"
)

// read makes one read and hands its answer over, with the group locked.
func (g *group) read(ctx context.Context, rng *rand.Rand, path string, patience time.Duration, judge func(record.Reading, answer) error) bool {
	r, process, ok := g.w.pick(rng)
	if !ok {
		return false
	}
	g.mu.Lock()
	reading := g.Read()
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a := send(ctx, r.Broker, "GET", path, nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.err != nil {
		if !a.unsent {
			g.note("- GET %s: no answer from process %d", path, process)
			if !g.w.isDead(process) {
				g.ReadUnanswered(process)
			}
		}
		return false
	}
	g.note("- GET %s: %d %s %s", path, a.status, a.body.State, a.body.Error)
	g.w.counts.answer(a.status)
	g.check(judge(reading, a))
	return a.status < 500 && a.status != 429
}

// fetch reads the instance.
func (g *group) fetch(ctx context.Context, rng *rand.Rand, patience time.Duration) bool {
	return g.read(ctx, rng, g.path(-1), patience, func(reading record.Reading, a answer) error {
		is := record.Attributes{}
		if a.status == 200 {
			is.Plan = planNumber(a.body.PlanID)
			if size, ok := a.body.Parameters["size"].(float64); ok {
				is.Parameters = uint8(size / 10)
			}
			g.believes = is
		}
		return g.Instance(reading, a.status, is)
	})
}

// fetchBinding reads a binding.
func (g *group) fetchBinding(ctx context.Context, rng *rand.Rand, b int8, patience time.Duration) bool {
	return g.read(ctx, rng, g.path(b), patience, func(reading record.Reading, a answer) error {
		return g.Fetched(reading, b, a.status, g.learn(b, a.body.Parameters["access"] == nil, a))
	})
}

// poll reads the last operation of the instance (-1) or a binding; "" asks for the newest.
func (g *group) poll(ctx context.Context, rng *rand.Rand, b int8, operation string, patience time.Duration) (state string) {
	path := g.path(b) + "/last_operation"
	if operation != "" {
		path += "?operation=" + url.QueryEscape(operation)
	}
	g.read(ctx, rng, path, patience, func(reading record.Reading, a answer) error {
		state = a.body.State
		return g.Poll(reading, b, operation, a.status, state)
	})
	return state
}
