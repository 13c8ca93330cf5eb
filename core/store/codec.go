package store

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// micros is how a time is stored: microseconds since 1970 UTC, NULL for the zero time.
func micros(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

// instant scans what micros stored.
type instant struct{ to *time.Time }

// Scan implements sql.Scanner.
func (i instant) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*i.to = time.Time{}
	case int64:
		*i.to = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("a time is stored as %T", src)
	}
	return nil
}

// raw is how bytes are stored: nil is NULL, so that it differs from empty.
func raw(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}

// blob scans what raw stored. The driver gives an empty blob as a nil slice and
// NULL as nil itself; database/sql's own conversion would make both nil.
type blob struct{ to *[]byte }

// Scan implements sql.Scanner.
func (b blob) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*b.to = nil
	case []byte:
		*b.to = append([]byte{}, v...)
	default:
		return fmt.Errorf("a blob is stored as %T", src)
	}
	return nil
}

// encodeJSON writes v so that raw messages inside keep their bytes (canonical
// JSON has no white space, and HTML is not escaped).
func encodeJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// sealer seals the columns of one row; the first failure stays in err.
type sealer struct {
	cipher     Cipher
	table, row string
	err        error
}

// bytes gives the value to store for plain: NULL for nil.
func (s *sealer) bytes(column string, plain []byte) any {
	if plain == nil || s.err != nil {
		return nil
	}
	sealed, err := s.cipher.Seal(s.table, s.row, column, plain)
	if err != nil {
		s.err = fmt.Errorf("encrypt %s.%s: %w", s.table, column, err)
		return nil
	}
	if sealed == nil {
		sealed = []byte{}
	}
	return sealed
}

// json gives the value to store for the JSON form of v; NULL if there is none.
func (s *sealer) json(column string, v any, present bool) any {
	if !present || s.err != nil {
		return nil
	}
	plain, err := encodeJSON(v)
	if err != nil {
		s.err = fmt.Errorf("encode %s.%s: %w", s.table, column, err)
		return nil
	}
	return s.bytes(column, plain)
}

// sealedText begins a sealed value in a text column; base64 follows, since such a
// column takes text only.
const sealedText = "\x01"

// text gives the value to store in a text column; "" stays as it is.
func (s *sealer) text(column, plain string) string {
	if _, open := s.cipher.(plainCipher); open || plain == "" || s.err != nil {
		return plain
	}
	sealed, _ := s.bytes(column, []byte(plain)).([]byte)
	return sealedText + base64.StdEncoding.EncodeToString(sealed)
}

// opener opens the columns of one row; the first failure stays in err.
type opener struct {
	cipher     Cipher
	table, row string
	err        error
}

// bytes gives back what sealer.bytes stored: nil for NULL.
func (o *opener) bytes(column string, sealed []byte) []byte {
	if sealed == nil || o.err != nil {
		return nil
	}
	plain, err := o.cipher.Open(o.table, o.row, column, sealed)
	if err != nil {
		o.err = fmt.Errorf("decrypt %s.%s of %s: %w", o.table, column, o.row, err)
		return nil
	}
	if plain == nil {
		plain = []byte{}
	}
	return plain
}

// text gives back what sealer.text stored.
func (o *opener) text(column, stored string) string {
	if _, open := o.cipher.(plainCipher); open || stored == "" || o.err != nil {
		return stored
	}
	sealed, err := unsealText(stored)
	if err != nil {
		o.err = fmt.Errorf("decrypt %s.%s of %s: %w", o.table, column, o.row, err)
		return ""
	}
	return string(o.bytes(column, sealed))
}

// unsealText gives the sealed bytes of a text column's value. One without the mark
// is given as it is: whether it may be unsealed is the Cipher's to say.
func unsealText(stored string) ([]byte, error) {
	text, marked := strings.CutPrefix(stored, sealedText)
	if !marked {
		return []byte(stored), nil
	}
	return base64.StdEncoding.DecodeString(text)
}

// json decodes what sealer.json stored into v; NULL leaves v alone.
func (o *opener) json(column string, sealed []byte, v any) {
	plain := o.bytes(column, sealed)
	if plain == nil || o.err != nil {
		return
	}
	if err := json.Unmarshal(plain, v); err != nil {
		o.err = fmt.Errorf("decode %s.%s of %s: %w", o.table, column, o.row, err)
	}
}
