package core_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/chandler-broker/chandler/core"
)

// script is core.Backends in memory: a small world in which instances and bindings
// exist, which checks the contract's promises on every call, and whose reactions a
// test can replace one by one.
type script struct {
	t    testing.TB
	desc core.Description

	mu        sync.Mutex
	reactions map[core.Verb][]reaction
	always    map[core.Verb]reaction
	calls     []core.Call
	inFlight  map[string]core.Call
	fences    map[string]int64
	seeds     map[string]string // operation id → its seed
	instances map[string]bool   // that exist
	made      map[string]int    // how often an instance was made from nothing
	keys      map[string]string // binding id → its only live key
	changed   chan struct{}     // closed and replaced at every call's start and end

	inspect func(core.InspectCall) (core.Inspection, error)
	pages   map[string]core.FoundPage // by page
}

// reaction plays one plugin call.
type reaction func(ctx context.Context, call core.Call, progress func(core.Progress)) (core.Result, error)

func newScript(t testing.TB) *script {
	return &script{t: t, reactions: map[core.Verb][]reaction{}, always: map[core.Verb]reaction{}, inFlight: map[string]core.Call{},
		fences: map[string]int64{}, seeds: map[string]string{}, instances: map[string]bool{}, made: map[string]int{}, keys: map[string]string{},
		changed: make(chan struct{}),
		desc: core.Description{Plugin: "script", ChecksDeprovision: true,
			Capabilities:    []string{"check", core.CapabilityInspect, core.CapabilityList, core.CapabilityAdopt},
			BindingOutputs:  json.RawMessage(`{"properties":{"key":{"type":"string","writeOnly":true}}}`),
			ProvisionInputs: json.RawMessage(`{"properties":{"bucket":{"type":"string","x-unique":true}}}`)}}
}

// Describe implements core.Backends.
func (s *script) Describe(backend string) (core.Description, bool) {
	return s.desc, backend == "backend"
}

// Call implements core.Backends.
func (s *script) Call(ctx context.Context, call core.Call, progress func(core.Progress)) (core.Result, error) {
	react := s.begin(call)
	defer s.end(call)
	if err := ctx.Err(); err != nil {
		return core.Result{}, cancelled(ctx)
	}
	return react(ctx, call, progress)
}

// Inspect implements core.Inventory.
func (s *script) Inspect(_ context.Context, call core.InspectCall) (core.Inspection, error) {
	return s.inspect(call)
}

// List implements core.Inventory.
func (s *script) List(_ context.Context, _, page string) (core.FoundPage, error) {
	found, ok := s.pages[page]
	if !ok {
		return found, core.Errorf(core.CodeInvalid, "there is no page %q", page)
	}
	return found, nil
}

// key is what at most one call may be in flight for.
func key(call core.Call) string { return call.InstanceID + "/" + call.BindingID }

func (s *script) begin(call core.Call) reaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal()
	for _, other := range s.inFlight {
		if other.InstanceID == call.InstanceID && (other.BindingID == call.BindingID || other.BindingID == "" || call.BindingID == "" || s.desc.SerializeInstance) {
			s.t.Errorf("two calls in flight: %s of %s beside %s of %s", call.Verb, key(call), other.Verb, key(other))
		}
	}
	if call.Fence <= s.fences[call.InstanceID] {
		s.t.Errorf("the fence of %s does not rise: %d after %d", key(call), call.Fence, s.fences[call.InstanceID])
	}
	if len(call.Seed) != 32 {
		s.t.Errorf("the seed has %d bytes", len(call.Seed))
	}
	if seed, again := s.seeds[call.OperationID]; again && seed != string(call.Seed) {
		s.t.Errorf("operation %s has another seed than before", call.OperationID)
	}
	s.seeds[call.OperationID] = string(call.Seed)
	s.fences[call.InstanceID] = call.Fence
	s.inFlight[key(call)] = call
	s.calls = append(s.calls, call)
	if list := s.reactions[call.Verb]; len(list) > 0 {
		s.reactions[call.Verb] = list[1:]
		return list[0]
	}
	if react := s.always[call.Verb]; react != nil {
		return react
	}
	return s.done
}

