package pluginhost

import (
	"bytes"
	"strings"
)

// userText bounds a text of a plugin and takes control characters out.
func userText(s string) string {
	return strings.TrimSpace(cut(cleanText(s), maxText))
}

// cleanText keeps valid UTF-8, tabs and line ends.
func cleanText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
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

// cut shortens text to n bytes, at a character's end.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}
