package plugintest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	hplugin "github.com/hashicorp/go-plugin"

	"github.com/chandler-broker/chandler/core/plugin"
	pluginpb "github.com/chandler-broker/chandler/core/plugin/proto"
)

// startTimeout bounds the time until the handshake, and that until Describe is answered.
const startTimeout = 30 * time.Second

// process is one running plugin, in a process group of its own.
type process struct {
	client   *hplugin.Client
	rpc      pluginpb.PluginClient
	pid      int
	lifeline *os.File // write end
	killed   atomic.Bool
}

// start starts the plugin as the broker does, up to the handshake.
func (t *trial) start() *process {
	p, err := t.launch()
	if err != nil {
		t.fatalf("the plugin did not start: %v", err)
	}
	t.cleanup(func() {
		if p != t.shared {
			p.kill()
		}
	})
	return p
}

func (t *trial) launch() (*process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	sockets, err := os.MkdirTemp(t.directory, "s")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(t.config.Command[0], t.config.Command[1:]...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.directory, "TMPDIR=" + t.directory,
		plugin.LifelineEnv + "=3", hplugin.EnvUnixSocketDir + "=" + sockets, plugin.LogLevelEnv + "=trace"}
	for name, value := range t.config.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.ExtraFiles = []*os.File{read}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	client := hplugin.NewClient(&hplugin.ClientConfig{
		HandshakeConfig:  plugin.Handshake,
		VersionedPlugins: plugin.PluginSets(),
		AllowedProtocols: []hplugin.Protocol{hplugin.ProtocolGRPC},
		Cmd:              cmd,
		AutoMTLS:         !t.config.WithoutMTLS,
		SkipHostEnv:      true,
		StartTimeout:     startTimeout,
		Logger:           hclog.NewNullLogger(),
		Stderr:           t.transcript.writer("standard error"),
		SyncStdout:       t.transcript.writer("standard output"),
		SyncStderr:       t.transcript.writer("standard error"),
	})
	p := &process{client: client, lifeline: write}
	if err := p.connect(cmd); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

func (p *process) connect(cmd *exec.Cmd) error {
	_, err := p.client.Start()
	if cmd.Process != nil {
		p.pid = cmd.Process.Pid
	}
	if err != nil {
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
		return fmt.Errorf("go-plugin gave a %T", raw)
	}
	p.rpc = rpc
	return nil
}

// alive tells whether the process has not ended yet.
func (p *process) alive() bool { return !p.client.Exited() }

// kill ends the process and all that it started, as kill -9 does, and waits for that.
func (p *process) kill() {
	p.killed.Store(true)
	if p.pid > 0 {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	}
	p.client.Kill()
	_ = p.lifeline.Close()
}

// endOfGroup waits until nothing of the process group runs any more; it names what does after the time-out.
func (p *process) endOfGroup(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left := groupMembers(p.pid)
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s these processes still run: %s", within, strings.Join(left, ", "))
		case <-tick.C:
		}
	}
}

// groupMembers lists the live processes of a process group, "pid (command)". Zombies
// are dead: who should reap them is not the plugin's affair.
func groupMembers(pgid int) []string {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	if len(stats) == 0 { // no /proc: not Linux
		if err := syscall.Kill(-pgid, 0); errors.Is(err, syscall.ESRCH) {
			return nil
		}
		return []string{strconv.Itoa(pgid)}
	}
	var members []string
	for _, file := range stats {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// pid (command) state ppid pgrp …; the command may hold anything.
		text := string(raw)
		end := strings.LastIndex(text, ")")
		fields := strings.Fields(text[end+1:])
		if end < 0 || len(fields) < 3 || fields[0] == "Z" || fields[0] == "X" || fields[2] != strconv.Itoa(pgid) {
			continue
		}
		members = append(members, text[:end+1])
	}
	return members
}

// dataDirectory is the backend's, the same for all processes of the run.
func (s *suite) dataDirectory() string {
	dir := filepath.Join(s.directory, "data")
	_ = os.MkdirAll(dir, 0o700) // the plugin says so if it is not there
	return dir
}
