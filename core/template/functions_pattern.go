package template

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/Masterminds/semver/v3"
)

// maxPattern bounds a regular expression, whose cost is its length times the text's.
const maxPattern = 1000

// patternFunctions match texts. The pattern is a literal in the template, compiled
// and checked with it.
var patternFunctions = map[string]*function{
	"regexMatch": onPattern(0, tBool, func(c *call, re *regexp.Regexp) (any, error) {
		return re.MatchString(c.str(1)), nil
	}),
	"regexFind": onPattern(0, tString, func(c *call, re *regexp.Regexp) (any, error) {
		return re.FindString(c.str(1)), nil
	}),
	"regexFindAll": onPattern(tInt, tList, func(c *call, re *regexp.Regexp) (any, error) {
		return re.FindAllString(c.str(1), count(c.int(2))), nil
	}),
	"regexSplit": onPattern(tInt, tList, func(c *call, re *regexp.Regexp) (any, error) {
		return re.Split(c.str(1), count(c.int(2))), nil
	}),
	"regexReplaceAll": onPattern(tString, tString, func(c *call, re *regexp.Regexp) (any, error) {
		return replacePattern(re, c.str(1), c.str(2), true)
	}),
	"regexReplaceAllLiteral": onPattern(tString, tString, func(c *call, re *regexp.Regexp) (any, error) {
		return replacePattern(re, c.str(1), c.str(2), false)
	}),
	"regexQuoteMeta": onText(regexp.QuoteMeta),
	"semverCompare": {params: []types{tString, tString}, result: tBool, literal: true, call: func(c *call) (any, error) {
		constraint, err := semver.NewConstraint(c.str(0))
		if err != nil {
			return nil, errors.New("the constraint is not valid")
		}
		if len(c.str(1)) > 256 {
			return nil, errors.New("the version is longer than 256 bytes")
		}
		version, err := semver.NewVersion(c.str(1))
		if err != nil {
			return nil, errors.New("the text is not a version")
		}
		return constraint.Check(version), nil
	}},
}

// onPattern makes a function of a pattern, a text and, if third is set, one more argument.
func onPattern(third, result types, f func(*call, *regexp.Regexp) (any, error)) *function {
	params := []types{tString, tString}
	if third != 0 {
		params = append(params, third)
	}
	return &function{params: params, result: result, literal: true, call: func(c *call) (any, error) {
		re := c.doc.patterns[c.str(0)]
		if re == nil {
			return nil, errors.New("the pattern was not compiled with the template")
		}
		// Matching walks the program of the pattern for every byte in the worst case.
		if err := c.spend(len(c.str(1)) * (1 + len(c.str(0))/16)); err != nil {
			return nil, err
		}
		return f(c, re)
	}}
}

func compilePattern(pattern string) (*regexp.Regexp, error) {
	if len(pattern) > maxPattern {
		return nil, fmt.Errorf("the pattern is longer than %d bytes", maxPattern)
	}
	return regexp.Compile(pattern)
}

// count reads sprig's number of matches: negative means all.
func count(n int64) int { return int(max(-1, min(n, maxResult))) }

// replacePattern is ReplaceAll within the bound of results: it stops as soon as the
// result is too large instead of making it first.
func replacePattern(re *regexp.Regexp, s, with string, expand bool) (string, error) {
	var out []byte
	last := 0
	for _, m := range re.FindAllStringSubmatchIndex(s, -1) {
		out = append(out, s[last:m[0]]...)
		if expand {
			out = re.ExpandString(out, with, s, m)
		} else {
			out = append(out, with...)
		}
		if last = m[1]; len(out) > maxResult {
			return "", errTooLarge
		}
	}
	return string(append(out, s[last:]...)), nil
}
