package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// reference is ${env:NAME} or ${file:/path}; $${ is a literal ${.
var reference = regexp.MustCompile(`\$?\$\{(env|file):([^}]*)\}`)

// interpolation expands references in every scalar of a document.
type interpolation struct {
	path     string
	getenv   func(string) (string, bool)
	lenient  bool // what cannot be resolved is the word unset
	values   []string
	problems []string
}

func (in *interpolation) node(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		in.scalar(n)
		return
	}
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue // keys are plain
		}
		in.node(child)
	}
}

// interpolate expands the references of one value, for the catalog; relative files
// are relative to dir.
func interpolate(dir, text string) (string, error) {
	in := interpolation{path: filepath.Join(dir, "catalog"), getenv: os.LookupEnv}
	n := yaml.Node{Kind: yaml.ScalarNode, Value: text}
	in.scalar(&n)
	if len(in.problems) > 0 {
		return "", errors.New(strings.Join(in.problems, "; "))
	}
	return n.Value, nil
}

func (in *interpolation) scalar(n *yaml.Node) {
	if !strings.Contains(n.Value, "${") {
		return
	}
	n.Value = reference.ReplaceAllStringFunc(n.Value, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		parts := reference.FindStringSubmatch(m)
		v, err := in.resolve(parts[1], parts[2])
		if err != nil && in.lenient {
			return "unset"
		}
		if err != nil {
			in.problems = append(in.problems, fmt.Sprintf("%s:%d:%d: %v", in.path, n.Line, n.Column, err))
			return ""
		}
		if v != "" {
			in.values = append(in.values, v)
		}
		return v
	})
	n.Tag = "!!str" // a password of digits is still a string
	n.Style = yaml.DoubleQuotedStyle
}

func (in *interpolation) resolve(kind, name string) (string, error) {
	if kind == "env" {
		v, ok := in.getenv(name)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", name)
		}
		return v, nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(filepath.Dir(in.path), name)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

// mask takes expanded values out of a decoder's message, which quotes what it could not read.
func (in *interpolation) mask(text string) string {
	for _, v := range in.values {
		text = strings.ReplaceAll(text, v, "***")
	}
	return text
}
