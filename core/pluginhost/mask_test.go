package pluginhost

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"testing"
)

func TestMasker(t *testing.T) {
	m := newMasker([]string{"fixed", "ab"})
	m.add("abc", "abcdef", `with "quotes"`, "line one\nline two", "overlap", "lapping")
	for _, c := range []struct{ in, want, why string }{
		{"fixed and abcdef and abc", "••• and ••• and •••", "the longer one first, so that nothing of it stays"},
		{`{"k":"with \"quotes\""}`, `{"k":"•••"}`, "as JSON writes it"},
		{"line two", "•••", "each line of a secret of several"},
		{"ab", "ab", "too short to be masked"},
		{"an overlapping word", "an ••• word", "where secrets overlap, nothing of either stays"},
		{"abcabcx", "••••••x", "side by side they are two"},
		{"/?p=with+%22quotes%22", "/?p=•••", "in a query"},
		{"/with%20%22quotes%22", "/•••", "in a path"},
		{"log in as " + base64.StdEncoding.EncodeToString([]byte(`user:with "quotes"`)), "log in as dXNlcjp•••", "in basic authentication"},
		{"0x" + hex.EncodeToString([]byte(`with "quotes"`)), "0x•••", "in hexadecimal"},
	} {
		if got := m.mask(c.in); got != c.want {
			t.Errorf("%q → %q; want %q: %s", c.in, got, c.want, c.why)
		}
	}
	running := m.hold("of a running call", "of both")
	ended := m.hold("of both")
	m.release(ended)
	for i := range rememberedSecrets {
		m.add(fmt.Sprintf("secret-%08d", i)) // all with the same beginning
	}
	last := fmt.Sprintf("secret-%08d", rememberedSecrets-1)
	text := "fixed, " + last + ", abcdef, of a running call, of both"
	if got := m.mask(text); got != "•••, •••, abcdef, •••, •••" {
		t.Errorf("after many calls: %q", got)
	}
	m.release(running)
	if got := m.mask(text); got != "•••, •••, abcdef, •••, •••" {
		t.Errorf("a plugin may log late: %q", got)
	}
	for i := range rememberedSecrets {
		m.add(fmt.Sprintf("a much longer secret-%08d", i))
	}
	if got := m.mask(text); got != "•••, "+last+", abcdef, of a running call, of both" {
		t.Errorf("long after: %q", got)
	}
	const fixed, spellings = 8, 8 // at most, of one secret
	if n := len(m.known); n > rememberedSecrets+fixed || len(m.all) > fixed+spellings {
		t.Errorf("%d secrets of %d lengths are kept", n, len(m.all))
	}
}
