package plugintest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// operation is one operation of the broker: its calls share id, seed and inputs.
type operation struct {
	verb              string
	instance, binding string // ids; binding is "" for instance verbs
	id                string
	seed              []byte
	inputs            json.RawMessage
	handle            []byte
	onInstance        *pluginpb.Applied // of the instance
	applied           *pluginpb.Applied // of the binding
	attempted         []*pluginpb.Attempt
	check             bool
}

// again is another operation that asks for the same.
func (o *operation) again() *operation {
	c := *o
	c.id, c.seed, c.handle = "op-"+randomID(), random(32), nil
	return &c
}

// attempt is how a later operation hears of this one, when it did not finish.
func (o *operation) attempt() *pluginpb.Attempt {
	return &pluginpb.Attempt{OperationId: o.id, Verb: o.verb, Inputs: o.inputs, Handle: o.handle}
}

// outcome is how one call ended: one of done, pending, failure and status is set.
type outcome struct {
	done       *pluginpb.Done
	pending    *pluginpb.Pending
	failure    *pluginpb.Error
	status     error    // the stream's status, if there was no last event
	violations []string // of the rules for streams
}

func (o outcome) String() string {
	switch {
	case o.done != nil:
		return "done"
	case o.pending != nil:
		return "pending"
	case o.failure != nil:
		return fmt.Sprintf("error %s at %q: %s (%s)", o.failure.GetCode(), o.failure.GetPointer(), o.failure.GetMessage(), o.failure.GetDetail())
	}
	return fmt.Sprintf("status %v", o.status)
}

// running is one call in flight.
type running struct {
	t       *trial
	verb    string
	process *process
	callID  string
	end     context.CancelFunc
	first   chan struct{} // closed at the first event, or at the end
	ended   chan outcome
}

// begin starts a call; finish or abandon must follow.
func (t *trial) begin(p *process, o *operation) *running {
	t.fences++
	return t.beginFenced(p, o, t.fences)
}

func (t *trial) beginFenced(p *process, o *operation, fence int64) *running {
	ctx, cancel := context.WithTimeout(t.ctx, t.config.Timeout)
	r := &running{t: t, verb: o.verb, process: p, callID: randomID(), end: cancel, first: make(chan struct{}), ended: make(chan outcome, 1)}
	d := t.description
	t.transcript.hide(secretsOf(d.GetProvisionInputsSchema(), o.inputs)...)
	t.transcript.hide(secretsOf(d.GetBindInputsSchema(), o.inputs)...)
	go r.receive(ctx, o, fence)
	return r
}

// finish waits for the end of the call.
func (r *running) finish() outcome {
	out := <-r.ended
	r.end()
	for _, v := range out.violations {
		r.t.errorf("%s: %s", r.verb, v)
	}
	return out
}

// call makes one call and waits for its end.
func (t *trial) call(p *process, o *operation) outcome { return t.begin(p, o).finish() }

// cancel asks the plugin to end the call and waits for that.
func (r *running) cancel() outcome {
	t := r.t
	ctx, end := context.WithTimeout(t.ctx, t.config.CancelWithin)
	defer end()
	if _, err := r.process.rpc.Cancel(ctx, &pluginpb.CancelRequest{CallId: r.callID}); err != nil {
		t.errorf("Cancel: %v", err)
	}
	select {
	case out := <-r.ended:
		r.ended <- out
	case <-ctx.Done():
		r.process.kill() // as the broker does
		r.finish()
		t.fatalf("%s did not return within %s after it was cancelled; the broker kills the process then", r.verb, t.config.CancelWithin)
	}
	return r.finish()
}

func (r *running) receive(ctx context.Context, o *operation, fence int64) {
	first := r.first
	var out outcome
	stream, err := open(ctx, r.process.rpc, o, r.callID, fence)
	for err == nil {
		var event *pluginpb.Event
		if event, err = stream.Recv(); err == nil {
			r.take(o, event, &out)
		}
		if first != nil {
			close(first)
			first = nil
		}
	}
	if first != nil {
		close(first)
	}
	last := out.done != nil || out.pending != nil || out.failure != nil
	switch {
	case errors.Is(err, io.EOF) && !last:
		out.status = status.Error(codes.Internal, "the stream ended without a last event")
		out.violations = append(out.violations, "the stream ended with status OK, but without done, pending or error")
	case !errors.Is(err, io.EOF) && last && !r.process.killed.Load() && ctx.Err() == nil:
		out.violations = append(out.violations, fmt.Sprintf("after its last event the stream ended with the status %v", err))
	case !last:
		out.status = err
		r.t.transcript.add("status of "+o.verb, err.Error())
	}
	r.ended <- out
}

