package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace/noop"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlpCollector is an OTLP/HTTP collector that keeps the spans in memory.
type otlpCollector struct {
	mu    sync.Mutex
	spans []*tracepb.Span
}

// ServeHTTP implements http.Handler.
func (c *otlpCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var export collector.ExportTraceServiceRequest
	raw, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(raw, &export)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range export.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// paths counts the spans of a trace by their names from the trace's beginning.
func (c *otlpCollector) paths(traceID string) map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	byID := map[string]*tracepb.Span{}
	for _, s := range c.spans {
		byID[string(s.SpanId)] = s
	}
	seen := map[string]int{}
	for _, s := range c.spans {
		if hex.EncodeToString(s.TraceId) != traceID {
			continue
		}
		path, at := s.Name, s
		for {
			parent, ok := byID[string(at.ParentSpanId)]
			if !ok {
				break
			}
			path, at = parent.Name+" > "+path, parent
		}
		seen[hex.EncodeToString(at.ParentSpanId)+" "+path]++
	}
	return seen
}

// One trace goes from the platform's own span through the request, the operation and
// the plugin call into the plugin, whose log names it; also when the broker was
// restarted in between.
func TestTrace(t *testing.T) { // not parallel: the tracer is the process's
	spans := &otlpCollector{}
	srv := httptest.NewServer(spans)
	t.Cleanup(func() {
		srv.Close()
		otel.SetTracerProvider(noop.NewTracerProvider())
	})
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", srv.URL)
	r := newRig(t, "timing: {fastAnswer: 1ms, pollInterval: 1s}\n")
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	put := func(id, plan string) {
		body := strings.NewReader(`{"service_id":"rig-service","plan_id":"` + plan + `","organization_guid":"o","space_guid":"s"}`)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.url+"/v2/service_instances/"+id+"?accepts_incomplete=true", body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Broker-API-Version", "2.17")
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Traceparent", "00-"+traceID+"-b7ad6b7169203331-01")
		req.SetBasicAuth("platform", "platform-password")
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("provision %s: %s", id, resp.Status)
		}
	}
	put("i", "rig-slow")
	put("w", "rig-steps")
	r.until("the slow one to be called", func() bool { return strings.Contains(r.ok("operation", "list", "--instance", "i"), "pending") })
	r.end() // in the middle of the call
	r.start()
	r.until("it to succeed", func() bool { return strings.Contains(r.ok("operation", "list", "--instance", "i"), "succeeded") })
	r.end()

	seen := spans.paths(traceID)
	const call = "b7ad6b7169203331 HTTP PUT > operation provision > plugin provision > chandler.plugin.v1.Plugin/Provision"
	if seen[call] < 3 { // of i before and after the restart, and of w
		t.Errorf("the trace lacks %q:\n%v", call, seen)
	}
	for p := range seen {
		if strings.Contains(p, "Health") || strings.Contains(p, "Describe") {
			t.Errorf("the host's own questions are traced: %s", p)
		}
	}
	traced := false
	for _, l := range r.log.lines() {
		traced = traced || l["backend"] == "demo" && l["instance_id"] == "i" && l["trace_id"] == traceID
	}
	if !traced {
		t.Errorf("the plugin's log lines do not name the trace:\n%s", r.log.tail())
	}
}
