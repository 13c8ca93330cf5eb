package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/command-line.md and the golden files in testdata")

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale; write it with -update (-file +code):\n%s", file, diff)
	}
}

// logBuffer keeps what the broker logs.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logBuffer) tail() string {
	text := b.String()
	return text[max(0, len(text)-5000):]
}

// lines gives the log's JSON objects.
func (b *logBuffer) lines() []map[string]any {
	var all []map[string]any
	for _, l := range strings.Split(b.String(), "\n") {
		var v map[string]any
		if json.Unmarshal([]byte(l), &v) == nil {
			all = append(all, v)
		}
	}
	return all
}

var scrubs = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "DIGEST"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?`), "TIME"},
	{regexp.MustCompile(`\b\d\d:\d\d:\d\d\b`), "TIME"},
	{regexp.MustCompile(`\b\d+(\.\d+)?(ms|µs|s)\b`), "TOOK"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`\bu[0-9a-f]{16}\b`), "USERNAME"},
	{regexp.MustCompile(`\b[0-9a-f]{24}\b`), "DATABASE"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "SHORT"},
	{regexp.MustCompile(`(USERNAME:|password: |"password": "|password  )[A-Za-z0-9_-]{32}`), "${1}PASSWORD"},
	{regexp.MustCompile(`(\S) {2,}`), "$1  "}, // columns are as wide as what was replaced
}

// scrubbed takes what differs from run to run out of an output.
func scrubbed(text string) string {
	for _, s := range scrubs {
		text = s.pattern.ReplaceAllString(text, s.with)
	}
	return text
}
