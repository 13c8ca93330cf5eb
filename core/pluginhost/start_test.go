package pluginhost_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

func TestWhatDoesNotStart(t *testing.T) {
	yes := false
	for _, c := range []struct {
		name, why string
		v         variant
		cfg       pluginhost.BackendConfig
		states    []pluginhost.State
		text      string // part of the status' error
		described bool
	}{
		{name: "dies before the handshake", why: "the last words on stderr are read to their end",
			v: variant{Die: "no license found"}, states: []pluginhost.State{pluginhost.StateRestarting, pluginhost.StateOpen},
			text: "ended with exit status 3 before the handshake; its last words on stderr:\n  no license found"},
		{name: "floods stderr and dies", why: "the end of the flood is what matters",
			v: variant{Die: "the very last line", FloodBeforehand: 20000}, states: []pluginhost.State{pluginhost.StateRestarting, pluginhost.StateOpen},
			text: "the very last line"},
		{name: "no plugin", why: "any executable may lie in the directory",
			v: variant{Garbage: true}, states: []pluginhost.State{pluginhost.StateRestarting, pluginhost.StateOpen}, text: "hello, I am no plugin"},
		{name: "no handshake", why: "a start has a deadline",
			v: variant{Silent: true}, states: []pluginhost.State{pluginhost.StateRestarting, pluginhost.StateOpen}, text: "did not shake hands within 2s"},
		{name: "bad description", why: "the catalog would be checked against nonsense",
			v: variant{BadDescription: true}, states: []pluginhost.State{pluginhost.StateRestarting, pluginhost.StateOpen}, text: "config_schema must be a JSON object"},
		{name: "dies in Describe", why: "it says how",
			v: variant{DieInDescribe: true}, states: []pluginhost.State{pluginhost.StateRestarting, pluginhost.StateOpen}, text: "exit status 5 during Describe"},
		{name: "hangs in Describe", why: "Describe has a deadline",
			v: variant{HangInDescribe: true}, states: []pluginhost.State{pluginhost.StateRestarting, pluginhost.StateOpen}, text: "did not answer Describe in time"},
		{name: "dies in Configure", why: "a crash is no word about the configuration",
			v: variant{DieInConfigure: true}, states: []pluginhost.State{pluginhost.StateRestarting, pluginhost.StateOpen}, text: "exit status 6 during Configure", described: true},
		{name: "invalid configuration", why: "INVALID_ARGUMENT is refused; its secrets are not shown",
			cfg:    pluginhost.BackendConfig{Name: "test", Config: []byte(`{"invalid":"endpoint is no URL, key ","key":"hunter2"}`)},
			states: []pluginhost.State{pluginhost.StateInvalid}, text: "endpoint is no URL, key •••", described: true},
		{name: "configuration against the schema", why: "the contract promises every plugin, in whatever language, a valid configuration",
			cfg:    pluginhost.BackendConfig{Name: "test", Config: []byte(`{"key":5}`)},
			states: []pluginhost.State{pluginhost.StateInvalid}, text: `"/key": `, described: true},
		{name: "unavailable backend", why: "UNAVAILABLE is listed and waits",
			cfg:    pluginhost.BackendConfig{Name: "test", Config: []byte(`{"needs":"/nowhere"}`)},
			states: []pluginhost.State{pluginhost.StateUnavailable}, text: "the backend is not there", described: true},
		{name: "needs a configuration", why: "an unlisted backend of it does not exist",
			v: variant{Requires: true}, states: []pluginhost.State{pluginhost.StateUnconfigured}, text: "needs a configuration"},
		{name: "not pinned", why: "both digests are named",
			cfg:    pluginhost.BackendConfig{Name: "test", SHA256: []string{strings.Repeat("AB", 32)}},
			states: []pluginhost.State{pluginhost.StateRefused}, text: "which backend \"test\" does not allow (sha256: " + strings.Repeat("ab", 32)},
		{name: "not installed", why: "the error names the file and the directory",
			cfg:    pluginhost.BackendConfig{Name: "test", Plugin: "other"},
			states: []pluginhost.State{pluginhost.StateMissing}, text: "there is no chandler-plugin-other in "},
		{name: "TCP or not, mtls false works", why: "the counter-example: a socket in a private directory is enough",
			cfg: pluginhost.BackendConfig{Name: "test", MTLS: &yes}, states: []pluginhost.State{pluginhost.StateRunning}, described: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, func(cfg *pluginhost.Config) {
				cfg.Timing.Start, cfg.Timing.Describe, cfg.Timing.BreakerOpen, cfg.Timing.ReadyWait = 2*time.Second, time.Second, time.Hour, 50*time.Millisecond
			})
			b.install("test", c.v)
			var backends []pluginhost.BackendConfig
			if c.cfg.Name != "" {
				backends = append(backends, c.cfg)
			}
			b.start(backends...)
			s := b.status("test")
			if !slices.Contains(c.states, s.State) || !strings.Contains(s.Error, c.text) {
				t.Errorf("status %+v; want %v with %q: %s", s, c.states, c.text, c.why)
			}
			if s.State != pluginhost.StateRunning {
				b.fails(call("test", do{}), core.CodeUnavailable)
			}
			if _, ok := b.host.Describe("test"); ok != c.described {
				t.Errorf("described: %v; %s", ok, c.why)
			}
		})
	}
}