func open(ctx context.Context, rpc pluginpb.PluginClient, o *operation, callID string, fence int64) (grpc.ServerStreamingClient[pluginpb.Event], error) {
	if o.binding != "" {
		in := &pluginpb.BindingRequest{
			InstanceId: o.instance, BindingId: o.binding, OperationId: o.id, Inputs: o.inputs, Instance: o.onInstance,
			Applied: o.applied, Attempted: o.attempted, Handle: o.handle, Fence: fence, Seed: o.seed, CallId: callID,
		}
		if o.verb == "bind" {
			return rpc.Bind(ctx, in)
		}
		return rpc.Unbind(ctx, in)
	}
	in := &pluginpb.InstanceRequest{
		InstanceId: o.instance, OperationId: o.id, Inputs: o.inputs, Applied: o.onInstance, Attempted: o.attempted,
		Handle: o.handle, Fence: fence, Seed: o.seed, Check: o.check, CallId: callID,
	}
	switch o.verb {
	case "provision":
		return rpc.Provision(ctx, in)
	case "update":
		return rpc.Update(ctx, in)
	case "adopt":
		return rpc.Adopt(ctx, in)
	}
	return rpc.Deprovision(ctx, in)
}

// take looks at one event.
func (r *running) take(o *operation, event *pluginpb.Event, out *outcome) {
	wrong := func(format string, args ...any) {
		out.violations = append(out.violations, fmt.Sprintf(format, args...))
	}
	if out.done != nil || out.pending != nil || out.failure != nil {
		wrong("an event follows the last one (%s)", out)
		return
	}
	log := r.t.transcript
	switch e := event.GetEvent().(type) {
	case *pluginpb.Event_Progress:
		log.add("progress", e.Progress.GetText()+"\n")
		if e.Progress.GetPercent() > 100 {
			wrong("progress of %d percent", e.Progress.GetPercent())
		}
	case *pluginpb.Event_Pending:
		out.pending = e.Pending
		log.add("progress", e.Pending.GetText()+"\n")
		if n := len(e.Pending.GetHandle()); n > plugin.MaxDocument {
			wrong("a handle of %d bytes; at most %d are allowed", n, plugin.MaxDocument)
		}
		if e.Pending.GetRetryAfter().AsDuration() < 0 {
			wrong("a negative retry_after")
		}
	case *pluginpb.Event_Done:
		out.done = e.Done
		out.violations = append(out.violations, r.t.checkDone(o.verb, e.Done)...)
	case *pluginpb.Event_Error:
		out.failure = e.Error
		log.add("error messages", e.Error.GetMessage()+"\n"+e.Error.GetDetail()+"\n")
		if e.Error.GetMessage() == "" {
			wrong("an error without a message for the user")
		}
	default:
		wrong("an event without content")
	}
}

// settle repeats the call until the operation is over, as the broker does.
func (t *trial) settle(p *process, o *operation) outcome {
	deadline := time.Now().Add(t.config.Timeout)
	for {
		out := t.call(p, o)
		var after time.Duration
		switch {
		case out.pending != nil:
			o.handle = out.pending.GetHandle()
			after = out.pending.GetRetryAfter().AsDuration()
		case out.failure.GetCode() == pluginpb.Error_CODE_UNAVAILABLE:
			after = max(out.failure.GetRetryAfter().AsDuration(), 50*time.Millisecond)
		default:
			return out
		}
		if time.Now().Add(after).After(deadline) {
			t.fatalf("%s was not over within %s; its last call ended with %s", o.verb, t.config.Timeout, out)
		}
		select {
		case <-time.After(after):
		case <-t.ctx.Done():
			t.fatalf("%s: %v", o.verb, t.ctx.Err())
		}
	}
}

// must settles an operation that has to be done, and gives its outputs.
func (t *trial) must(p *process, o *operation, when string) json.RawMessage {
	out := t.settle(p, o)
	if out.done == nil {
		t.fatalf("%s %s: expected done, got %s", o.verb, when, out)
	}
	return out.done.GetOutputs()
}
