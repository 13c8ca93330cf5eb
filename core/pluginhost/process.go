package pluginhost

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/plugin"
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

// secretEnv are the variables whose names say that they hold secrets.
func secretEnv(env map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range env {
		upper := strings.ToUpper(name)
		for _, word := range []string{"SECRET", "PASSWORD", "TOKEN", "KEY", "CREDENTIAL"} {
			if strings.Contains(upper, word) {
				out[name] = value
			}
		}
	}
	return out
}

// start executes the copy and goes through go-plugin's handshake.
func (p *process) start(ctx context.Context) (err error) {
	t := p.host.cfg.Timing
	ctx, cancel := context.WithTimeout(ctx, t.Start)
	defer cancel()
	data, err := p.host.dataDir(p.want.cfg.Name)
	if err == nil {
		p.tmp, err = os.MkdirTemp(p.host.tmpDir(), "")
	}
	if err != nil {
		p.out.close()
		return p.crashed("its directories could not be made: %v", err)
	}
	p.child.dir = data
	p.child.env = p.environment(data)
	p.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  plugin.Handshake,
		VersionedPlugins: plugin.PluginSets(),
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS:         p.child.mtls,
		SkipHostEnv:      true,
		StartTimeout:     t.Start,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: p.host.cfg.SocketDir},
		SyncStdout:       &lineWriter{out: p.out, stream: streamStdout},
		SyncStderr:       &lineWriter{out: p.out, stream: streamStderr},
		Logger:           hclog.NewNullLogger(),
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error) {
			p.child.env = append(p.child.env, cmd.Env...)
			p.child.socketDir = socketDir
			return p.child, nil
		},
		GRPCDialOptions: p.dialOptions(),
	})
	defer context.AfterFunc(ctx, func() { p.kill("it did not shake hands within " + t.Start.String()) })()
	if err := p.handshake(); err != nil {
		p.stop()
		return p.startFailed(err)
	}
	p.watching.Go(p.watch)
	p.log = p.log.With("pid", p.child.Pid())
	p.log.Info("plugin process started", "digest", p.want.bin.digest)
	return nil
}

func (p *process) handshake() error {
	if _, err := p.client.Start(); err != nil {
		return err
	}
	protocol, err := p.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(plugin.ServiceName)
	if err != nil {
		return err
	}
	rpc, ok := raw.(pluginpb.PluginClient)
	if !ok {
		return errors.New("go-plugin gave no plugin client")
	}
	p.rpc = rpc
	return nil
}

// environment is all that the plugin sees; go-plugin adds its handshake's variables.
func (p *process) environment(data string) []string {
	env := map[string]string{
		"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG": "C.UTF-8", "HOME": data, "TMPDIR": p.tmp,
	}
	if tz, ok := os.LookupEnv("TZ"); ok {
		env["TZ"] = tz
	}
	if !p.log.Enabled(context.Background(), slog.LevelDebug) {
		env[plugin.LogLevelEnv] = "info"
	}
	maps.Copy(env, p.want.cfg.Env)
	env[markEnv] = p.child.mark
	var out []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// startFailed explains why there was no handshake; the process is over already.
func (p *process) startFailed(err error) error {
	if p.child.Pid() == 0 {
		return p.crashed("could not be executed: %v%s", p.child.err, executionHint(p.child.err))
	}
	if why := p.killedWhy(); why != "" {
		return p.crashed("was killed, since %s", why)
	}
	if !p.child.killedByHost() {
		return p.crashed("%s before the handshake", p.child.ending())
	}
	return p.crashed("failed the handshake: %s", strings.TrimSpace(firstLine(err.Error())))
}

// executionHint says what to look for when the kernel refuses to execute.
func executionHint(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES):
		return " (is the state directory mounted noexec?)"
	case errors.Is(err, syscall.ENOEXEC):
		return " (it is not made for this machine, or a script without its first line #!)"
	case errors.Is(err, syscall.ENOENT):
		return " (its interpreter or dynamic loader is not here)"
	}
	return ""
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
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

// describe asks the plugin what it is.
func (p *process) describe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.host.cfg.Timing.Describe)
	defer cancel()
	answer, err := p.rpc.Describe(ctx, &pluginpb.DescribeRequest{BrokerVersion: p.host.cfg.BrokerVersion})
	if err != nil {
		return p.rpcFailed(ctx, "Describe", err)
	}
	d, err := description(answer)
	if err != nil {
		return p.crashed("describes itself wrongly: %v", err)
	}
	if d.Plugin != p.want.cfg.Plugin {
		p.log.Warn("the plugin gives itself another name than its file has", "name", d.Plugin)
	}
	p.setDescription(d)
	return nil
}

