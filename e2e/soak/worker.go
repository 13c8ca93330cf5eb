package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/chandler-broker/chandler/e2e/soak/record"
)

// patience is how long a client waits for an answer before it hangs up for good.
const patience = 30 * time.Second

// work lets a client do random things with its groups until ctx ends.
func work(ctx context.Context, groups []*group, rng *rand.Rand) {
	for ctx.Err() == nil {
		g := groups[rng.IntN(len(groups))]
		g.act(context.WithoutCancel(ctx), rng)
		sleep(ctx, upTo(rng, 20*time.Millisecond))
	}
	for _, g := range groups {
		g.wg.Wait()
	}
}

// act does one random thing. Requests that were begun are seen to their end.
func (g *group) act(ctx context.Context, rng *rand.Rand) {
	binding := int8(rng.IntN(record.Bindings))
	switch n := rng.IntN(100); {
	case n < 50:
		g.request(ctx, rng, g.random(rng, binding))
	case n < 58:
		g.fetch(ctx, rng, patience)
	case n < 66:
		g.fetchBinding(ctx, rng, binding, patience)
	case n < 84:
		g.pollSome(ctx, rng, int8(rng.IntN(1+record.Bindings))-1)
	case n < 91:
		g.use(ctx, rng)
	case n < 93:
		g.empty(ctx)
	case n < 95:
		g.operate(ctx, rng)
	default:
		g.pollUntilDone(ctx, rng, int8(rng.IntN(1+record.Bindings))-1)
	}
}

// random makes a request up.
func (g *group) random(rng *rand.Rand, binding int8) record.Request {
	q := record.Request{Async: rng.IntN(10) < 7 || g.first.Plan == planAsync && rng.IntN(10) < 9, Binding: binding}
	g.mu.Lock()
	is := g.believes
	g.mu.Unlock()
	switch n := rng.IntN(100); {
	case n < 24:
		q.Verb, q.Wanted = record.Provision, g.first
		if rng.IntN(4) == 0 {
			q.Wanted = is
		}
		if rng.IntN(12) == 0 {
			q.Wanted.Parameters = 3
		}
		q.Invalid = rng.IntN(30) == 0
	case n < 36:
		q.Verb, q.Patch.Parameters = record.Update, uint8(2+rng.IntN(3))
		if len(g.plans) > 0 && rng.IntN(2) == 0 {
			q.Patch.Plan = 1 + g.plans[rng.IntN(len(g.plans))]
		}
		if rng.IntN(3) == 0 && q.Patch.Plan > 0 {
			q.Patch.Parameters = 0
		}
	case n < 45:
		q.Verb, q.Wanted = record.Deprovision, is
		if rng.IntN(10) == 0 {
			q.Wanted.Plan = g.first.Plan
		}
	case n < 80:
		q.Verb, q.Bind = record.Bind, record.BindAttributes{Plan: is.Plan}
		if rng.IntN(8) == 0 {
			q.Bind.Access = 1
		}
		if rng.IntN(6) == 0 {
			q.Bind = record.BindAttributes{Predecessor: 1 + uint8(rng.IntN(record.Bindings))}
		}
	default:
		q.Verb, q.Wanted = record.Unbind, is
	}
	return q
}

// request sends a request: perhaps twice, perhaps beside others, perhaps hanging up.
func (g *group) request(ctx context.Context, rng *rand.Rand, q record.Request) {
	times, wait := 1, patience
	if rng.IntN(5) == 0 {
		times = 2
	}
	if rng.IntN(8) == 0 {
		wait = upTo(rng, 150*time.Millisecond) + time.Millisecond
	}
	aside := rng.IntN(4) == 0
	for range times {
		if !aside {
			if g.ask(ctx, rng, q, wait) == http.StatusTooManyRequests {
				sleep(ctx, upTo(rng, 200*time.Millisecond))
			}
			continue
		}
		seed := rng.Uint64()
		g.wg.Go(func() { g.ask(ctx, rand.New(rand.NewPCG(seed, 0)), q, wait) })
	}
}

// pollSome polls once: for an operation that the client was told of, or the newest.
func (g *group) pollSome(ctx context.Context, rng *rand.Rand, b int8) {
	g.mu.Lock()
	known := g.operations[b+1]
	operation := ""
	if n := len(known); n > 0 && rng.IntN(3) > 0 {
		operation = known[n-1-rng.IntN(min(n, 3))]
	}
	g.mu.Unlock()
	g.poll(ctx, rng, b, operation, patience)
}

// pollUntilDone polls as a patient platform does, for a while.
func (g *group) pollUntilDone(ctx context.Context, rng *rand.Rand, b int8) {
	for range 20 {
		if state := g.poll(ctx, rng, b, "", patience); state != "in progress" {
			return
		}
		sleep(ctx, 50*time.Millisecond)
	}
}

// use tries the credentials of a bucket's binding, where it is certain whether they work.
func (g *group) use(ctx context.Context, rng *rand.Rand) {
	g.mu.Lock()
	n := uint16(0)
	if len(g.credentials) > 0 && g.first.Plan >= planPurge {
		numbers := g.numbers()
		n = numbers[len(numbers)-1-rng.IntN(min(len(numbers), 6))]
	}
	t, known := g.credentials[n]
	if !known || g.Pending() {
		g.mu.Unlock()
		return
	}
	alive, gone := g.Standing(t.binding, n)
	reading := g.Read()
	g.mu.Unlock()
	if !alive && !gone {
		return
	}
	write := t.write && alive
	verdict := g.w.try(ctx, t.keys, write)
	g.mu.Lock()
	defer g.mu.Unlock()
	undisturbed := g.Undisturbed(reading)
	if write {
		g.Fill(verdict == works && undisturbed)
	}
	if verdict == unclear || !undisturbed {
		return
	}
	g.w.counts.uses.Add(1)
	g.note("- use of credentials %d of binding %d: alive=%t gone=%t verdict=%d", n, t.binding, alive, gone, verdict)
	if alive && verdict != works {
		g.check(&violation{g, "the credentials of a binding that exists do not work: " + t.Key})
	}
	if gone && verdict != dead {
		g.check(&violation{g, "the credentials of a deleted binding work: " + t.Key})
	}
}

// empty removes what the uses of credentials wrote, as the gateway's owner.
func (g *group) empty(ctx context.Context) {
	if g.first.Plan < planPurge || g.first.Parameters == parametersTaken {
		return
	}
	certain := g.w.empty(ctx, g.bucket())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note("- emptied: %t", certain)
	g.Empty(certain)
}

// operate is an operator who meddles with an operation that a client was told of.
func (g *group) operate(ctx context.Context, rng *rand.Rand) {
	g.mu.Lock()
	r, _, ok := g.w.pick(rng)
	if !ok || len(g.cancellable) == 0 {
		g.mu.Unlock()
		return
	}
	operation := g.cancellable[len(g.cancellable)-1]
	verb := []string{"cancel", "abandon", "retry"}[rng.IntN(3)]
	if verb == "retry" {
		failed := g.Name(operation)
		g.mu.Unlock()
		g.ask(ctx, rng, record.Request{Verb: record.Retry, Failed: failed, Async: true}, patience)
		return
	}
	g.Cancelling(operation)
	g.note("> operator: %s %s", verb, operation)
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	a := send(ctx, r.Broker, "POST", "/admin/v1/operations/"+url.PathEscape(operation)+"/"+verb, nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.note("< operator: %d %s %v", a.status, a.body.Description, a.err)
}
