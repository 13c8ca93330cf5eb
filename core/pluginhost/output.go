package pluginhost

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxLine is how much of one line reaches the log; the rest is dropped.
	maxLine = 64 << 10
	// keptLines is how many of the last lines are kept for errors and Status, keptText how much of each.
	keptLines, keptText = 20, 1000
	// logRate and logBurst bound how many lines per second of one process reach the log.
	logRate, logBurst = 200, 1000
)

// Streams of a plugin.
const (
	streamStderr = "stderr"
	streamStdout = "stdout"
)

// output takes what a plugin process writes: it keeps the last lines, masks secrets and passes
// records on to the log. It never keeps the plugin waiting: what the log cannot
// take in time is dropped and counted.
type output struct {
	log   *slog.Logger
	masks *masker
	// around gives attributes for a line that names no operation itself; may be nil.
	around func() []slog.Attr

	limit   *rate.Limiter
	lines   chan line
	written sync.WaitGroup // the goroutine that writes to the log

	mu      sync.Mutex
	closed  bool
	last    []line // ring, oldest first
	dropped int
}

type line struct {
	stream string
	text   []byte
}

func newOutput(log *slog.Logger, masks *masker, around func() []slog.Attr) *output {
	o := &output{log: log, masks: masks, around: around,
		limit: rate.NewLimiter(logRate, logBurst), lines: make(chan line, logBurst)}
	o.written.Go(o.write)
	return o
}

// read takes lines from r until its end.
func (o *output) read(r io.Reader, stream string) {
	b := bufio.NewReaderSize(r, 4096)
	var text []byte
	for {
		part, err := b.ReadSlice('\n')
		// A secret that begins within the part that is logged must be here as a whole to be masked.
		if room := maxLine + o.masks.longest() - len(text); room > 0 {
			text = append(text, part[:min(len(part), room)]...)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if len(bytes.TrimSpace(text)) > 0 {
			o.add(line{stream, text})
		}
		text = nil
		if err != nil {
			return
		}
	}
}

// add keeps a line and passes it on, if the rate allows.
func (o *output) add(l line) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if o.last = append(o.last, l); len(o.last) > keptLines {
		o.last = slices.Delete(o.last, 0, 1)
	}
	if !o.limit.Allow() {
		o.dropped++
		return
	}
	select {
	case o.lines <- l:
	default:
		o.dropped++
	}
}

// close ends it after everything that was read is written.
func (o *output) close() {
	o.mu.Lock()
	if !o.closed {
		o.closed = true
		close(o.lines)
	}
	o.mu.Unlock()
	o.written.Wait()
}

func (o *output) write() {
	for l := range o.lines {
		o.reportDropped()
		o.record(l)
	}
	o.reportDropped()
}

func (o *output) reportDropped() {
	o.mu.Lock()
	n := o.dropped
	o.dropped = 0
	o.mu.Unlock()
	if n > 0 {
		o.log.Warn("the plugin writes more than the log takes; lines were dropped", "dropped", n)
	}
}

// tail gives the last lines of the stream, masked, oldest first.
func (o *output) tail(stream string) []string {
	o.mu.Lock()
	last := slices.Clone(o.last)
	o.mu.Unlock()
	var out []string
	for _, l := range last {
		if l.stream != stream {
			continue
		}
		text := o.masks.mask(cleanLine(l.text))
		if m := parseRecord(l.text); m != nil {
			text = o.masks.mask(cleanLine([]byte(m.String())))
		}
		out = append(out, cut(text, keptText))
	}
	return out
}

// cut shortens text to n bytes, at a character's end.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

// record makes one slog record of a line: hclog's JSON keeps its level, message and fields.
func (o *output) record(l line) {
	ctx := context.Background()
	level, message := slog.LevelInfo, cleanLine(l.text)
	attrs := []slog.Attr{slog.String("stream", l.stream)}
	entry := parseRecord(l.text)
	if entry != nil {
		level, message = entry.level, entry.message
		attrs = entry.attrs(o.masks)
	} else {
		level = plainLevel(message)
	}
	if !o.log.Enabled(ctx, level) {
		return
	}
	if o.around != nil && (entry == nil || !entry.has("operation_id")) {
		for _, a := range o.around() {
			if entry == nil || !entry.has(a.Key) {
				attrs = append(attrs, a)
			}
		}
	}
	o.log.LogAttrs(ctx, level, cut(o.masks.mask(message), maxLine), attrs...)
}

