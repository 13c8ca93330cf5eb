package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
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
	id       string
	call     core.Call
	progress throttle
	arrived  *atomic.Bool // the plugin itself ended the stream
	timeout  time.Duration

	outcome *outcome // from the first event that ends the call
	why     string   // why it is being cancelled; "" if it is not
}

// call makes one call of this process. It returns when the handler in the plugin has
// returned or the process is dead.
func (p *process) call(ctx context.Context, call core.Call, progress func(core.Progress)) outcome {
	r := &running{p: p, ctx: ctx, call: call, id: strconv.FormatUint(p.nextCall.Add(1), 10), timeout: call.Timeout,
		progress: throttle{every: p.host.cfg.Timing.Progress, deliver: progress}}
	if r.timeout <= 0 {
		r.timeout = time.Duration(p.callTimeout.Load())
	}
	p.hide(call)
	noted := call
	noted.Inputs, noted.Instance, noted.Binding, noted.Attempted, noted.Seed, noted.Secrets = nil, core.Applied{}, core.Applied{}, nil, nil, nil
	p.mu.Lock()
	p.calls[r.id] = noted
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.calls, r.id)
		p.mu.Unlock()
	}()
	// The stream's context outlives the caller's: gRPC would return at once when it ends,
	// while the plugin still works. Values (the trace) stay.
	stream, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stream, r.arrived = withTrailer(stream)
	return r.follow(stream, end)
}

// hide makes everything secret that the call carries masked in the plugin's logs.
func (p *process) hide(c core.Call) {
	p.masks.add(c.Secrets...)
	p.masks.add(seedSpellings(c.Seed)...)
	d := &p.desc
	p.masks.add(plugin.SecretValues(d.InstanceOutputs, c.Instance.Outputs)...)
	p.masks.add(plugin.SecretValues(d.BindingOutputs, c.Binding.Outputs)...)
	p.masks.add(plugin.SecretValues(d.ProvisionInputs, c.Instance.Inputs)...)
	p.masks.add(plugin.SecretValues(d.BindInputs, c.Binding.Inputs)...)
	inputs := d.ProvisionInputs
	if c.BindingID != "" {
		inputs = d.BindInputs
	}
	p.masks.add(plugin.SecretValues(inputs, c.Inputs)...)
}

// received is one turn of the stream: an event, or its end.
type received struct {
	event *pluginpb.Event
	err   error
}

// receive opens the stream and passes on what comes until its end.
func (r *running) receive(ctx context.Context, to chan<- received) {
	stream, err := r.open(ctx)
	for err == nil {
		var event *pluginpb.Event
		if event, err = stream.Recv(); err == nil {
			to <- received{event: event}
		}
	}
	to <- received{err: err}
}

func (r *running) open(ctx context.Context) (grpc.ServerStreamingClient[pluginpb.Event], error) {
	switch r.call.Verb {
	case core.VerbProvision:
		return r.p.rpc.Provision(ctx, instanceRequest(r.id, r.call))
	case core.VerbAdopt:
		return r.p.rpc.Adopt(ctx, instanceRequest(r.id, r.call))
	case core.VerbUpdate:
		return r.p.rpc.Update(ctx, instanceRequest(r.id, r.call))
	case core.VerbDeprovision:
		return r.p.rpc.Deprovision(ctx, instanceRequest(r.id, r.call))
	case core.VerbBind:
		return r.p.rpc.Bind(ctx, bindingRequest(r.id, r.call))
	case core.VerbUnbind:
		return r.p.rpc.Unbind(ctx, bindingRequest(r.id, r.call))
	}
	r.arrived.Store(true) // nothing was sent
	return nil, fmt.Errorf("unknown verb %q", r.call.Verb)
}

// follow waits for the stream's end and sees to it that there is one.
func (r *running) follow(stream context.Context, end func()) outcome {
	turns := make(chan received)
	receiver := make(chan struct{}) // closed when receive has returned
	go func() {
		defer close(receiver)
		r.receive(stream, turns)
	}()
	defer func() { <-receiver }()

	silence := time.NewTimer(r.timeout)
	defer silence.Stop()
	patience := r.p.host.cfg.Timing.CancelGrace
	grace := time.NewTimer(0) // runs from Cancel, or from the last event, to the kill
	<-grace.C
	defer grace.Stop()
	defer r.progress.stop()
	done, exited := r.ctx.Done(), r.p.child.exited
	var asking chan struct{} // closed when Cancel was answered
	defer func() {
		if asking != nil {
			<-asking
		}
	}()
	cancel := func(why string) {
		if r.why == "" {
			r.why = why
			asking = make(chan struct{})
			go func() {
				defer close(asking)
				r.sendCancel(stream)
			}()
			if errors.Is(context.Cause(r.ctx), core.ErrLeaseEnding) {
				patience = r.p.host.cfg.Timing.LeaseGrace
			}
			grace.Reset(patience)
		}
		done = nil
		silence.Stop()
	}
	for {
		select {
		case t := <-turns:
			if t.err != nil {
				return r.ended(t.err)
			}
			if r.take(t.event) { // the handler has to return now
				done = nil
				silence.Stop()
				grace.Reset(patience)
			} else if r.why == "" && r.outcome == nil {
				silence.Reset(r.timeout)
			}
		case <-r.progress.due():
			r.progress.flush()
		case <-done:
			cancel("its caller cancelled it: " + context.Cause(r.ctx).Error())
		case <-silence.C:
			cancel(fmt.Sprintf("it gave no event for %s", r.timeout))
		case <-exited: // what it sent before its end is still on the way; if that never ends, we end it
			exited = nil
			defer time.AfterFunc(2*time.Second, end).Stop()
		case <-grace.C:
			r.p.kill(fmt.Sprintf("a call (%s, operation %s) did not return within %s after its end was asked for or told",
				r.call.Verb, r.call.OperationID, patience))
		}
	}
}

