package pluginhost

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
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
