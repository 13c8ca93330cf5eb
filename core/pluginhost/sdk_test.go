package pluginhost_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// installSDK installs the plugin that is made with the SDK.
func installSDK(t testing.TB, dir string) {
	t.Helper()
	raw, err := os.ReadFile(sdkBinary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "chandler-plugin-sdk"), raw, 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestWithTheSDK(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(provider)
	t.Cleanup(func() { otel.SetTracerProvider(before); _ = provider.Shutdown(context.Background()) })

	b := newBed(t)
	installSDK(t, b.dir)
	b.start()
	t.Run("log and trace go through the boundary", func(t *testing.T) {
		ctx, span := provider.Tracer("test").Start(context.Background(), "operation")
		_, err := b.host.Call(ctx, call("sdk", do{Do: "log", Text: "hello from the author"}), nil)
		span.End()
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the line arrives", func() bool { return len(b.log.records("hello from the author")) > 0 })
		r := b.log.records("hello from the author")[0]
		for key, want := range map[string]any{"level": "WARN", "backend": "sdk", "instance_id": "i-1", "operation_id": "op-1", "answer": 42.0,
			"trace_id": span.SpanContext().TraceID().String()} {
			if r[key] != want {
				t.Errorf("%s is %v; want %v in %v", key, r[key], want, r)
			}
		}
		until(t, "the host's own span", func() bool {
			for _, s := range spans.GetSpans() {
				if s.Name == "chandler.plugin.v1.Plugin/Provision" && s.Parent.SpanID() == span.SpanContext().SpanID() {
					return true
				}
			}
			return false
		})
	})
	t.Run("cancellation is obeyed and the process survives", func(t *testing.T) {
		pid := b.status("sdk").Pid
		began := filepath.Join(b.state, "began")
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			until(t, "the call begins", func() bool { return exists(began) })
			cancel()
		}()
		_, err := b.host.Call(ctx, call("sdk", do{Do: "wait", File: began}), nil)
		wantError(t, err, core.CodeCancelled)
		if now := b.status("sdk").Pid; now != pid {
			t.Errorf("process %d became %d", pid, now)
		}
	})
	t.Run("a configuration that breaks the schema is invalid", func(t *testing.T) {
		b.set(pluginhost.BackendConfig{Name: "wrong", Plugin: "sdk", Config: []byte(`{"size":"large"}`)})
		until(t, "it is invalid", func() bool { return b.status("wrong").State == pluginhost.StateInvalid })
	})
}

// TestTheLifelineIsEnough: the broker is killed while its guard cannot act.
func TestTheLifelineIsEnough(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	installSDK(t, dir)
	broker := startBroker(t, dir, state)
	o := broker.ask(do{Do: "fork"})
	guard := guardOf(broker.pid())
	if guard == 0 {
		t.Fatal("there is no guard")
	}
	signalled(t, guard, syscall.SIGSTOP)
	defer signalled(t, guard, syscall.SIGKILL)
	signalled(t, broker.pid(), syscall.SIGKILL)
	_ = broker.cmd.Wait()
	until(t, "plugin and sleeper end", func() bool { return !alive(o.Pid) && !alive(o.Sleeper) })
}
