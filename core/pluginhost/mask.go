package pluginhost

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	masked = "•••"
	// shortestSecret: shorter values are not masked; they would turn logs into dots and protect nothing.
	shortestSecret = 3
	// shortestEncoded: of a shorter one too little is left in base64.
	shortestEncoded = 6
	// rememberedSecrets bounds the secrets of finished calls, with their spellings, that are
	// still masked, since a plugin may log late.
	rememberedSecrets = 16384
	// indexed is how many of a secret's first bytes it is found by, if it has as many.
	indexed = 8
)

// masker replaces secrets in text: those of the configuration, of running calls and, for a
// while, of finished ones. Safe for concurrent use.
type masker struct {
	mu     sync.RWMutex
	known  map[string]*holding
	recent []string // of finished calls, oldest first
	// byStart are the lengths of the known secrets that begin with these shortestSecret or indexed bytes.
	byStart map[string]lengths
	all     lengths
}

// lengths says how many secrets have a length, the greatest length first.
type lengths []struct{ length, n int }

// change adds d to the number of secrets of a length.
func (l lengths) change(length, d int) lengths {
	at := 0
	for at < len(l) && l[at].length > length {
		at++
	}
	if at == len(l) || l[at].length != length {
		l = slices.Insert(l, at, struct{ length, n int }{length, 0})
	}
	if l[at].n += d; l[at].n == 0 {
		l = slices.Delete(l, at, at+1)
	}
	return l
}

// holding says who needs a secret masked.
type holding struct {
	calls  int  // that run; the configuration counts as one that never ends
	recent bool // it is in recent
}

func newMasker(fixed []string) *masker {
	m := &masker{known: map[string]*holding{}, byStart: map[string]lengths{}}
	m.hold(fixed...)
	return m
}

// add makes values masked from now on, as if a call that had them was over.
func (m *masker) add(values ...string) { m.release(m.hold(values...)) }

// hold makes values masked until what it gives is released, and for a while after.
func (m *masker) hold(values ...string) (held []string) {
	for _, v := range values {
		held = appendSpellings(held, v)
	}
	m.holdSpelled(held)
	return held
}

// holdSpelled is hold for what needs no other spelling.
func (m *masker) holdSpelled(secrets []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range secrets {
		h := m.known[s]
		if h == nil {
			h = &holding{}
			m.known[s] = h
			m.index(s, 1)
		}
		h.calls++
	}
}

// release ends what hold began.
func (m *masker) release(held []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range held {
		h := m.known[s]
		if h.calls--; h.calls == 0 && !h.recent {
			h.recent = true
			m.recent = append(m.recent, s)
		}
	}
	for len(m.recent) > rememberedSecrets {
		s := m.recent[0]
		m.recent = m.recent[1:]
		h := m.known[s]
		if h.recent = false; h.calls == 0 {
			delete(m.known, s)
			m.index(s, -1)
		}
	}
}

// start is what a secret is found by.
func start(s string) string {
	if len(s) < indexed {
		return s[:shortestSecret]
	}
	return s[:indexed]
}

// index adds a secret (d is 1) to what texts are looked up in, or takes it out (-1).
func (m *masker) index(s string, d int) {
	m.all = m.all.change(len(s), d)
	key := start(s)
	if l := m.byStart[key].change(len(s), d); len(l) > 0 {
		m.byStart[key] = l
	} else {
		delete(m.byStart, key)
	}
}

// mask gives text without the known secrets. Where they overlap, nothing of either stays.
func (m *masker) mask(text string) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out strings.Builder
	kept, end := 0, 0 // text is copied up to kept; the secret that was found last ends at end
	for i := range len(text) - shortestSecret + 1 {
		length := m.longestAt(text[i:])
		if length == 0 {
			continue
		}
		if i >= end {
			out.WriteString(text[kept:i])
			out.WriteString(masked)
		}
		end = max(end, i+length)
		kept = end
	}
	if kept == 0 {
		return text
	}
	out.WriteString(text[kept:])
	return out.String()
}

// longestAt is the length of the longest secret with which text begins; 0 if there is none.
func (m *masker) longestAt(text string) int {
	if len(text) >= indexed {
		if length := m.longestOf(m.byStart[text[:indexed]], text); length > 0 {
			return length
		}
	}
	return m.longestOf(m.byStart[text[:shortestSecret]], text)
}

func (m *masker) longestOf(l lengths, text string) int {
	for _, of := range l {
		if of.length <= len(text) && m.known[text[:of.length]] != nil {
			return of.length
		}
	}
	return 0
}

// longest is the length of the longest secret, in bytes.
func (m *masker) longest() int {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.all) == 0 {
		return 0
	}
	return m.all[0].length
}

// appendSpellings adds the ways in which a secret shows up in a log.
func appendSpellings(to []string, secret string) []string {
	if len(secret) >= shortestSecret {
		to = append(to, secret)
	}
	if !plain(secret) {
		to = appendEscaped(to, secret)
	}
	if len(secret) >= shortestEncoded {
		to = appendEncoded(to, secret)
	}
	return to
}

// plain tells whether a text looks the same as a JSON string, in a URL, and has one line.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.~", r)
	})
}

// appendEscaped adds a secret as strings of JSON and Go, in URLs, and each line of it,
// since logs are read by lines.
func appendEscaped(to []string, secret string) []string {
	spelled := []string{url.QueryEscape(secret), url.PathEscape(secret)}
	quoted := strconv.Quote(secret)
	spelled = append(spelled, quoted[1:len(quoted)-1])
	if enc, err := json.Marshal(secret); err == nil {
		spelled = append(spelled, string(enc[1:len(enc)-1]))
	}
	spelled = append(spelled, strings.FieldsFunc(secret, func(r rune) bool { return r == '\n' || r == '\r' })...)
	for _, s := range spelled {
		if s = strings.TrimSpace(s); len(s) >= shortestSecret && s != secret {
			to = append(to, s)
		}
	}
	return to
}

// appendEncoded adds a secret in hexadecimal and in base64, of both alphabets, also where it
// is a part of what was encoded, as in basic authentication: at each of three
// alignments, without the characters that hold bits of what is around it.
func appendEncoded(to []string, secret string) []string {
	to = append(to, hex.EncodeToString([]byte(secret)))
	padded := make([]byte, len(secret)+2)
	copy(padded[2:], secret)
	for k := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString(padded[2-k:])
		core := encoded[(k*8+5)/6 : (k+len(secret))*8/6]
		to = append(to, core)
		if strings.ContainsAny(core, "+/") {
			to = append(to, strings.NewReplacer("+", "-", "/", "_").Replace(core))
		}
	}
	return to
}

// seedSpellings are the texts under which a seed may be logged.
func seedSpellings(seed []byte) []string {
	if len(seed) == 0 {
		return nil
	}
	return []string{hex.EncodeToString(seed), base64.StdEncoding.EncodeToString(seed)}
}
