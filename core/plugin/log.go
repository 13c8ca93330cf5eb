package plugin

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/trace"
)

// Keys of log lines, the same as in the broker's log.
const (
	logInstance  = "instance_id"
	logBinding   = "binding_id"
	logOperation = "operation_id"
	logVerb      = "verb"
	logTrace     = "trace_id"
)

type loggerKey struct{}

// Logger gives the call's logger. Its lines carry the ids of instance, binding and
// operation, appear in the broker's log, and have declared secrets masked. Outside
// of a call it is hclog's default logger.
func Logger(ctx context.Context) hclog.Logger {
	if l, ok := ctx.Value(loggerKey{}).(callLogger); ok {
		return l()
	}
	return hclog.Default()
}

// callLogger gives the logger of one call; most calls log nothing, so it is made when it is asked for.
type callLogger func() hclog.Logger

// withLogger gives the logger of one call and a context that carries it.
func withLogger(ctx context.Context, base logSink, hidden *mask, keys ...any) (context.Context, callLogger) {
	var l callLogger = sync.OnceValue(func() hclog.Logger {
		if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
			keys = append(keys, logTrace, span.TraceID().String())
		}
		return base.logger(hidden).With(keys...)
	})
	return context.WithValue(ctx, loggerKey{}, l), l
}

// logSink is where log lines go: the process's standard error, one line per write.
type logSink struct {
	out   io.Writer
	level hclog.Level
	lock  *sync.Mutex
}

func newLogSink(out io.Writer) logSink {
	level := hclog.LevelFromString(os.Getenv(LogLevelEnv))
	if level == hclog.NoLevel {
		level = hclog.Debug
	}
	return logSink{out: out, level: level, lock: new(sync.Mutex)}
}

// logger writes lines in hclog's JSON format, which go-plugin's client reads,
// without the values of hidden.
func (s logSink) logger(hidden *mask) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Level:      s.level,
		Output:     maskedWriter{s.out, hidden},
		Mutex:      s.lock,
		JSONFormat: true,
	})
}

// maskedWriter hides a mask's values in what is written; hclog writes a whole line at once.
type maskedWriter struct {
	out    io.Writer
	hidden *mask
}

func (w maskedWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.out, w.hidden.apply(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// minSecret is the length from which a value is masked: shorter ones are no secrets
// worth the name, and masking them would garble every text.
const minSecret = 4

// maskText stands for a masked value.
const maskText = "(secret)"

// mask is a set of values that no text may show. A nil mask hides nothing.
type mask struct {
	parent *mask // also hidden

	mu     sync.Mutex
	values []string // longest first, so that no secret's rest is left over
}

func (m *mask) add(values ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range values {
		if len(v) < minSecret {
			continue
		}
		m.values = append(m.values, v)
		if escaped, err := json.Marshal(v); err == nil { // as it looks inside a log line
			if e := string(escaped[1 : len(escaped)-1]); e != v {
				m.values = append(m.values, e)
			}
		}
	}
	slices.SortFunc(m.values, func(a, b string) int { return len(b) - len(a) })
}

func (m *mask) apply(text string) string {
	if m == nil {
		return text
	}
	m.mu.Lock()
	for _, v := range m.values {
		text = strings.ReplaceAll(text, v, maskText)
	}
	m.mu.Unlock()
	return m.parent.apply(text)
}