// plainLevel reads the level of a line that is no hclog JSON: by the prefix that Go programs
// use, or by what a crash looks like.
func plainLevel(text string) slog.Level {
	for prefix, level := range map[string]slog.Level{
		"[TRACE]": slog.LevelDebug, "[DEBUG]": slog.LevelDebug, "[WARN]": slog.LevelWarn, "[ERROR]": slog.LevelError,
		"panic: ": slog.LevelError, "fatal error: ": slog.LevelError,
	} {
		if strings.HasPrefix(text, prefix) {
			return level
		}
	}
	return slog.LevelInfo
}

// logRecord is one line of hclog's JSON format.
type logRecord struct {
	level   slog.Level
	message string
	fields  map[string]any
}

// parseRecord gives nil for what is not hclog's JSON.
func parseRecord(text []byte) *logRecord {
	if t := bytes.TrimLeft(text, " \t"); len(t) == 0 || t[0] != '{' {
		return nil
	}
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return nil
	}
	message, ok := fields["@message"].(string)
	if !ok {
		return nil
	}
	r := &logRecord{level: slog.LevelInfo, message: message, fields: fields}
	switch fields["@level"] {
	case "trace", "debug":
		r.level = slog.LevelDebug
	case "warn":
		r.level = slog.LevelWarn
	case "error":
		r.level = slog.LevelError
	}
	for _, key := range []string{"@message", "@level", "@timestamp", "@caller"} {
		delete(fields, key)
	}
	if module, ok := fields["@module"]; ok {
		delete(fields, "@module")
		fields["module"] = module
	}
	return r
}

func (r *logRecord) has(key string) bool { _, ok := r.fields[key]; return ok }

// reserved are the keys that the host and slog set themselves; a plugin's field of that name is renamed.
var reserved = map[string]bool{"backend": true, "plugin": true, "pid": true, "time": true, "level": true, "msg": true}

func (r *logRecord) attrs(m *masker) []slog.Attr {
	var out []slog.Attr
	for _, key := range slices.Sorted(maps.Keys(r.fields)) {
		name := m.mask(cleanLine([]byte(key)))
		if reserved[name] {
			name = "plugin_" + name
		}
		out = append(out, slog.Any(name, m.maskValue(r.fields[key])))
	}
	return out
}

func (r *logRecord) String() string {
	var b strings.Builder
	b.WriteString(r.message)
	for _, key := range slices.Sorted(maps.Keys(r.fields)) {
		if key != "module" {
			fmt.Fprintf(&b, " %s=%v", key, r.fields[key])
		}
	}
	return b.String()
}

// maskValue masks the strings of a JSON value, keys included.
func (m *masker) maskValue(v any) any {
	switch t := v.(type) {
	case string:
		return m.mask(t)
	case []any:
		for i := range t {
			t[i] = m.maskValue(t[i])
		}
	case map[string]any:
		clean := make(map[string]any, len(t))
		for k, e := range t {
			clean[m.mask(k)] = m.maskValue(e)
		}
		return clean
	case float64:
		if s := m.mask(fmt.Sprint(t)); strings.Contains(s, masked) {
			return s
		}
	}
	return v
}

// lineWriter is an io.Writer that makes lines of what go-plugin brings from the plugin's
// os.Stdout and os.Stderr after the handshake. Safe for concurrent use.
type lineWriter struct {
	out    *output
	stream string

	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer; it never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part, after, found := bytes.Cut(rest, []byte("\n"))
		if room := maxLine + w.out.masks.longest() - len(w.text); room > 0 {
			w.text = append(w.text, part[:min(len(part), room)]...)
		}
		if !found {
			break
		}
		if len(bytes.TrimSpace(w.text)) > 0 {
			w.out.add(line{w.stream, w.text})
		}
		w.text, rest = nil, after
	}
	return len(p), nil
}

// settle is how long lines that are on their way get before an error quotes the last ones.
const settle = 200 * time.Millisecond
