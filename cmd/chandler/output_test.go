package main

import (
	"bytes"
	"io"
	"testing"

	"gopkg.in/yaml.v3"
)

// What -o yaml prints reads back as what it was, also for readers of YAML 1.1.
func TestYAMLKeepsTypes(t *testing.T) {
	value := map[string]any{"a": "yes", "b": "0123", "c": "1e3", "d": "null", "e": "x: y", "f": "a\nb", "g": "", "h": true, "i": 1.5,
		"j": []any{"on", "2026-11-21", "~"}, "k": "<&>", "l": "plain"}
	var out bytes.Buffer
	if err := write(&out, "yaml", value, nil); err != nil {
		t.Fatal(err)
	}
	const want = `a: "yes"
b: "0123"
c: "1e3"
d: "null"
e: 'x: y'
f: |-
  a
  b
g: ""
h: true
i: 1.5
j:
  - "on"
  - "2026-11-21"
  - "~"
k: <&>
l: plain
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	var back map[string]any
	if err := yaml.Unmarshal(out.Bytes(), &back); err != nil || back["a"] != "yes" || back["b"] != "0123" {
		t.Errorf("read back: %v, %v", back, err)
	}
}

// A table's cells stay in their row whatever they hold, and tell the terminal nothing.
func TestTableCells(t *testing.T) {
	var out bytes.Buffer
	err := write(&out, "table", nil, func(w io.Writer) {
		row(w, "A", "B")
		row(w, "two\nlines\tand a tab", "\x1b[31mred\x07")
		row(w, "", 7)
	})
	const want = "A                    B\ntwo lines and a tab  [31mred\n-                    7\n"
	if err != nil || out.String() != want {
		t.Errorf("got %q, want %q (%v)", out.String(), want, err)
	}
}
