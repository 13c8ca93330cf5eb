package pluginhost_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// testBinary is the compiled testdata/plugin, sdkBinary the compiled testdata/sdk.
var testBinary, sdkBinary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ph")
	if err != nil {
		panic(err)
	}
	if role := os.Getenv("PLUGINHOST_TEST_BROKER"); role != "" {
		brokerChild(role)
	}
	testBinary, sdkBinary = filepath.Join(dir, "plugin"), filepath.Join(dir, "sdk")
	if slices.ContainsFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, "-test.fuzzworker") }) {
		os.Exit(m.Run()) // needs no plugin
	}
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", dir+"/", "./testdata/plugin", "./testdata/sdk")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building testdata/plugin: %v\n%s", err, out)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// variant is what kind of plugin is installed; see testdata/plugin.
type variant struct {
	Name            string `json:",omitempty"`
	Version         string `json:",omitempty"`
	Die             string `json:",omitempty"`
	DieOnce         string `json:",omitempty"`
	Garbage         bool   `json:",omitempty"`
	Silent          bool   `json:",omitempty"`
	Requires        bool   `json:",omitempty"`
	NoCancel        bool   `json:",omitempty"`
	MaxConcurrency  uint32 `json:",omitempty"`
	BadDescription  bool   `json:",omitempty"`
	Isolated        bool   `json:",omitempty"`
	DieInDescribe   bool   `json:",omitempty"`
	HangInDescribe  bool   `json:",omitempty"`
	DieInConfigure  bool   `json:",omitempty"`
	FloodBeforehand int    `json:",omitempty"`

	Inventory       bool              `json:",omitempty"`
	Offers          bool              `json:",omitempty"`
	Offerings       map[string]string `json:",omitempty"`
	OfferingsFail   string            `json:",omitempty"`
	HangInOfferings bool              `json:",omitempty"`
}

// executable is the test plugin as a file of that kind.
func executable(t testing.TB, v variant) []byte {
	t.Helper()
	raw, err := os.ReadFile(testBinary)
	if err != nil {
		t.Fatal(err)
	}
	if v.Name == "" {
		v.Name = "test"
	}
	if v.Version == "" {
		v.Version = "1.0.0"
	}
	tail, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return append(append(raw, "\n#chandler-test-plugin:"...), tail...)
}

// bed is a host with a plugin directory of its own.
type bed struct {
	testing.TB
	dir, state string
	host       *pluginhost.Host
	log        *logBuffer
}

// quick are waits that suit tests.
var quick = pluginhost.Timing{
	Start: 20 * time.Second, Describe: 10 * time.Second, Configure: 10 * time.Second, ReadyWait: 20 * time.Second,
	CancelGrace: 300 * time.Millisecond, HealthInterval: 100 * time.Millisecond, HealthTimeout: 2 * time.Second, HealthFailures: 2,
	StopGrace: 3 * time.Second, BackoffMin: 10 * time.Millisecond, BackoffMax: 50 * time.Millisecond,
	BreakerFailures: 3, BreakerWindow: time.Minute, BreakerOpen: 300 * time.Millisecond, Stable: time.Minute,
	Debounce: 20 * time.Millisecond, Rescan: 100 * time.Millisecond, Vanish: 200 * time.Millisecond, Progress: 50 * time.Millisecond,
}

// newBed makes a host that is not started; change may alter its configuration.
func newBed(t testing.TB, change ...func(*pluginhost.Config)) *bed {
	t.Helper()
	b := &bed{TB: t, dir: t.TempDir(), state: t.TempDir(), log: &logBuffer{}}
	cfg := pluginhost.Config{Dir: b.dir, StateDir: b.state, Timing: quick, BrokerVersion: "test",
		Log: slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, c := range change {
		c(&cfg)
	}
	host, err := pluginhost.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.host = host
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = host.Close(ctx)
		if t.Failed() {
			t.Logf("log:\n%s", b.log.String())
		}
	})
	return b
}

// install puts a plugin into place by rename, as a careful operator does.
func (b *bed) install(name string, v variant) (digestOf []byte) {
	b.Helper()
	raw := executable(b, v)
	tmp := filepath.Join(b.dir, "tmp-"+name)
	if err := os.WriteFile(tmp, raw, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(b.dir, pluginhost.Prefix+name)); err != nil {
		b.Fatal(err)
	}
	return raw
}

// start sets the backends, starts the host and waits for the first attempts.
func (b *bed) start(backends ...pluginhost.BackendConfig) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.host.SetBackends(ctx, backends); err != nil {
		b.Fatal(err)
	}
	if err := b.host.Start(ctx); err != nil {
		b.Fatal(err)
	}
	if err := b.host.AwaitSettled(ctx); err != nil {
		b.Fatal(err)
	}
}

// set replaces the backends.
func (b *bed) set(backends ...pluginhost.BackendConfig) {
	b.Helper()
	if err := b.host.SetBackends(context.Background(), backends); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) status(backend string) pluginhost.BackendStatus {
	for _, s := range b.host.Status() {
		if s.Name == backend {
			return s
		}
	}
	return pluginhost.BackendStatus{}
}

// until waits for a condition of other processes.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

// do is what the test plugin does in a call.
type do struct {
	Do   string `json:",omitempty"`
	Text string `json:",omitempty"`
	N    int    `json:",omitempty"`
	Ms   int    `json:",omitempty"`
	File string `json:",omitempty"`
}

func call(backend string, d do) core.Call {
	inputs, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return core.Call{Backend: backend, Verb: core.VerbProvision, InstanceID: "i-1", OperationID: "op-1", Inputs: inputs,
		Fence: 1, Seed: bytes.Repeat([]byte{7}, 32)}
}

// outputs is what the test plugin answers.
type outputs struct {
	Version     string
	Pid         int
	Sleeper     int
	Backend     string
	Peak        int
	Text        string
	Request     string
	Environment []string
}

func decode(t testing.TB, r core.Result) outputs {
	t.Helper()
	var o outputs
	if err := json.Unmarshal(r.Outputs, &o); err != nil {
		t.Fatalf("outputs %s: %v", r.Outputs, err)
	}
	return o
}

// ask calls and expects success.
func (b *bed) ask(backend string, d do) outputs {
	b.Helper()
	r, err := b.host.Call(context.Background(), call(backend, d), nil)
	if err != nil {
		b.Fatalf("call: %v", err)
	}
	return decode(b, r)
}

// fails calls and expects an error of the code, made by the backend.
func (b *bed) fails(c core.Call, code core.ErrorCode) *core.Error {
	b.Helper()
	_, err := b.host.Call(context.Background(), c, nil)
	return wantError(b, err, code)
}

func wantError(t testing.TB, err error, code core.ErrorCode) *core.Error {
	t.Helper()
	if core.CodeOf(err) != code {
		t.Fatalf("error %v; want code %s", err, code)
	}
	e := core.AsError(err)
	if !e.Backend {
		t.Errorf("error %v is not marked as the backend's", err)
	}
	return e
}

// alive tells whether a process exists and is no zombie.
func alive(pid int) bool {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// signalled sends a signal to a process that the test knows.
func signalled(t testing.TB, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("kill %d: %v", pid, err)
	}
}
