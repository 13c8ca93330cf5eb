package template

import (
	"crypto/sha1" //nolint:gosec // a checksum that catalogs of old services need, not a signature
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash/adler32"
	"strconv"
	"strings"

	"github.com/chandler-broker/chandler/core"
)

// encodingFunctions translate values to texts and back. Texts that cannot be decoded
// are errors; sprig's would put the error's text into the result.
var encodingFunctions = map[string]*function{
	"toJSON": {params: []types{tAny}, result: tString, deep: true, call: func(c *call) (any, error) { return identity(c.args[0]) }},
	"toJson": {params: []types{tAny}, result: tString, deep: true, call: func(c *call) (any, error) { return identity(c.args[0]) }},
	"toPrettyJson": {params: []types{tAny}, result: tString, deep: true, call: func(c *call) (any, error) {
		var b strings.Builder
		err := writeJSON(&b, c.args[0], "\n")
		return b.String(), err
	}},
	"fromJSON": {params: []types{tString}, result: tAny, call: func(c *call) (any, error) { return parseJSON(c.str(0)) }},
	"fromJson": {params: []types{tString}, result: tAny, call: func(c *call) (any, error) { return parseJSON(c.str(0)) }},

	"b64enc": onText(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }),
	"b32enc": onText(func(s string) string { return base32.StdEncoding.EncodeToString([]byte(s)) }),
	"b64dec": {params: []types{tString}, result: tString, call: func(c *call) (any, error) {
		b, err := base64.StdEncoding.DecodeString(c.str(0))
		if err != nil {
			return nil, errors.New("the text is not base64")
		}
		return string(b), nil
	}},
	"b32dec": {params: []types{tString}, result: tString, call: func(c *call) (any, error) {
		b, err := base32.StdEncoding.DecodeString(c.str(0))
		if err != nil {
			return nil, errors.New("the text is not base32")
		}
		return string(b), nil
	}},

	"sha1sum":    onText(func(s string) string { h := sha1.Sum([]byte(s)); return hex.EncodeToString(h[:]) }), //nolint:gosec // see above
	"sha256sum":  onText(func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }),
	"sha512sum":  onText(func(s string) string { h := sha512.Sum512([]byte(s)); return hex.EncodeToString(h[:]) }),
	"adler32sum": onText(func(s string) string { return strconv.FormatUint(uint64(adler32.Checksum([]byte(s))), 10) }),
	"shortID":    onText(core.ShortID),
}

func parseJSON(s string) (any, error) {
	v, err := core.JSONValue(json.RawMessage(s))
	if err != nil {
		return nil, errors.New("the text is not JSON")
	}
	return v, nil
}

// writeJSON encodes with sorted keys and without HTML escapes, and stops at the bound
// of results. line is "" for the compact form, else the line break with its indentation.
func writeJSON(b *strings.Builder, v any, line string) error {
	if b.Len() > maxResult {
		return errTooLarge
	}
	inner, colon := line, ":"
	if line != "" {
		inner, colon = line+"  ", ": "
	}
	switch t := plain(v).(type) {
	case []any:
		b.WriteByte('[')
		for i, e := range t {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(inner)
			if err := writeJSON(b, e, inner); err != nil {
				return err
			}
		}
		if len(t) > 0 {
			b.WriteString(line)
		}
		b.WriteByte(']')
		return nil
	case map[string]any:
		b.WriteByte('{')
		for i, k := range sortedKeys(t) {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(inner)
			if err := writeJSON(b, k, ""); err != nil {
				return err
			}
			b.WriteString(colon)
			if err := writeJSON(b, t[k], inner); err != nil {
				return err
			}
		}
		if len(t) > 0 {
			b.WriteString(line)
		}
		b.WriteByte('}')
		return nil
	default:
		raw, err := core.CanonicalJSON(t)
		if err != nil {
			return errors.New("the value is not JSON")
		}
		b.Write(raw)
		return nil
	}
}
