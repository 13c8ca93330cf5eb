package osbapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/chandler-broker/chandler/core"
)

// readIdentity reads X-Broker-API-Originating-Identity: a platform's word, a
// space, and a JSON object in base64. An empty header is as good as none; which
// properties the object has is the platform's business.
func (c *call) readIdentity() {
	values := c.r.Header[keyIdentity]
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return
	}
	if len(values) > 1 {
		c.problem(headerIdentity, "is there %d times; expected once", len(values))
		return
	}
	platform, identity, problem := parseIdentity(values[0])
	if problem != "" {
		c.problem(headerIdentity, "%s", problem)
		return
	}
	c.platform, c.caller.Identity = platform, identity
}

// parseIdentity gives the platform and the object with the platform in it, or
// what is wrong with the header's value.
func parseIdentity(value string) (platform string, identity json.RawMessage, problem string) {
	platform, encoded, found := strings.Cut(value, " ")
	encoded = strings.TrimSpace(encoded)
	if !found || platform == "" || encoded == "" || !utf8.ValidString(platform) {
		return "", nil, "is not a platform, a space and a value, as in: cloudfoundry eyJ1c2VyX2lkIjoiLi4uIn0="
	}
	// Padding is required by the letter of RFC 4648, and left out by some clients.
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return "", nil, "has a value that is not base64 (RFC 4648, the alphabet with + and /)"
	}
	if problems := scanJSON(raw); len(problems) > 0 {
		return "", nil, "has a value that is not the base64 of JSON: " + problems[0].Message
	}
	v, err := core.JSONValue(raw)
	object, ok := v.(map[string]any)
	if err != nil || !ok {
		return "", nil, "has a value that is not the base64 of a JSON object"
	}
	object["platform"] = platform
	identity, err = core.CanonicalJSON(object)
	if err != nil {
		return "", nil, "has a value that cannot be read"
	}
	return platform, identity, ""
}

// traceparent gives the W3C trace context that came with the request, which the
// operation is to remember; "" if there is none of version 00. Whoever serves the
// handler may put the span of its own into the header.
func traceparent(h http.Header) string {
	const form = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
	value := h.Get(headerTraceparent)
	if len(value) != len(form) || !strings.HasPrefix(value, "00-") || strings.Trim(value, "0123456789abcdef-") != "" {
		return ""
	}
	return value
}
