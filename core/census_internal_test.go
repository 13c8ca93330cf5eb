package core

import (
	"testing"
)

// TestCensus: places are limited in total, by backend and by user, deletions find one
// where nothing else does, and nothing is counted twice.
func TestCensus(t *testing.T) {
	cfg := &Config{MaxUnfinished: 64, MaxUnfinishedPerBackend: 32, MaxUnfinishedPerUser: 16}
	number := 0
	op := func(verb Verb, backend, user string) *Operation {
		number++
		return &Operation{ID: string(rune('a' + number)), InstanceID: "i", Verb: verb, Backend: backend, User: user}
	}
	fill := func(c *census, n int, backend, user string) (admitted int) {
		for range n {
			if c.admit(op(VerbProvision, backend, user), cfg) == nil {
				admitted++
			}
		}
		return admitted
	}
	c := newCensus()
	for _, step := range []struct {
		why, backend, user string
		want               int
	}{
		{"a user's share, but for what is kept for deletions", "slow", "greedy", 15},
		{"another user at the same backend: what is left of the backend's share", "slow", "modest", 15},
		{"the backend is full", "slow", "third", 0},
		{"another backend is not", "quick", "third", 15},
		{"the user's share counts over all backends", "other", "third", 0},
		{"the total", "other", "fourth", 15},
		{"no place is left", "other", "fifth", 0},
	} {
		if got := fill(c, 40, step.backend, step.user); got != step.want {
			t.Errorf("%s: %d admitted, want %d", step.why, got, step.want)
		}
	}
	removal := op(VerbDeprovision, "slow", "greedy")
	if e := c.admit(removal, cfg); e != nil {
		t.Errorf("a deletion finds no place: %v", e)
	}
	if e := c.admit(removal, cfg); e != nil || c.total != 61 {
		t.Errorf("admitted again: %v, %d are counted", e, c.total)
	}
	refused := op(VerbProvision, "slow", "greedy")
	if e := c.admit(refused, cfg); e == nil || e.Code != CodeOverloaded || e.RetryAfter <= 0 {
		t.Errorf("the refusal is %v", e)
	}
	c.remove(refused) // was never counted
	c.remove(removal)
	c.remove(removal)
	if c.total != 60 || c.backends["slow"] != 30 {
		t.Errorf("%d are counted, %d of them at slow", c.total, c.backends["slow"])
	}
	c.set("i", []*Operation{removal})
	if c.total != 1 || len(c.backends) != 1 || len(c.users) != 1 {
		t.Errorf("after set: %d, %v, %v", c.total, c.backends, c.users)
	}
	c.clear()
	if c.total != 0 || len(c.instances)+len(c.backends)+len(c.users) != 0 {
		t.Errorf("after clear: %+v", c)
	}
}
