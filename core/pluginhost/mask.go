package pluginhost

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sort"
	"strings"
	"sync"
)

const (
	masked = "•••"
	// shortestSecret: shorter values are not masked; they would turn logs into dots and protect nothing.
	shortestSecret = 3
	// rememberedSecrets bounds the secrets of finished calls that are still masked, since a
	// plugin may log late.
	rememberedSecrets = 4096
)

// masker replaces secrets in text. Safe for concurrent use.
type masker struct {
	mu      sync.RWMutex
	ordered []string        // what is masked, longest first, so that no part of a longer one stays
	recent  []string        // those of calls, oldest first; the configuration's stay for ever
	known   map[string]bool // what is in ordered
}

func newMasker(fixed []string) *masker {
	m := &masker{known: map[string]bool{}}
	for _, s := range fixed {
		for _, spelling := range spellings(s) {
			m.insert(spelling)
		}
	}
	return m
}

// add makes the values masked from now on.
func (m *masker) add(values ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range values {
		for _, s := range spellings(v) {
			if m.insert(s) {
				m.recent = append(m.recent, s)
			}
		}
	}
	for len(m.recent) > rememberedSecrets {
		m.remove(m.recent[0])
		m.recent = m.recent[1:]
	}
}

func (m *masker) insert(s string) bool {
	if m.known[s] {
		return false
	}
	m.known[s] = true
	m.ordered = slices.Insert(m.ordered, m.place(s), s)
	return true
}

func (m *masker) remove(s string) {
	delete(m.known, s)
	for i := m.place(s); i < len(m.ordered); i++ {
		if m.ordered[i] == s {
			m.ordered = slices.Delete(m.ordered, i, i+1)
			return
		}
	}
}

// place is the index of the first value that is not longer than s.
func (m *masker) place(s string) int {
	return sort.Search(len(m.ordered), func(i int) bool { return len(m.ordered[i]) <= len(s) })
}

// mask gives text without the known secrets.
func (m *masker) mask(text string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, s := range m.ordered {
		text = strings.ReplaceAll(text, s, masked)
	}
	return text
}

// longest is the length of the longest secret, in bytes.
func (m *masker) longest() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.ordered) == 0 {
		return 0
	}
	return len(m.ordered[0])
}

// spellings gives the ways in which a secret shows up in a log: itself, as a JSON
// string, and each line of it, since logs are read by lines.
func spellings(secret string) []string {
	var out []string
	add := func(s string) {
		if len(s) >= shortestSecret {
			out = append(out, s)
		}
	}
	add(secret)
	if enc, err := json.Marshal(secret); err == nil {
		if s := string(enc[1 : len(enc)-1]); s != secret {
			add(s)
		}
	}
	if strings.ContainsAny(secret, "\r\n") {
		for _, line := range strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' }) {
			add(strings.TrimSpace(line))
		}
	}
	sort.Slice(out, func(i, j int) bool { return len(out[i]) > len(out[j]) })
	return out
}

// seedSpellings are the texts under which a seed may be logged.
func seedSpellings(seed []byte) []string {
	if len(seed) == 0 {
		return nil
	}
	return []string{hex.EncodeToString(seed), base64.StdEncoding.EncodeToString(seed)}
}

// cleanLine makes a line of a plugin fit for a log record: valid UTF-8, no control characters.
func cleanLine(b []byte) string {
	b = bytes.ToValidUTF8(bytes.TrimRight(b, "\r\n"), []byte("\uFFFD"))
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, string(b))
}
