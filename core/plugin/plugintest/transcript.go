package plugintest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"

	"github.com/chandler-broker/chandler/core/plugin"
)

// transcript is everything that the plugin wrote or told in the clear, and the
// secrets that must not be in it.
type transcript struct {
	mu      sync.Mutex
	texts   []text
	size    int
	secrets map[string]bool
}

type text struct{ where, text string }

// maxTranscript bounds what is kept, in bytes; what comes after is looked at in pieces that are kept.
const maxTranscript = 64 << 20

// minSecret is the shortest value that is looked for; shorter ones appear by chance.
const minSecret = 6

func (t *transcript) add(where, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.size += len(what); t.size <= maxTranscript {
		t.texts = append(t.texts, text{where, what})
	}
}

func (t *transcript) hide(secrets ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.secrets == nil {
		t.secrets = map[string]bool{}
	}
	for _, s := range secrets {
		if len(s) >= minSecret {
			t.secrets[s] = true
		}
	}
}

// writer adds what is written to the transcript.
func (t *transcript) writer(where string) io.Writer { return lineWriter{t, where} }

type lineWriter struct {
	t     *transcript
	where string
}

func (w lineWriter) Write(p []byte) (int, error) {
	w.t.add(w.where, string(p))
	return len(p), nil
}

// leaks lists where secrets appear, plain or in a usual encoding, without showing them.
func (t *transcript) leaks() (found []string, secrets int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	joined := map[string]*strings.Builder{} // a stream comes in pieces of any length
	for _, x := range t.texts {
		if joined[x.where] == nil {
			joined[x.where] = &strings.Builder{}
		}
		joined[x.where].WriteString(x.text)
	}
	for where, b := range joined {
		n := 0
		for s := range t.secrets {
			if containsSecret(b.String(), s) {
				n++
			}
		}
		if n > 0 {
			found = append(found, fmt.Sprintf("%d of %d declared secrets appear in the plugin's %s", n, len(t.secrets), where))
		}
	}
	return found, len(t.secrets)
}

func containsSecret(text, secret string) bool {
	escaped, _ := json.Marshal(secret) // a string can always be encoded
	for _, form := range []string{
		secret,
		string(escaped[1 : len(escaped)-1]),
		url.QueryEscape(secret),
		url.PathEscape(secret),
		base64.StdEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)),
	} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// tail gives the end of the log, with secrets masked.
func (t *transcript) tail() string {
	const limit = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, x := range t.texts {
		if x.where == "standard error" {
			b.WriteString(x.text)
		}
	}
	log := b.String()
	for s := range t.secrets {
		log = strings.ReplaceAll(log, s, "(secret)")
	}
	if len(log) > limit {
		log = "…" + log[len(log)-limit:]
	}
	return log
}

func secretsOf(schema, document json.RawMessage) []string {
	return plugin.SecretValues(schema, document)
}
