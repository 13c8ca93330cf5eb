package osbapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/chandler-broker/chandler/core"
)

// wholeBody is the place of a problem that no field has.
const wholeBody = "body"

// scanJSON says what makes raw not one JSON value that the broker can take: it
// must be valid UTF-8 and JSON, not nest deeper than MaxDepth, and have no key
// twice in one object and no number out of range, since two readers of such a
// document could read two different requests. nil if it is fine.
func scanJSON(raw []byte) []core.Violation {
	if len(bytes.TrimSpace(raw)) == 0 {
		return []core.Violation{{Pointer: wholeBody, Message: "is empty; expected a JSON object"}}
	}
	if !utf8.Valid(raw) {
		return []core.Violation{{Pointer: wholeBody, Message: "is not valid UTF-8"}}
	}
	s := scanner{raw: raw, dec: json.NewDecoder(bytes.NewReader(raw))}
	s.dec.UseNumber()
	if err := s.value("", 0); err != nil {
		return append(s.found, core.Violation{Pointer: wholeBody, Message: s.describe(err)})
	}
	if _, err := s.dec.Token(); err != io.EOF {
		return append(s.found, core.Violation{Pointer: wholeBody, Message: "goes on after the end of the JSON value; expected one JSON object"})
	}
	return s.found
}

type scanner struct {
	raw   []byte
	dec   *json.Decoder
	found []core.Violation
}

var errTooDeep = errors.New("too deep")

// value reads one value; what is wrong but lets the reading go on is noted in found.
func (s *scanner) value(at string, depth int) error {
	token, err := s.dec.Token()
	if err != nil {
		return err
	}
	switch t := token.(type) {
	case json.Number:
		if _, err := strconv.ParseFloat(t.String(), 64); err != nil {
			s.note(at, "is a number out of range")
		}
	case json.Delim:
		if depth >= MaxDepth {
			return errTooDeep
		}
		if t == '{' {
			return s.object(at, depth+1)
		}
		return s.array(at, depth+1)
	}
	return nil
}

func (s *scanner) object(at string, depth int) error {
	seen := map[string]bool{}
	for s.dec.More() {
		token, err := s.dec.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("an object's key that is not a string")
		}
		place := at + "/" + escapePointer(key)
		if seen[key] {
			s.note(place, "is there twice")
		}
		seen[key] = true
		if err := s.value(place, depth); err != nil {
			return err
		}
	}
	_, err := s.dec.Token()
	return err
}

func (s *scanner) array(at string, depth int) error {
	for i := 0; s.dec.More(); i++ {
		if err := s.value(at+"/"+strconv.Itoa(i), depth); err != nil {
			return err
		}
	}
	_, err := s.dec.Token()
	return err
}

// note keeps the first few problems: a list of thousands helps nobody.
func (s *scanner) note(at, message string) {
	const enough = 20
	if len(s.found) < enough {
		s.found = append(s.found, core.Violation{Pointer: at, Message: message})
	}
}

// describe says in words where and why the text stops to be JSON.
func (s *scanner) describe(err error) string {
	if errors.Is(err, errTooDeep) {
		return fmt.Sprintf("nests too deep; expected at most %d levels", MaxDepth)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "is not JSON: it ends too early"
	}
	// The tokens' errors count from places of their own; the decoder of the whole
	// counts from the beginning.
	var whole json.RawMessage
	var syntax *json.SyntaxError
	if all := json.Unmarshal(s.raw, &whole); !errors.As(all, &syntax) {
		return "is not JSON"
	}
	before := s.raw[:max(syntax.Offset-1, 0)]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return fmt.Sprintf("is not JSON: line %d, column %d: %s", line, column, syntax)
}

// escapePointer writes a key as a token of a JSON pointer (RFC 6901).
func escapePointer(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
