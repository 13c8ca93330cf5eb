package pluginhost

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goplugin "github.com/hashicorp/go-plugin"

	"github.com/chandler-broker/chandler/core"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// process is one running plugin.
type process struct {
	host   *Host
	want   target
	log    *slog.Logger
	child  *child
	client *goplugin.Client
	rpc    pluginpb.PluginClient
	masks  *masker
	out    *output
	slots  *slots
	// connection tells when it broke, and which calls the plugin itself has ended.
	connection *connection
	watching   sync.WaitGroup
	tmp        string // TMPDIR of the process, removed after its end
	since      time.Time

	desc  core.Description
	marks marksOf

	callTimeout atomic.Int64 // Limits.CallTimeout
	nextCall    atomic.Uint64
	mu          sync.Mutex
	calls       map[string]*running // by call id
	killed      string              // why the host killed it; "" if it did not
}

// startProcess starts a plugin and goes through handshake, Describe, Configure and Offerings. On
// an error nothing of the process is left. Without configure it only describes itself.
func (h *Host) startProcess(ctx context.Context, want target, configure bool) (*process, error) {
	p := h.newProcess(want)
	h.mu.Lock()
	h.alive[p] = true
	h.mu.Unlock()
	if err := p.start(ctx); err != nil {
		h.over(p)
		return nil, err
	}
	err := p.describe(ctx)
	if err == nil && configure {
		if err = p.configure(ctx); err == nil {
			err = p.askOfferings(ctx)
		}
		if err == nil && h.cfg.Approve != nil {
			if no := h.cfg.Approve(want.cfg.Name, p.desc); no != nil {
				err = &startError{kind: kindRefused, desc: &p.desc, err: fmt.Errorf("the catalog does not go with this plugin: %w", no)}
			}
		}
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// startError says why a process does not serve.
type startError struct {
	kind startKind
	err  error
	// desc is what the plugin said before; nil if it did not get to that.
	desc *core.Description
}

func (e *startError) Error() string { return e.err.Error() }

func (e *startError) Unwrap() error { return e.err }

// startKind tells causes apart that need different answers.
type startKind int

const (
	kindCrashed      startKind = iota // did not start, died or did not answer
	kindInvalid                       // the configuration is refused
	kindUnavailable                   // the backend cannot be reached now
	kindRefused                       // the digest is not pinned, the catalog does not go with it
	kindUnconfigured                  // needs a configuration and is not listed
)

func (h *Host) newProcess(want target) *process {
	secrets := slices.Concat(want.cfg.Secrets, slices.Collect(maps.Values(secretEnv(want.cfg.Env))))
	p := &process{host: h, want: want, masks: newMasker(secrets), slots: newSlots(), connection: newConnection(), calls: map[string]*running{}, since: h.cfg.Now()}
	p.log = h.cfg.Log.With("backend", want.cfg.Name, "plugin", want.cfg.Plugin)
	p.out = newOutput(p.log, p.masks, p.soleCall)
	mark := make([]byte, 16)
	if _, err := io.ReadFull(h.cfg.Random, mark); err != nil {
		_, _ = rand.Read(mark)
	}
	p.child = newChild()
	p.child.path, p.child.name = want.bin.copy, Prefix+want.cfg.Plugin
	p.child.mark = hex.EncodeToString(mark)
	p.child.atEnd = p.slots.close
	p.child.mtls, p.child.launcher, p.child.guard, p.child.output = want.cfg.mtls(), h.launcher, h.guard, p.out
	return p
}

// crashed makes a startError that ends with the last stderr lines.
func (p *process) crashed(format string, args ...any) *startError {
	return &startError{kind: kindCrashed, err: fmt.Errorf("plugin %s "+format+"%s",
		append(append([]any{Prefix + p.want.cfg.Plugin}, args...), p.lastWords())...)}
}

// lastWords are the last lines of stderr, for errors.
func (p *process) lastWords() string {
	lines := p.out.tail(streamStderr)
	if len(lines) == 0 {
		return "; it wrote nothing to stderr"
	}
	return "; its last words on stderr:\n  " + strings.Join(lines, "\n  ")
}

// death says how the process ended and, if the host did it, why; to be called after the end.
func (p *process) death() string {
	if why := p.killedWhy(); why != "" {
		return "was killed, since " + why
	}
	return p.child.ending()
}

func (p *process) killedWhy() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// kill ends the process and everything that it forked, at once. The first reason stays.
func (p *process) kill(why string) {
	p.mu.Lock()
	if p.killed == "" {
		p.killed = why
	}
	p.mu.Unlock()
	p.slots.close()
	_ = p.child.Kill(context.Background())
}

// stop ends the process: go-plugin's request first, SIGKILL when that takes too long.
// When it returns nothing of the process is left.
func (p *process) stop() {
	p.slots.close()
	stubborn := time.AfterFunc(p.host.cfg.Timing.StopGrace, func() { p.kill("it did not stop when it was asked to") })
	defer stubborn.Stop()
	p.connection.closing.Store(true)
	p.client.Kill() // waits without a deadline: for an answer to Shutdown, then for the end
	if p.child.Pid() != 0 {
		<-p.child.exited
	}
	p.watching.Wait()
	p.out.close()
	p.host.over(p)
	if p.tmp != "" {
		_ = os.RemoveAll(p.tmp)
	}
}

// drain lets running calls finish, then stops. When ctx ends first the calls are cut.
func (p *process) drain(ctx context.Context) {
	p.slots.close()
	select {
	case <-p.slots.idle:
	case <-p.child.exited:
	case <-ctx.Done():
		p.kill("the broker is shutting down")
	}
	p.stop()
}

// soleCall names the operation for lines of a plugin that names none itself, if only one call runs.
func (p *process) soleCall() []slog.Attr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.calls) != 1 {
		return nil
	}
	for _, c := range p.calls {
		attrs := []slog.Attr{slog.String("operation_id", c.call.OperationID), slog.String("instance_id", c.call.InstanceID)}
		if c.call.BindingID != "" {
			attrs = append(attrs, slog.String("binding_id", c.call.BindingID))
		}
		return attrs
	}
	return nil
}

// setLimits changes the backend's limits without a new process.
func (p *process) setLimits(l Limits) {
	p.slots.resize(p.desc.MaxConcurrency, l)
	p.callTimeout.Store(int64(l.CallTimeout))
}
