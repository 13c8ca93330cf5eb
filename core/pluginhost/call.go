package pluginhost

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/plugin"
)

// Call implements core.Backends. A check that the plugin does not offer is done at once, without a call.
func (h *Host) Call(ctx context.Context, call core.Call, progress func(core.Progress)) (core.Result, error) {
	if err := checkCall(call); err != nil {
		return core.Result{}, err
	}
	if progress == nil {
		progress = func(core.Progress) {}
	}
	kind := kindInstance
	if call.Verb == core.VerbBind || call.Verb == core.VerbUnbind {
		kind = kindBinding
	}
	return onProcess(ctx, h, call.Backend, kind, func(p *process) (core.Result, error) {
		if call.Check && !p.desc.ChecksDeprovision { // it would deprovision instead of checking
			return core.Result{}, nil
		}
		if call.Verb == core.VerbAdopt {
			if err := p.capable(core.CapabilityAdopt); err != nil {
				return core.Result{}, err
			}
		}
		out := p.call(ctx, call, progress)
		if out.err != nil {
			return core.Result{}, out.err
		}
		out.result.Version = p.desc.Version
		return out.result, nil
	})
}

func cancelled(ctx context.Context, detail string) *core.Error {
	return backendError(core.CodeCancelled, "The operation was cancelled.",
		detail+"; cancelled, since: "+context.Cause(ctx).Error()).WithCause(context.Cause(ctx))
}

// running is one call in flight, from the first byte until the plugin's handler has returned.
type running struct {
	p        *process
	ctx      context.Context // the caller's; its end is sent to the plugin as Cancel
	stream   context.Context // gRPC's
	end      func()          // of stream
	id       string
	call     core.Call
	progress throttle
	rpc      *rpc
	timeout  time.Duration
	hidden   []string // secrets that are masked until the end of the call

	mu       sync.Mutex
	timer    *time.Timer // calls due
	deadline time.Time   // when that means something
	outcome  *outcome    // from the first event that ends the call
	why      string      // why it is being cancelled; "" if it is not
	over     bool        // the stream has ended: timers and cancellations come too late
	asking   sync.WaitGroup
}

// call makes one call of this process. It returns when the handler in the plugin has
// returned or the process is dead.
func (p *process) call(ctx context.Context, call core.Call, progress func(core.Progress)) outcome {
	r := &running{p: p, ctx: ctx, call: call, id: strconv.FormatUint(p.nextCall.Add(1), 10), timeout: call.Timeout,
		progress: throttle{every: p.host.cfg.Timing.Progress, deliver: progress}}
	if r.timeout <= 0 {
		r.timeout = time.Duration(p.callTimeout.Load())
	}
	r.hidden = p.hide(call)
	defer func() { p.masks.release(r.hidden) }()
	defer p.note(r)()
	// The stream's context outlives the caller's: gRPC would return at once when it ends,
	// while the plugin still works. Values (the trace) stay.
	r.stream, r.end = context.WithCancel(context.WithoutCancel(ctx))
	defer r.end()
	r.stream, r.rpc = withRPC(r.stream)
	return r.follow()
}

// note notes that a call runs, until what it gives is called.
func (p *process) note(r *running) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[r.id] = r
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.calls, r.id)
	}
}

// marksOf are the places of secrets in a plugin's inputs and outputs.
type marksOf struct{ provision, bind, instance, binding plugin.SecretMarks }

func newMarks(d core.Description) marksOf {
	return marksOf{provision: plugin.MarksOf(d.ProvisionInputs), bind: plugin.MarksOf(d.BindInputs),
		instance: plugin.MarksOf(d.InstanceOutputs), binding: plugin.MarksOf(d.BindingOutputs)}
}

// hide makes everything secret that the call carries masked in the plugin's logs. What it
// gives is to be released when the call is over.
func (p *process) hide(c core.Call) []string {
	inputs := p.marks.provision
	if c.BindingID != "" {
		inputs = p.marks.bind
	}
	var secrets []string
	for _, list := range [][]string{c.Secrets, p.marks.instance.Values(c.Instance.Outputs), p.marks.binding.Values(c.Binding.Outputs),
		p.marks.provision.Values(c.Instance.Inputs), p.marks.bind.Values(c.Binding.Inputs), inputs.Values(c.Inputs)} {
		secrets = append(secrets, list...)
	}
	seed := seedSpellings(c.Seed)
	p.masks.holdSpelled(seed)
	return append(seed, p.masks.hold(secrets...)...)
}

// hide adds to what is masked until the end of the call.
func (r *running) hide(secrets ...string) { r.hidden = append(r.hidden, r.p.masks.hold(secrets...)...) }
