package template

import (
	"fmt"
	"regexp"
	"text/template/parse"

	"github.com/Masterminds/semver/v3"
)

// literals checks arguments that must be written in the template.
func (k *checker) literals(name string, f *function, n parse.Node, args []parse.Node, given []types) {
	if name == "instanceSecret" || name == "bindingSecret" {
		k.secret(name, n, args)
		return
	}
	if !f.literal {
		return
	}
	var first *parse.StringNode
	if len(args) > 0 {
		first, _ = args[0].(*parse.StringNode)
	}
	if first == nil {
		k.problem("", "the first argument of %s must be a text written here, so that it can be checked: %s", name, expression(n))
		return
	}
	switch name {
	case "printf":
		if wrong := checkFormat(first.Text, given[1:]); wrong != "" {
			k.problem("", "%s", wrong)
		}
	case "semverCompare":
		if _, err := semver.NewConstraint(first.Text); err != nil || len(first.Text) > 256 {
			k.problem(`for example ">=1.2.0"`, "%q is not a version constraint", clip(first.Text))
		}
	default:
		k.pattern(first.Text)
	}
}

// pattern compiles a regular expression once, for all renderings.
func (k *checker) pattern(text string) {
	re, err := compilePattern(text)
	if err != nil {
		k.problem("", "the pattern is not valid: %s", err)
		return
	}
	if k.c.doc.patterns == nil {
		k.c.doc.patterns = map[string]*regexp.Regexp{}
	}
	k.c.doc.patterns[text] = re
}

// secretName bounds names of secrets: they are keys in the store and appear in logs.
var secretName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// secret checks instanceSecret and bindingSecret: literal arguments, one length per name.
func (k *checker) secret(name string, n parse.Node, args []parse.Node) {
	if name == "bindingSecret" && !k.c.scope.Binding {
		k.problem("use instanceSecret", "bindingSecret is not available %s", where(&k.c.scope))
	}
	var label *parse.StringNode
	var length *parse.NumberNode
	if len(args) == 2 {
		label, _ = args[0].(*parse.StringNode)
		length, _ = args[1].(*parse.NumberNode)
	}
	if label == nil || length == nil || !length.IsInt {
		k.problem(fmt.Sprintf(`for example {{ %s "password" 24 }}`, name),
			"name and length of a secret must be written here: %s", expression(n))
		return
	}
	if !secretName.MatchString(label.Text) {
		k.problem("1 to 64 of A-Z a-z 0-9 _ . -, beginning with a letter or digit", "%q is not a name for a secret", clip(label.Text))
		return
	}
	if length.Int64 < 1 || length.Int64 > maxSecret {
		k.problem("", "the length of the secret %q is %d and must be 1 to %d", label.Text, length.Int64, maxSecret)
		return
	}
	key := name + " " + label.Text
	if before, ok := k.c.secrets[key]; ok && before != length.Int64 {
		k.problem("", "the secret %q is wanted with the lengths %d and %d", label.Text, before, length.Int64)
		return
	}
	k.c.secrets[key] = length.Int64
}
