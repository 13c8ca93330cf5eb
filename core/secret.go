package core

import (
	"slices"
	"strings"
)

// secretLetters are the characters of stable secrets.
const secretLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// secretSource gives the stable secrets of one instance and binding out of a
// transaction, and remembers them so that logs can mask them.
type secretSource struct {
	tx                  Tx
	clock               *clock
	instance, bindingID string
	used                []string
	failed              error // why the store could not give one: no fault of the template
}

// InstanceSecret implements SecretSource.
func (s *secretSource) InstanceSecret(name string, length int) (string, error) {
	return s.secret("", name, length)
}

// BindingSecret implements SecretSource.
func (s *secretSource) BindingSecret(name string, length int) (string, error) {
	if s.bindingID == "" {
		return "", Errorf(CodeFailed, "there is no binding to have the secret %q", name)
	}
	return s.secret(s.bindingID, name, length)
}

func (s *secretSource) secret(bindingID, name string, length int) (string, error) {
	if length < 1 || length > 1024 {
		return "", Errorf(CodeFailed, "the secret %q must have 1 to 1024 characters, not %d", name, length)
	}
	value, err := s.tx.Secret(s.instance, bindingID, name, func() (string, error) { return s.clock.secret(length) })
	if err != nil {
		s.failed = err
		return "", err
	}
	if len(value) != length {
		return "", Errorf(CodeFailed, "the secret %q was made with %d characters and cannot have %d now", name, len(value), length)
	}
	if !slices.Contains(s.used, value) {
		s.used = append(s.used, value)
	}
	return value, nil
}

// secret makes length random characters, every one equally likely.
func (c *clock) secret(length int) (string, error) {
	const fair = 256 - 256%len(secretLetters)
	var b strings.Builder
	for b.Len() < length {
		random, err := c.bytes(length)
		if err != nil {
			return "", err
		}
		for _, r := range random {
			if int(r) < fair && b.Len() < length {
				b.WriteByte(secretLetters[int(r)%len(secretLetters)])
			}
		}
	}
	return b.String(), nil
}