// take looks at an event; true if it is the one that ends the call.
func (r *running) take(e *pluginpb.Event) bool {
	if r.outcome != nil {
		r.p.log.Warn("the plugin sent an event after the one that ends a call; it is ignored", "operation_id", r.call.OperationID)
		return false
	}
	if progress := progressOf(e); progress != nil {
		progress.Text = r.p.masks.mask(progress.Text)
		r.progress.take(*progress)
		return false
	}
	out := outcomeOf(r.call.Verb, e)
	switch r.call.Verb {
	case core.VerbProvision, core.VerbUpdate, core.VerbAdopt:
		r.p.masks.add(plugin.SecretValues(r.p.desc.InstanceOutputs, out.result.Outputs)...)
	case core.VerbBind:
		r.p.masks.add(plugin.SecretValues(r.p.desc.BindingOutputs, out.result.Outputs)...)
	}
	r.outcome = &out
	return true
}

// sendCancel asks the plugin to end the call. An answer is not needed: the stream's end is what counts.
func (r *running) sendCancel(ctx context.Context) {
	ctx, end := context.WithTimeout(ctx, r.p.host.cfg.Timing.CancelGrace)
	defer end()
	if _, err := r.p.rpc.Cancel(ctx, &pluginpb.CancelRequest{CallId: r.id}); err != nil && ctx.Err() == nil {
		r.p.log.Warn("the plugin could not be asked to cancel a call", "operation_id", r.call.OperationID, "error", err)
	}
}

// ended is called at the stream's end and gives the call's outcome.
func (r *running) ended(err error) outcome {
	if !r.arrived.Load() { // gRPC ended the stream, not the plugin: its handler may still run
		if !r.p.gone(time.Second) {
			r.p.kill(fmt.Sprintf("the stream of a call (%s, operation %s) broke: %v", r.call.Verb, r.call.OperationID, err))
			<-r.p.child.exited
		}
	}
	r.progress.flush()
	if r.outcome != nil && r.outcome.err == nil {
		return *r.outcome // success is success, whatever happened around it
	}
	return outcome{err: r.p.masked(r.failure(err))}
}

func (r *running) failure(err error) *core.Error {
	var own *core.Error
	switch {
	case r.outcome != nil:
		own = r.outcome.err
	case !r.arrived.Load():
		own = unavailable(0, fmt.Sprintf("plugin %s %s%s", Prefix+r.p.want.cfg.Plugin, r.p.death(), r.p.lastWords()))
	case errors.Is(err, io.EOF):
		own = broken("the stream ended without a result").err
	default:
		own = statusError(err)
	}
	if r.why == "" {
		return own
	}
	// The plugin's own words are how it gave the work up; a time-out is worth a retry.
	if r.ctx.Err() == nil {
		e := unavailable(0, fmt.Sprintf("the call was cancelled, since %s; then: %s", r.why, own))
		e.InstanceUsable = own.InstanceUsable
		return e
	}
	e := cancelled(r.ctx, "the call ended with: "+own.Error())
	e.InstanceUsable = own.InstanceUsable
	return e
}

// throttle passes progress on, at most one event in every; the last one is never lost.
type throttle struct {
	every   time.Duration
	deliver func(core.Progress)
	waiting *core.Progress
	timer   *time.Timer // runs while nothing may be delivered
}

func (t *throttle) take(p core.Progress) {
	if t.timer != nil {
		t.waiting = &p
		return
	}
	t.deliver(p)
	t.timer = time.NewTimer(t.every)
}

// due is ready when the next event may be delivered.
func (t *throttle) due() <-chan time.Time {
	if t.timer == nil {
		return nil
	}
	return t.timer.C
}

// flush delivers what waits.
func (t *throttle) flush() {
	t.stop()
	if p := t.waiting; p != nil {
		t.waiting = nil
		t.take(*p)
	}
}

func (t *throttle) stop() {
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}