func (s *script) end(call core.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inFlight, key(call))
	s.signal()
}

func (s *script) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// done is the reaction of a healthy backend.
func (s *script) done(_ context.Context, call core.Call, _ func(core.Progress)) (core.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case call.Check:
		return core.Result{}, nil
	case call.Verb == core.VerbProvision:
		if !s.instances[call.InstanceID] {
			s.made[call.InstanceID]++
		}
		s.instances[call.InstanceID] = true
		return core.Result{Outputs: json.RawMessage(`{"host":"h.example"}`)}, nil
	case call.Verb == core.VerbAdopt: // it was there before: nothing is made
		s.instances[call.InstanceID] = true
		return core.Result{Outputs: json.RawMessage(`{"host":"h.example"}`)}, nil
	case call.Verb == core.VerbUpdate:
		return core.Result{Outputs: json.RawMessage(`{"host":"h.example"}`)}, nil
	case call.Verb == core.VerbDeprovision:
		delete(s.instances, call.InstanceID)
	case call.Verb == core.VerbBind:
		k := fmt.Sprintf("key-%d", call.Fence)
		s.keys[call.BindingID] = k
		return core.Result{Outputs: json.RawMessage(`{"key":"` + k + `"}`)}, nil
	case call.Verb == core.VerbUnbind:
		delete(s.keys, call.BindingID)
	}
	return core.Result{}, nil
}

// on replaces the reactions to the next calls of a verb.
func (s *script) on(verb core.Verb, reactions ...reaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reactions[verb] = append(s.reactions[verb], reactions...)
}

// every replaces the reaction to all calls of a verb.
func (s *script) every(verb core.Verb, r reaction) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always[verb] = r
}

// gate holds calls open until it is released or they are cancelled.
type gate struct{ entered, release chan struct{} }

// hold holds the next call of a verb open; then it does what after says, or is done.
func (s *script) hold(verb core.Verb, after ...reaction) *gate {
	g := &gate{entered: make(chan struct{}), release: make(chan struct{})}
	then := s.done
	if len(after) > 0 {
		then = after[0]
	}
	s.on(verb, func(ctx context.Context, call core.Call, p func(core.Progress)) (core.Result, error) {
		close(g.entered)
		select {
		case <-g.release:
			return then(ctx, call, p)
		case <-ctx.Done():
			return core.Result{}, cancelled(ctx)
		}
	})
	return g
}

func cancelled(ctx context.Context) error {
	e := core.Errorf(core.CodeCancelled, "cancelled").WithCause(context.Cause(ctx))
	e.Backend = true
	return e
}

// fails is the reaction of a plugin error.
func fails(code core.ErrorCode, message string) reaction {
	return func(context.Context, core.Call, func(core.Progress)) (core.Result, error) {
		return core.Result{}, &core.Error{Code: code, Message: message, Backend: true}
	}
}

// pends asks to be called again.
func pends(handle string) reaction {
	return func(context.Context, core.Call, func(core.Progress)) (core.Result, error) {
		return core.Result{Pending: &core.Pending{Handle: []byte(handle), Text: "step " + handle}}, nil
	}
}

// seen gives the calls so far.
func (s *script) seen() []core.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]core.Call(nil), s.calls...)
}

// verbs gives the verbs of the calls so far, "check" for a check.
func (s *script) verbs() []string {
	var list []string
	for _, c := range s.seen() {
		v := string(c.Verb)
		if c.Check {
			v = "check"
		}
		list = append(list, v)
	}
	return list
}

// exists tells what is there: instances and live keys.
func (s *script) exists() (instances map[string]bool, keys map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.instances), maps.Clone(s.keys)
}

// quiet waits until no call is in flight.
func (s *script) quiet(ctx context.Context) error {
	for {
		s.mu.Lock()
		n, changed := len(s.inFlight), s.changed
		s.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
