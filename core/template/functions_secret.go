package template

import (
	"errors"

	"github.com/chandler-broker/chandler/core"
)

// secretFunctions ask for stable secrets. Their arguments are literals, so that a
// plan's secrets are known when it is loaded.
var secretFunctions = map[string]*function{
	"instanceSecret": {params: []types{tString, tInt}, result: tString, call: func(c *call) (any, error) {
		if c.secrets == nil {
			return nil, errNoSecrets
		}
		return secret(c.secrets.InstanceSecret(c.str(0), int(c.int(1))))
	}},
	"bindingSecret": {params: []types{tString, tInt}, result: tString, call: func(c *call) (any, error) {
		if c.secrets == nil {
			return nil, errNoSecrets
		}
		return secret(c.secrets.BindingSecret(c.str(0), int(c.int(1))))
	}},
}

var errNoSecrets = errors.New("secrets are not available here")

// maxSecret is the longest secret, in characters; the contract of core.SecretSource.
const maxSecret = 1024

// secretError is a failure of the SecretSource: it goes up as it is, with its code.
type secretError struct{ err error }

func (e *secretError) Error() string { return "the secret could not be read or made" }
func (e *secretError) Unwrap() error { return e.err }

func secret(value string, err error) (any, error) {
	if err != nil {
		return nil, &secretError{err}
	}
	return value, nil
}

// MaskedSecrets is a SecretSource for lint, `catalog render` and documentation: it
// makes nothing and gives the name of a secret instead of one. Safe for concurrent use.
type MaskedSecrets struct{}

var _ core.SecretSource = MaskedSecrets{}

// InstanceSecret gives "<instance secret NAME>", whatever the length.
func (MaskedSecrets) InstanceSecret(name string, _ int) (string, error) {
	return "<instance secret " + name + ">", nil
}

// BindingSecret gives "<binding secret NAME>", whatever the length.
func (MaskedSecrets) BindingSecret(name string, _ int) (string, error) {
	return "<binding secret " + name + ">", nil
}
