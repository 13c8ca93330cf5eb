package pluginhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core"
)

// State is what a backend is doing, in one word for status pages and metrics.
type State string

// The states.
const (
	StateStarting     State = "starting"     // a process is being started; calls wait for it
	StateRunning      State = "running"      // a process serves
	StateRestarting   State = "restarting"   // waits a moment after a failure; calls wait, too
	StateOpen         State = "open"         // failed too often: calls are refused until the next attempt
	StateInvalid      State = "invalid"      // its configuration is refused by the plugin
	StateUnavailable  State = "unavailable"  // the plugin says that what is behind it cannot be reached
	StateRefused      State = "refused"      // the digest is not pinned, or the catalog does not go with it
	StateMissing      State = "missing"      // there is no such plugin in the plugin directory
	StateUnconfigured State = "unconfigured" // installed, but needs to be listed with a configuration
	StateStopped      State = "stopped"
)

// waiting tells whether calls wait in this state, since it may be over soon.
func (s State) waiting() bool { return s == StateStarting || s == StateRestarting }

// BackendStatus is what an operator sees of a backend.
type BackendStatus struct {
	Name   string `json:"name"`
	Plugin string `json:"plugin"`
	// Listed is false for a backend that exists because its plugin is installed.
	Listed bool      `json:"listed"`
	State  State     `json:"state"`
	Since  time.Time `json:"since"` // of the state
	// Version, Digest and Pid are of the process that serves; zero if none does.
	Version string `json:"version,omitempty"`
	Digest  string `json:"digest,omitempty"`
	Pid     int    `json:"pid,omitempty"`
	// Restarts counts the ends of processes that nobody asked for.
	Restarts int `json:"restarts"`
	// Error says what keeps the wanted binary and configuration from serving; it may be
	// set while an older process runs. Without secrets; may have several lines.
	Error string `json:"error,omitempty"`
	// NextAttempt is when that is tried again; zero if only a change helps, or nothing is to be tried.
	NextAttempt time.Time `json:"next_attempt,omitzero"`
	// Stderr are the last lines of the process that serves, masked.
	Stderr []string `json:"stderr,omitempty"`
	// Running and Waiting are calls.
	Running int `json:"running"`
	Waiting int `json:"waiting"`
}

// target is what a backend should run.
type target struct {
	cfg      BackendConfig
	implicit bool    // not listed; exists because its plugin is installed
	bin      *binary // nil if there is none
	problem  error   // why bin is nil or out of date
}

