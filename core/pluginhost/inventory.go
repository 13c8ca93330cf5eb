package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chandler-broker/chandler/core"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

var _ core.Inventory = (*Host)(nil)

// Inspect implements core.Inventory. It takes a slot as a call on an instance does, and
// ends at the time without an event that verbs have.
func (h *Host) Inspect(ctx context.Context, call core.InspectCall) (core.Inspection, error) {
	if err := checkCall(core.Call{Instance: call.Applied}); err != nil {
		return core.Inspection{}, err
	}
	return onProcess(ctx, h, call.Backend, kindInstance, func(p *process) (core.Inspection, error) {
		held := p.hide(core.Call{Instance: call.Applied, Secrets: call.Secrets})
		defer func() { p.masks.release(held) }()
		answer, err := question(ctx, p, core.CapabilityInspect, func(ctx context.Context) (*pluginpb.InspectResponse, error) {
			return p.rpc.Inspect(ctx, &pluginpb.InspectRequest{InstanceId: call.InstanceID, Applied: applied(call.Applied)})
		})
		if err != nil {
			return core.Inspection{}, err
		}
		held = append(held, p.masks.hold(p.marks.instance.Values(answer.GetOutputs())...)...)
		got, broke := inspection(answer)
		if broke != nil {
			return core.Inspection{}, p.masked(broke)
		}
		for i := range got.Drift {
			got.Drift[i].Message = p.masks.mask(got.Drift[i].Message)
		}
		return got, nil
	})
}

// List implements core.Inventory.
func (h *Host) List(ctx context.Context, backend, page string) (core.FoundPage, error) {
	return onProcess(ctx, h, backend, kindInstance, func(p *process) (core.FoundPage, error) {
		answer, err := question(ctx, p, core.CapabilityList, func(ctx context.Context) (*pluginpb.ListResponse, error) {
			return p.rpc.List(ctx, &pluginpb.ListRequest{PageToken: page, PageSize: pageSize})
		})
		if err != nil {
			return core.FoundPage{}, err
		}
		got, broke := foundPage(answer)
		if broke != nil {
			return core.FoundPage{}, p.masked(broke)
		}
		return got, nil
	})
}

// pageSize is how many things the host asks for at once.
const pageSize = 100

// onProcess runs fn with a slot of the process that serves the backend.
func onProcess[T any](ctx context.Context, h *Host, name string, kind int, fn func(*process) (T, error)) (none T, err error) {
	b := h.backend(name)
	if b == nil {
		return none, unavailable(0, fmt.Sprintf("no backend %q is configured, and no plugin of that name is installed", name))
	}
	for {
		p, err := b.ready(ctx)
		if err != nil {
			return none, err
		}
		switch err := p.slots.acquire(ctx, kind); {
		case errors.Is(err, errMoved):
			continue // a newer process serves, or will
		case err != nil:
			return none, cancelled(ctx, "it waited for a free slot of the backend")
		}
		defer p.slots.release(kind)
		if ctx.Err() != nil { // it ended at the same moment
			return none, cancelled(ctx, "it was not begun")
		}
		if h.lapsed() {
			return none, unavailable(0, lapsedWhy)
		}
		return fn(p)
	}
}

// question makes one call without events. It changes nothing at the backend, so it
// may return before the plugin's handler has.
func question[T any](ctx context.Context, p *process, capability string, ask func(context.Context) (T, error)) (none T, err error) {
	if err := p.capable(capability); err != nil {
		return none, err
	}
	within := time.Duration(p.callTimeout.Load())
	traced, _ := withRPC(ctx)
	limited, end := context.WithTimeoutCause(traced, within, fmt.Errorf("it gave no answer for %s", within))
	defer end()
	answer, err := ask(limited)
	if err == nil {
		return answer, nil
	}
	if ctx.Err() != nil {
		return none, cancelled(ctx, "the question ended with: "+userText(err.Error()))
	}
	return none, p.masked(questionError(err))
}

// capable refuses what the plugin did not announce.
func (p *process) capable(capability string) error {
	if p.desc.Can(capability) {
		return nil
	}
	return backendError(core.CodeUnprocessable, fmt.Sprintf("The plugin of the backend %q cannot %s.", p.want.cfg.Name, capability),
		fmt.Sprintf("plugin %s %s does not have the capability %q", p.desc.Plugin, p.desc.Version, capability))
}

// masked takes secrets out of an error's texts.
func (p *process) masked(e *core.Error) *core.Error {
	e.Detail = p.masks.mask(e.Detail)
	e.Message = p.masks.mask(e.Message)
	for i := range e.Violations {
		e.Violations[i].Message = p.masks.mask(e.Violations[i].Message)
	}
	return e
}
