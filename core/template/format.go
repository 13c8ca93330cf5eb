package template

import (
	"errors"
	"fmt"
	"strings"
)

// verb is one conversion of a printf format: %-10.3d
type verb struct {
	spec  string // all of it
	char  byte
	takes types
}

var errFormat = errors.New("the format has a conversion that is not known: " +
	"%s %q %v %d %x %X %o %b %e %f %g %t %c and %% are, with flags, a width and a precision below 1000")

// parseFormat cuts a printf format into literal texts and verbs, alternating and
// beginning with a text. Explicit argument indexes and * are refused: they make
// formats that nobody can check by reading.
func parseFormat(format string) (texts []string, verbs []verb, err error) {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		start := i
		i++
		for i < len(format) && strings.IndexByte("+-# 0", format[i]) >= 0 {
			i++
		}
		var ok bool
		if i, ok = skipDigits(format, i); !ok {
			return nil, nil, errFormat
		}
		if i < len(format) && format[i] == '.' {
			if i, ok = skipDigits(format, i+1); !ok {
				return nil, nil, errFormat
			}
		}
		if i == len(format) {
			return nil, nil, errFormat
		}
		if format[i] == '%' && i == start+1 {
			b.WriteByte('%')
			continue
		}
		v := verb{spec: format[start : i+1], char: format[i]}
		if v.takes = verbTypes(v.char); v.takes == 0 {
			return nil, nil, errFormat
		}
		texts, verbs = append(texts, b.String()), append(verbs, v)
		b.Reset()
	}
	return append(texts, b.String()), verbs, nil
}

// skipDigits passes over up to three digits; a fourth is an error.
func skipDigits(s string, i int) (int, bool) {
	start := i
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return i, i-start <= 3
}

func verbTypes(char byte) types {
	switch char {
	case 's', 'q':
		return tString
	case 'v':
		return tScalar
	case 'd', 'o', 'b', 'c':
		return tInt
	case 'x', 'X':
		return tInt | tString
	case 'e', 'f', 'g':
		return tNumber
	case 't':
		return tBool
	}
	return 0
}

// checkFormat tells what is wrong with a format for arguments of these types; "" if nothing.
func checkFormat(format string, args []types) string {
	_, verbs, err := parseFormat(format)
	if err != nil {
		return err.Error()
	}
	if len(verbs) != len(args) {
		return fmt.Sprintf("the format %q takes %d %s and gets %d", format, len(verbs), plural(len(verbs), "value"), len(args))
	}
	for i, v := range verbs {
		if args[i].disjoint(v.takes) {
			return fmt.Sprintf("%s in the format %q takes %s and gets %s", v.spec, format, v.takes, args[i])
		}
	}
	return ""
}

// format is printf whose mismatches are errors instead of "%!d(string=…)" in a credential.
func format(format string, args []any) (string, error) {
	texts, verbs, err := parseFormat(format)
	if err != nil {
		return "", err
	}
	if len(verbs) != len(args) {
		return "", fmt.Errorf("the format takes %d %s and gets %d", len(verbs), plural(len(verbs), "value"), len(args))
	}
	var b strings.Builder
	b.WriteString(texts[0])
	for i, v := range verbs {
		a := args[i]
		t := typeOf(a)
		if t == tFloat && v.takes&tNumber == tInt {
			if n, err := wholeNumber(a.(float64)); err == nil {
				a, t = n, tInt
			}
		}
		if t&v.takes == 0 {
			return "", fmt.Errorf("%s takes %s and gets %s", v.spec, v.takes, t)
		}
		if t == tInt && v.takes == tNumber {
			a = float64(a.(int64))
		}
		if t == tFloat && v.char == 'v' {
			a, v.spec = floatText(a.(float64)), strings.TrimSuffix(v.spec, "v")+"s"
		}
		fmt.Fprintf(&b, v.spec, a)
		b.WriteString(texts[i+1])
		if b.Len() > maxResult {
			return "", errTooLarge
		}
	}
	return b.String(), nil
}