func (p *process) setDescription(d core.Description) {
	p.desc = d
	p.marks = newMarks(d)
	p.masks.hold(plugin.SecretValues(d.ConfigSchema, p.want.cfg.Config)...)
	p.setLimits(p.want.cfg.Limits)
}

// configure hands over the backend's configuration.
func (p *process) configure(ctx context.Context) error {
	cfg := p.want.cfg
	if p.want.implicit && p.desc.RequiresConfiguration {
		return &startError{kind: kindUnconfigured, desc: &p.desc,
			err: fmt.Errorf("plugin %s needs a configuration: list a backend that uses it", Prefix+cfg.Plugin)}
	}
	wrong, err := plugin.Violations(p.desc.ConfigSchema, cfg.Config)
	if err != nil {
		return p.crashed("describes itself wrongly: config_schema: %v", err)
	}
	if len(wrong) > 0 {
		var texts []string
		for _, v := range wrong {
			texts = append(texts, fmt.Sprintf("%q: %s", v.Pointer, v.Message))
		}
		return &startError{kind: kindInvalid, desc: &p.desc, err: fmt.Errorf("the configuration of backend %q is wrong: %s",
			cfg.Name, p.masks.mask(strings.Join(texts, "; ")))}
	}
	ctx, cancel := context.WithTimeout(ctx, p.host.cfg.Timing.Configure)
	defer cancel()
	answer, err := p.rpc.Configure(ctx, &pluginpb.ConfigureRequest{Backend: cfg.Name, Config: cfg.Config, DataDirectory: p.child.dir})
	switch s := status.Convert(err); {
	case err == nil:
		if answer.Isolated != nil {
			p.desc.Isolated = *answer.Isolated
		}
		return nil
	case s.Code() == codes.InvalidArgument:
		return &startError{kind: kindInvalid, desc: &p.desc,
			err: fmt.Errorf("the configuration of backend %q is wrong: %s", cfg.Name, p.masks.mask(s.Message()))}
	case s.Code() == codes.Unavailable && ctx.Err() == nil && !p.gone(settle):
		return &startError{kind: kindUnavailable, desc: &p.desc,
			err: fmt.Errorf("backend %q cannot be reached: %s", cfg.Name, p.masks.mask(s.Message()))}
	}
	failed := p.rpcFailed(ctx, "Configure", err)
	failed.desc = &p.desc
	return failed
}

// rpcFailed explains the failure of Describe or Configure.
func (p *process) rpcFailed(ctx context.Context, name string, err error) *startError {
	switch {
	case p.gone(settle):
		return p.crashed("%s during %s", p.death(), name)
	case ctx.Err() != nil:
		return p.crashed("did not answer %s in time", name)
	}
	return p.crashed("answered %s with %s", name, p.masks.mask(status.Convert(err).Message()))
}

// gone waits a moment and tells whether the process has ended.
func (p *process) gone(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-p.child.exited:
		return true
	case <-timer.C:
		return false
	}
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

// watch asks for Health until the process ends; one that does not answer is killed, and
// so is one whose connection broke: nobody could tell any more whether its calls have returned.
func (p *process) watch() {
	defer p.cutCalls()
	t := p.host.cfg.Timing
	tick := time.NewTicker(t.HealthInterval)
	defer tick.Stop()
	for failures := 0; ; {
		select {
		case <-p.child.exited:
			return
		case <-p.connection.lost:
			p.slots.close()
			if !p.gone(time.Second) && !p.connection.closing.Load() {
				p.kill("its connection broke")
			}
			<-p.child.exited
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), t.HealthTimeout)
		_, err := p.rpc.Health(ctx, &pluginpb.HealthRequest{})
		cancel()
		if err == nil || status.Code(err) == codes.Unimplemented {
			failures = 0
			continue
		}
		if failures++; failures >= t.HealthFailures {
			p.kill(fmt.Sprintf("it did not answer Health %d times in a row", failures))
		}
	}
}

// cutCalls ends the streams of calls after the process's end. What it sent before is still on the
// way; only where something else holds its connection open do they not end by themselves.
func (p *process) cutCalls() {
	select {
	case <-p.slots.idle:
		return
	case <-time.After(2 * time.Second):
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.calls {
		r.end()
	}
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
