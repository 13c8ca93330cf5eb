package main

import (
	"bytes"
	"io"
	"log/slog"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
)

// maskedWriter replaces the secrets of the configuration in everything that is
// logged. slog writes one record at a time, so no secret is cut in two.
type maskedWriter struct {
	out     io.Writer
	secrets atomic.Pointer[[][]byte]
}

// minSecret is the length from which a value is masked: shorter ones would hide ordinary words.
const minSecret = 4

// mask sets the secrets; longer ones are replaced first, since one may hold another.
func (m *maskedWriter) mask(secrets []string) {
	var list [][]byte
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		for _, form := range []string{s, compact(s), strconv.Quote(s)} { // as it is, in JSON, in text
			list = append(list, []byte(strings.Trim(form, `"`)))
		}
	}
	sort.Slice(list, func(i, j int) bool { return len(list[i]) > len(list[j]) })
	m.secrets.Store(&list)
}

// Write implements io.Writer.
func (m *maskedWriter) Write(p []byte) (int, error) {
	if _, err := m.out.Write(m.masked(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// text gives a text without the secrets.
func (m *maskedWriter) text(s string) string { return string(m.masked([]byte(s))) }

func (m *maskedWriter) masked(text []byte) []byte {
	if list := m.secrets.Load(); list != nil {
		for _, s := range *list {
			if bytes.Contains(text, s) {
				text = bytes.ReplaceAll(text, s, []byte("***"))
			}
		}
	}
	return text
}

// newLogger makes the broker's logger; c was checked.
func newLogger(c LogConfig, out io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}

// secrets are all values that must not be logged: what was put in from the
// environment and files, the users' passwords and tokens, and master keys.
func (c *Config) secrets() []string {
	list := append(c.Store.secrets(), c.interpolated...)
	for _, u := range c.Users {
		list = append(append(list, u.Passwords...), u.Tokens...)
	}
	return append(list, c.Encryption.MasterKeys...)
}
