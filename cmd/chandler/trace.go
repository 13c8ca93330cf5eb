package main

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/chandler-broker/chandler/core"
)

// tracing makes spans of OSB and operators' requests, of operations and of plugin
// calls. An operation's span begins with its first call in this process and hangs
// below the request's, which the journal remembers as a traceparent: a resumed
// operation stays in its trace. A nil *tracing does nothing.
type tracing struct {
	provider *sdktrace.TracerProvider
	spans    trace.Tracer

	mu         sync.Mutex
	operations map[string]trace.Span // by operation id
}

// flushTime is how long a shutdown waits for the collector.
const flushTime = 5 * time.Second

var _ core.Tracer = (*tracing)(nil)

// startTracing sends spans to the collector that OTEL_EXPORTER_OTLP_ENDPOINT
// names; it is nil without one.
func startTracing(ctx context.Context) (*tracing, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return nil, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	otel.SetTracerProvider(provider) // the plugin host finds it there
	return &tracing{provider: provider, spans: provider.Tracer("chandler"), operations: map[string]trace.Span{}}, nil
}

// tracer is for core.Config: an interface that is nil if t is.
func (t *tracing) tracer() core.Tracer {
	if t == nil {
		return nil
	}
	return t
}

// close ends the spans of operations that go on with the next start, and flushes.
func (t *tracing) close() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	for _, span := range t.operations {
		span.End()
	}
	clear(t.operations)
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// Call implements core.Tracer.
func (t *tracing) Call(ctx context.Context, op *core.Operation, call *core.Call) (context.Context, func(error)) {
	ctx, span := t.spans.Start(trace.ContextWithSpan(ctx, t.operation(op)), "plugin "+string(call.Verb), trace.WithAttributes(
		attribute.String("chandler.backend", call.Backend), attribute.Int64("chandler.fence", call.Fence)))
	return ctx, func(err error) {
		if err != nil { // the code only: messages and details are for the log, which masks secrets
			span.SetStatus(codes.Error, string(core.CodeOf(err)))
		}
		span.End()
	}
}

// operation gives the span of an operation, begun if it is not running yet.
func (t *tracing) operation(op *core.Operation) trace.Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	if span, ok := t.operations[op.ID]; ok {
		return span
	}
	began := op.CreatedAt
	if op.Calls > 1 {
		began = time.Now() // resumed: what came before has a span of its own
	}
	parent := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": op.Trace})
	_, span := t.spans.Start(parent, "operation "+string(op.Verb), trace.WithTimestamp(began), trace.WithAttributes(
		attribute.String("chandler.operation_id", op.ID), attribute.String("chandler.instance_id", op.InstanceID),
		attribute.String("chandler.binding_id", op.BindingID), attribute.Bool("chandler.resumed", op.Calls > 1)))
	t.operations[op.ID] = span
	return span
}

// Finished implements core.Tracer.
func (t *tracing) Finished(op *core.Operation) {
	t.mu.Lock()
	span, ok := t.operations[op.ID]
	delete(t.operations, op.ID)
	t.mu.Unlock()
	if !ok {
		return // it ended without a call
	}
	if op.Error != nil {
		span.SetStatus(codes.Error, string(op.Error.Code))
	}
	span.End()
}

// handler gives every request of a platform or an operator a span. Its traceparent
// replaces the client's, so that the operation hangs below it.
func (t *tracing) handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; p == "/healthz" || p == "/readyz" || p == "/metrics" {
			next.ServeHTTP(w, r)
			return
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.spans.Start(ctx, "HTTP "+r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.EscapedPath())))
		defer span.End()
		r = r.Clone(ctx)
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(r.Header))
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(recorder, r)
		span.SetAttributes(attribute.Int("http.response.status_code", recorder.status))
		if recorder.status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, strconv.Itoa(recorder.status))
		}
	})
}

// statusRecorder remembers the status of an answer.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (s *statusRecorder) WriteHeader(status int) {
	if status >= http.StatusOK { // not an informational one, which the answer follows
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
