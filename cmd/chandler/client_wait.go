package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// unusable is how many answers in a row may be neither a state nor an error of the
// broker's before the client gives up. Brokers that cannot be reached are asked
// on and on: they may be restarting.
const unusable = 5

// polling is asynchronous work that the client waits for.
type polling struct {
	doing, path string // path is the instance's or the binding's
	operation   string // "" if the broker named none
	which       ids
	deleting    bool // 410 is success
}

// pollState is an answer of last_operation.
type pollState struct {
	State       string `json:"state"`
	Description string `json:"description"`
}

// finish waits until the work is done, with progress on standard error. It fails
// with exitUnfinished when ctx ends first.
func (c *osbClient) finish(ctx context.Context, p polling) error {
	query := p.which.query()
	if p.operation != "" {
		query.Set("operation", p.operation)
	}
	last, strange := "", 0
	for {
		a, err := c.call(ctx, http.MethodGet, p.path+"/last_operation", query, nil)
		if ctx.Err() != nil {
			return p.unfinished(ctx)
		}
		state, err := p.read(a, err)
		if err != nil {
			return err
		}
		if text := state.State + ": " + state.Description; state.Description != "" && text != last {
			fmt.Fprintf(c.progress, "%s  %s\n", time.Now().Format(time.TimeOnly), text)
			last = text
		}
		switch state.State {
		case "succeeded":
			return nil
		case "failed":
			return exitf(exitFailed, "%s failed: %s", p.doing, state.Description)
		case "in progress", unreachable:
			strange = 0
		default:
			if strange++; strange == unusable {
				return exitf(exitFailed, "%s: the broker's answers to polls cannot be used; the last one was %d %s: %.200s",
					p.doing, a.Status, http.StatusText(a.Status), a.Raw)
			}
		}
		if !wait(ctx, c.pause(a)) {
			return p.unfinished(ctx)
		}
	}
}

// unreachable stands for a state where no answer came, or one that asks to come again.
const unreachable = "waiting"

// read makes a state of a poll's answer; callErr is why there is none.
func (p polling) read(a answer, callErr error) (pollState, error) {
	var state pollState
	switch {
	case callErr != nil:
		return pollState{unreachable, callErr.Error()}, nil
	case a.Status == http.StatusGone && p.deleting:
		return pollState{State: "succeeded"}, nil
	case a.Status >= 500, a.Status == http.StatusTooManyRequests:
		return pollState{unreachable, a.failure("poll").Error()}, nil
	case a.Status != http.StatusOK:
		return state, a.failure(p.doing)
	}
	if err := a.decode(&state); err != nil {
		return pollState{"unknown", err.Error()}, nil
	}
	return state, nil
}

func (p polling) unfinished(ctx context.Context) error {
	text := p.doing + ": interrupted"
	if context.Cause(ctx) == errOutOfTime {
		text = p.doing + ": out of time"
	}
	text += "; the work goes on at the broker"
	if p.operation != "" {
		text += ", operation " + p.operation
	}
	return exitf(exitUnfinished, "%s", text)
}

// pause is the broker's Retry-After, or what the client was told.
func (c *osbClient) pause(a answer) time.Duration {
	if a.Header != nil {
		if s, err := strconv.Atoi(a.Header.Get("Retry-After")); err == nil && s > 0 && s < 3600 {
			return time.Duration(s) * time.Second
		}
	}
	return c.poll
}

// wait is false if ctx ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