func TestPinsAllowWhatTheyName(t *testing.T) {
	b := newBed(t)
	sum := sha256.Sum256(b.install("test", variant{}))
	digest := hex.EncodeToString(sum[:])
	b.start(pluginhost.BackendConfig{Name: "test", SHA256: []string{strings.Repeat("ab", 32), strings.ToUpper(digest)}})
	b.ask("test", do{})
	if s := b.status("test"); s.Digest != digest || s.Error != "" {
		t.Errorf("status %+v", s)
	}
	copied := filepath.Join(b.state, "bin", digest, "chandler-plugin-test")
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("the copy: %v %v", info, err)
	}
	t.Run("a pin that is taken away keeps the next process from starting", func(t *testing.T) {
		pid := b.status("test").Pid
		b.set(pluginhost.BackendConfig{Name: "test", SHA256: []string{strings.Repeat("ab", 32)}})
		until(t, "the status says so", func() bool { return strings.Contains(b.status("test").Error, digest) })
		if s := b.status("test"); s.State != pluginhost.StateRunning || s.Pid != pid {
			t.Errorf("status %+v", s)
		}
		signalled(t, pid, 9)
		until(t, "it is refused", func() bool { return b.status("test").State == pluginhost.StateRefused })
	})
}

func TestEnvironmentIsTheBackendsOwn(t *testing.T) {
	t.Setenv("CHANDLER_DSN", "postgres://secret")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "of the broker")
	b := newBed(t)
	b.install("test", variant{})
	b.start(pluginhost.BackendConfig{Name: "test", Env: map[string]string{"REGION": "nowhere", "LANG": "de_DE.UTF-8"}})
	var names []string
	for _, e := range b.ask("test", do{Do: "environment"}).Environment {
		name, value, _ := strings.Cut(e, "=")
		names = append(names, name)
		if strings.Contains(value, "postgres") || strings.Contains(value, "of the broker") {
			t.Errorf("the plugin sees %s", e)
		}
		if name == "LANG" && value != "de_DE.UTF-8" {
			t.Errorf("the backend's own variable lost: %s", e)
		}
	}
	allowed := []string{"CHANDLER_LIFELINE_FD", "CHANDLER_LOG_LEVEL", "CHANDLER_PLUGIN", "CHANDLER_PLUGIN_RUN", "HOME", "LANG", "PATH", "PLUGIN_CLIENT_CERT",
		"PLUGIN_MAX_PORT", "PLUGIN_MIN_PORT", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR", "REGION", "TMPDIR", "TZ"}
	for _, name := range names {
		if !slices.Contains(allowed, name) {
			t.Errorf("the plugin sees %s", name)
		}
	}
	if !slices.Contains(names, "REGION") || !slices.Contains(names, "PATH") {
		t.Errorf("the plugin sees only %v", names)
	}
}

func TestSetBackendsReportsEverythingAndChangesNothing(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{})
	b.start(pluginhost.BackendConfig{Name: "good", Plugin: "test"})
	err := b.host.SetBackends(context.Background(), []pluginhost.BackendConfig{
		{Name: "UPPER"}, {Name: "twice"}, {Name: "twice"}, {Name: "a", Config: []byte(`[]`)}, {Name: "b", SHA256: []string{"xyz"}},
		{Name: "c", Env: map[string]string{"CHANDLER_X": "", "9": ""}}, {Name: "d", Limits: pluginhost.Limits{MaxConcurrency: -1}}, {Name: "e", Plugin: "../sh"},
		{Name: "f", Config: []byte(`{"secret":"hunter2"`)},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`"UPPER"`, `"twice" is listed twice`, `"a": config must be a JSON object`, `"xyz"`, "CHANDLER_X", `"9"`, "negative", `"../sh"`, `"f": config`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %s:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Error("the error shows a secret")
	}
	b.ask("good", do{})
}

