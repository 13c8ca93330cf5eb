package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/chandler-broker/chandler/core"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// follow makes the call and sees to it that it ends. It reads the stream itself, so that a call
// costs no goroutine; what else can happen meanwhile comes from timers and the caller's context.
func (r *running) follow() outcome {
	r.mu.Lock()
	r.expect(r.timeout)
	r.mu.Unlock()
	unhook := context.AfterFunc(r.ctx, func() { r.cancel("its caller cancelled it: " + context.Cause(r.ctx).Error()) })
	defer unhook()
	events, err := r.open()
	for err == nil {
		var event *pluginpb.Event
		if event, err = events.Recv(); err == nil {
			r.take(event)
		}
	}
	r.close()
	return r.ended(err)
}

func (r *running) open() (grpc.ServerStreamingClient[pluginpb.Event], error) {
	switch r.call.Verb {
	case core.VerbProvision:
		return r.p.rpc.Provision(r.stream, instanceRequest(r.id, r.call))
	case core.VerbAdopt:
		return r.p.rpc.Adopt(r.stream, instanceRequest(r.id, r.call))
	case core.VerbUpdate:
		return r.p.rpc.Update(r.stream, instanceRequest(r.id, r.call))
	case core.VerbDeprovision:
		return r.p.rpc.Deprovision(r.stream, instanceRequest(r.id, r.call))
	case core.VerbBind:
		return r.p.rpc.Bind(r.stream, bindingRequest(r.id, r.call))
	case core.VerbUnbind:
		return r.p.rpc.Unbind(r.stream, bindingRequest(r.id, r.call))
	}
	r.rpc.arrived.Store(true) // nothing was sent
	return nil, fmt.Errorf("unknown verb %q", r.call.Verb)
}

// expect sets the time by which the next thing must happen; r.mu is held.
func (r *running) expect(within time.Duration) {
	r.deadline = time.Now().Add(within)
	if r.timer == nil {
		r.timer = time.AfterFunc(within, r.due)
	} else {
		r.timer.Reset(within)
	}
}

// due is called when the time is up: for an event, or for the end.
func (r *running) due() {
	r.mu.Lock()
	ending := r.why != "" || r.outcome != nil
	early := r.over || time.Now().Before(r.deadline) // it was set anew at the same moment
	r.mu.Unlock()
	switch {
	case early:
	case ending:
		r.p.kill(fmt.Sprintf("a call (%s, operation %s) did not return within %s after its end was asked for or told",
			r.call.Verb, r.call.OperationID, r.patience()))
	default:
		r.cancel(fmt.Sprintf("it gave no event for %s", r.timeout))
	}
}

// patience is how long the plugin has to end the call.
func (r *running) patience() time.Duration {
	if errors.Is(context.Cause(r.ctx), core.ErrLeaseEnding) {
		return r.p.host.cfg.Timing.LeaseGrace
	}
	return r.p.host.cfg.Timing.CancelGrace
}

// cancel asks the plugin to end the call, unless it has said already how it ended.
func (r *running) cancel(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over || r.outcome != nil || r.why != "" {
		return
	}
	r.why = why
	r.expect(r.patience())
	r.asking.Go(r.sendCancel)
}

// take looks at an event.
func (r *running) take(e *pluginpb.Event) {
	if progress := progressOf(e); progress != nil {
		progress.Text = r.p.masks.mask(progress.Text)
		r.progress.take(*progress)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.why == "" && r.outcome == nil {
			r.expect(r.timeout)
		}
		return
	}
	out := outcomeOf(r.call.Verb, e)
	switch r.call.Verb {
	case core.VerbProvision, core.VerbUpdate, core.VerbAdopt:
		r.hide(r.p.marks.instance.Values(out.result.Outputs)...)
	case core.VerbBind:
		r.hide(r.p.marks.binding.Values(out.result.Outputs)...)
	}
	if out.result.Pending != nil {
		out.result.Pending.Text = r.p.masks.mask(out.result.Pending.Text)
	}
	for i, left := range out.result.Left {
		out.result.Left[i] = r.p.masks.mask(left)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcome != nil {
		r.p.log.Warn("the plugin sent an event after the one that ends a call; it is ignored", "operation_id", r.call.OperationID)
		return
	}
	r.outcome = &out
	r.expect(r.patience()) // the handler has to return now
}

// close is called when the stream has ended: nothing is expected any more.
func (r *running) close() {
	r.mu.Lock()
	r.over = true
	r.timer.Stop()
	r.mu.Unlock()
	r.end()
	r.asking.Wait()
}

// sendCancel asks the plugin to end the call. An answer is not needed: the stream's end is what counts.
func (r *running) sendCancel() {
	own, _ := withRPC(r.stream) // else its trailer would be taken for the stream's
	ctx, end := context.WithTimeout(own, r.p.host.cfg.Timing.CancelGrace)
	defer end()
	if _, err := r.p.rpc.Cancel(ctx, &pluginpb.CancelRequest{CallId: r.id}); err != nil && ctx.Err() == nil {
		r.p.log.Warn("the plugin could not be asked to cancel a call", "operation_id", r.call.OperationID, "error", err)
	}
}

// ended is called at the stream's end and gives the call's outcome.
func (r *running) ended(err error) outcome {
	if !r.rpc.arrived.Load() { // gRPC ended the stream, not the plugin: its handler may still run
		if !r.p.gone(time.Second) {
			r.p.kill(fmt.Sprintf("the stream of a call (%s, operation %s) broke: %v", r.call.Verb, r.call.OperationID, err))
			<-r.p.child.exited
		}
	}
	r.progress.finish()
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
	case !r.rpc.arrived.Load():
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
