package pluginhost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

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
