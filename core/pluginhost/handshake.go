package pluginhost

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

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
