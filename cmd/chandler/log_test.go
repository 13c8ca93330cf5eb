package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestLogMasksSecrets(t *testing.T) {
	for name, c := range map[string]struct{ why, secret, logged string }{
		"plain":   {"an error may quote what it could not use", "hunter2!", `bad key hunter2!`},
		"quoted":  {"JSON writes quotes and line breaks in another way", "pass\"word\n1", "value pass\"word\n1"},
		"escaped": {"slog does not escape what HTML would, and a mask that did would miss it", "pa\"ss&<word>", `value pa"ss&<word>`},
		"in text": {"also inside a longer value", "s3cr3t", "https://u:s3cr3t@h"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			w := &maskedWriter{out: &out}
			w.mask([]string{c.secret, "a"})
			newLogger(LogConfig{Level: "info", Format: "json"}, w).Info("message", "error", c.logged)
			if text := out.String(); !strings.Contains(text, "***") || strings.Contains(text, "hunter2") || strings.Contains(text, "word") || strings.Contains(text, c.secret) {
				t.Errorf("%s: logged %s", c.why, text)
			}
			if !strings.Contains(out.String(), `"message"`) {
				t.Errorf("a secret of one letter hides ordinary words: %s", out.String())
			}
		})
	}
}
