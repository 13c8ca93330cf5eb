package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

// work is one call with the behaviour that its inputs ask for.
type work struct {
	behaviour
	verb, operation string
	step            int // how many steps are over
	progress        func(text string, percent int)
	store           *store
}

// handle is what is stored between the steps.
type handle struct {
	Step int `json:"step"`
}

func (d *demo) work(verb, operation string, b behaviour, stored plugin.Handle, progress func(string, int)) *work {
	w := &work{behaviour: b, verb: verb, operation: operation, progress: progress, store: d.store}
	var h handle
	if err := stored.Decode(&h); err == nil { // a handle that cannot be read means to begin again, which is harmless here
		w.step = h.Step
	}
	return w
}

// run does begin and then, when all steps are over, end. Both may be repeated.
func (w *work) run(ctx context.Context, begin func() error, end func() (plugin.Result, error)) (plugin.Result, error) {
	if err := w.raise(false); err != nil {
		return plugin.Result{}, err
	}
	if err := pause(ctx, time.Duration(w.Latency)); err != nil {
		return plugin.Result{}, err
	}
	if err := begin(); err != nil {
		return plugin.Result{}, err
	}
	for w.step < w.Steps {
		w.step++
		text := fmt.Sprintf("step %d of %d", w.step, w.Steps)
		if !w.Block {
			return plugin.Pending(handle{w.step}, time.Duration(w.RetryAfter), text), nil
		}
		w.progress(text, 100*w.step/(w.Steps+1))
		if err := pause(ctx, w.stepTime()); err != nil {
			return plugin.Result{}, err
		}
	}
	result, err := end()
	if err != nil {
		return plugin.Result{}, err
	}
	plugin.Logger(ctx).Info("done", "steps", w.Steps)
	return result, w.raise(true)
}

// stepTime is how long a step of a blocking call takes.
func (w *work) stepTime() time.Duration {
	if w.RetryAfter > 0 {
		return time.Duration(w.RetryAfter)
	}
	return time.Duration(w.Latency)
}

// pause waits, or returns the context's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// raise gives the failure that is due before or after the work, nil if none is.
func (w *work) raise(after bool) error {
	for i, f := range w.Fail {
		if f.Verb != w.verb || f.After != after {
			continue
		}
		if f.Times > 0 {
			n, err := w.store.count(fmt.Sprintf("%s/%d", w.operation, i))
			if err != nil {
				return err
			}
			if n > f.Times {
				continue
			}
		}
		return f.raise()
	}
	return nil
}

// raise makes the failure.
func (f fault) raise() error {
	message := f.Message
	if message == "" {
		message = fmt.Sprintf("The plan injects the failure %q into %s.", f.Code, f.Verb)
	}
	var err *plugin.Error
	switch f.Code {
	case "invalid_input":
		err = plugin.InvalidInput(f.Pointer, "%s", message)
	case "conflict":
		err = plugin.Conflict("%s", message)
	case "not_found":
		err = plugin.NotFound("%s", message)
	case "unavailable":
		err = plugin.Unavailable(time.Duration(f.RetryAfter), "%s", message)
	case "panic":
		panic(message)
	case "crash":
		fmt.Fprintln(os.Stderr, message)
		os.Exit(3)
	default:
		err = plugin.Failed("%s", message)
	}
	err.Usable, err.Repeatable = f.InstanceUsable, f.UpdateRepeatable
	return err
}