// id tells targets apart that need processes of their own.
func (t target) id() string {
	type identity struct {
		Digest, Plugin string
		Config         []byte
		Env            map[string]string
		MTLS           bool
		Implicit       bool
	}
	i := identity{Plugin: t.cfg.Plugin, Config: t.cfg.Config, Env: t.cfg.Env, MTLS: t.cfg.mtls(), Implicit: t.implicit}
	if t.bin != nil {
		i.Digest = t.bin.digest
	}
	raw, _ := json.Marshal(i) // cannot fail: strings and bytes only
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// backend is a backend as callers see it; its supervisor changes it.
type backend struct {
	host *Host
	name string
	log  *slog.Logger

	wake   chan struct{} // capacity 1: the target changed
	tried  chan struct{} // closed when the first attempt to start is over
	ended  chan struct{} // closed when the supervisor has returned
	cancel context.CancelFunc

	mu        sync.Mutex
	want      target
	cur       *process // the one that new calls go to; nil if none
	state     State
	since     time.Time
	problem   string
	next      time.Time
	restarts  int
	desc      core.Description
	described bool
	digests   []string      // of copies that are needed
	changed   chan struct{} // closed and replaced when something above changes
}

func newBackend(h *Host, name string) *backend {
	b := &backend{host: h, name: name, log: h.cfg.Log.With("backend", name), state: StateStarting, since: h.cfg.Now(),
		wake: make(chan struct{}, 1), tried: make(chan struct{}), ended: make(chan struct{}), changed: make(chan struct{})}
	b.loadDescription()
	return b
}

// setTarget tells the supervisor what to run.
func (b *backend) setTarget(t target) {
	b.mu.Lock()
	b.want = t
	b.mu.Unlock()
	wake(b.wake)
}

func (b *backend) wanted() target {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.want
}

// update changes b under its lock and wakes whoever waits for a change.
func (b *backend) update(change func()) {
	b.mu.Lock()
	change()
	close(b.changed)
	b.changed = make(chan struct{})
	b.mu.Unlock()
}

// setState notes a state and what is wrong; OnChange is told if either is new.
func (b *backend) setState(s State, problem error, next time.Time) {
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	news := false
	b.update(func() {
		news = b.state != s || b.problem != text
		if b.state != s {
			b.since = b.host.cfg.Now()
		}
		b.state, b.problem, b.next = s, text, next
	})
	if news {
		b.host.notify(b.name)
	}
}

// ready waits for a process that takes calls. Its error is CodeUnavailable, or CodeCancelled when ctx ends.
func (b *backend) ready(ctx context.Context) (*process, error) {
	var patience *time.Timer // no call waits for a process that serves
	for {
		if b.host.lapsed() {
			return nil, unavailable(0, lapsedWhy)
		}
		b.mu.Lock()
		cur, state, problem, next, changed := b.cur, b.state, b.problem, b.next, b.changed
		b.mu.Unlock()
		if cur != nil && !cur.slots.isClosed() {
			return cur, nil
		}
		var after time.Duration
		if !next.IsZero() {
			after = max(next.Sub(b.host.cfg.Now()), time.Second)
		}
		if cur == nil && !state.waiting() {
			return nil, unavailable(after, fmt.Sprintf("backend %q is %s: %s", b.name, state, problem))
		}
		if patience == nil {
			patience = time.NewTimer(b.host.cfg.Timing.ReadyWait)
			defer patience.Stop()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, cancelled(ctx, fmt.Sprintf("it waited for backend %q, which is %s", b.name, state))
		case <-patience.C:
			return nil, unavailable(after, fmt.Sprintf("backend %q is still %s: %s", b.name, state, problem))
		}
	}
}

// describe gives the description of the serving process or the last one known.
func (b *backend) describe() (core.Description, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.desc, b.described
}

// loadDescription reads the cache, so that a catalog can be loaded before the plugin runs.
func (b *backend) loadDescription() {
	if b.host.cfg.Descriptions == nil {
		return
	}
	raw, err := b.host.cfg.Descriptions.Load(b.name)
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &b.desc)
		b.described = err == nil
		for _, schema := range []*json.RawMessage{&b.desc.ConfigSchema, &b.desc.ProvisionInputs, &b.desc.BindInputs, &b.desc.InstanceOutputs, &b.desc.BindingOutputs} {
			if string(*schema) == "null" { // what encoding/json makes of nil
				*schema = nil
			}
		}
	}
	if err != nil {
		b.log.Warn("the stored description of the backend cannot be used", "error", err)
	}
}

// setDescription notes what a process said and stores it.
func (b *backend) setDescription(d core.Description) {
	raw, err := json.Marshal(d)
	b.mu.Lock()
	old, _ := json.Marshal(b.desc)
	same := b.described && slices.Equal(old, raw)
	b.desc, b.described = d, true
	b.mu.Unlock()
	if same {
		return
	}
	if err == nil && b.host.cfg.Descriptions != nil {
		err = b.host.cfg.Descriptions.Save(b.name, raw)
	}
	if err != nil {
		b.log.Warn("the description of the backend could not be stored", "error", err)
	}
	b.host.notify(b.name)
}

// status is what Host.Status gives.
func (b *backend) status() BackendStatus {
	b.mu.Lock()
	cur := b.cur
	s := BackendStatus{Name: b.name, Plugin: b.want.cfg.Plugin, Listed: !b.want.implicit, State: b.state, Since: b.since,
		Restarts: b.restarts, Error: b.problem, NextAttempt: b.next}
	b.mu.Unlock()
	if cur != nil {
		s.Version, s.Digest, s.Pid = cur.desc.Version, cur.want.bin.digest, cur.child.Pid()
		s.Running, s.Waiting = cur.slots.counts()
		s.Stderr = cur.out.tail(streamStderr)
	}
	return s
}