func TestNewRefusesDirectoriesThatCannotWork(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 80))
	b := newBed(t)
	for _, c := range []struct {
		name, why string
		cfg       pluginhost.Config
		text      string
	}{
		{"no state directory", "copies need a place", pluginhost.Config{Dir: b.dir}, "must be set"},
		{"in use", "two hosts would clean up each other's files", pluginhost.Config{Dir: b.dir, StateDir: b.state}, "used by another process"},
		{"socket directory too long", "the kernel's limit would show up as a riddle", pluginhost.Config{Dir: b.dir, StateDir: t.TempDir(), SocketDir: long}, "at most 61"},
		{"state directory cannot be made", "read-only root", pluginhost.Config{Dir: b.dir, StateDir: "/proc/nowhere"}, "state directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := pluginhost.New(c.cfg)
			if err == nil {
				_ = h.Close(context.Background())
			}
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v; want %q: %s", err, c.text, c.why)
			}
		})
	}
}

func TestALongStateDirectoryGetsItsSocketsElsewhere(t *testing.T) {
	b := newBed(t, func(cfg *pluginhost.Config) { cfg.StateDir = filepath.Join(t.TempDir(), strings.Repeat("x", 100)) })
	b.install("test", variant{})
	b.start()
	b.ask("test", do{})
}

func TestValidate(t *testing.T) {
	b := newBed(t)
	b.install("test", variant{Version: "3.0.0", Requires: true})
	cfg := pluginhost.BackendConfig{Name: "x", Plugin: "test", Config: []byte(`{"invalid":"wrong"}`)}
	d, err := b.host.Validate(context.Background(), cfg, false)
	if err != nil || d.Version != "3.0.0" || !d.RequiresConfiguration {
		t.Errorf("describe: %+v %v", d, err)
	}
	d, err = b.host.Validate(context.Background(), cfg, true)
	if err == nil || !strings.Contains(err.Error(), "wrong") || d.Version != "3.0.0" {
		t.Errorf("configure: %+v %v", d, err)
	}
	cfg.Plugin = "absent"
	if _, err = b.host.Validate(context.Background(), cfg, true); err == nil || !strings.Contains(err.Error(), "there is no chandler-plugin-absent") {
		t.Errorf("absent: %v", err)
	}
}

// cache is a DescriptionCache.
type cache map[string][]byte

func (c cache) Load(backend string) ([]byte, error) { return c[backend], nil }

func (c cache) Save(backend string, d []byte) error {
	if !json.Valid(d) {
		return errors.New("no JSON")
	}
	c[backend] = d
	return nil
}

func TestDescriptionsSurviveABrokenPlugin(t *testing.T) {
	kept := cache{}
	b := newBed(t, func(cfg *pluginhost.Config) { cfg.Descriptions = kept })
	b.install("test", variant{Version: "1.5.0", Isolated: true})
	b.start()
	want, _ := b.host.Describe("test")
	_ = b.host.Close(context.Background())

	b = newBed(t, func(cfg *pluginhost.Config) { cfg.Descriptions = kept })
	b.install("test", variant{Die: "broken"})
	b.start()
	got, ok := b.host.Describe("test")
	if diff := cmp.Diff(want, got); diff != "" || !ok {
		t.Error(ok, diff)
	}
}

func TestWhatTheKernelDoesNotExecute(t *testing.T) {
	for _, c := range []struct{ name, content, text string }{
		{"text", "not a program", "could not be executed"},
		{"no interpreter", "#!/nowhere/python3\n", "its interpreter or dynamic loader is not here"},
		{"empty", "", "could not be executed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t)
			if err := os.WriteFile(filepath.Join(b.dir, "chandler-plugin-test"), []byte(c.content), 0o755); err != nil {
				t.Fatal(err)
			}
			b.start()
			if s := b.status("test"); !strings.Contains(s.Error, c.text) {
				t.Errorf("status %+v; want %q", s, c.text)
			}
		})
	}
}

func TestACheckThatThePluginDoesNotOfferIsNoDeprovision(t *testing.T) {
	b := newBed(t)
	installSDK(t, b.dir) // has no Checker
	b.start()
	c := call("sdk", do{})
	c.Verb, c.Check = core.VerbDeprovision, true
	if _, err := b.host.Call(context.Background(), c, nil); err != nil {
		t.Error(err)
	}
}
