package plugintest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Config says which plugin is checked and with what. Command and Provision are required.
//
// Inputs are JSON objects as a plan's templates would render them. In their texts the
// word {id} stands for something short, [a-z0-9]+, that is different for every
// instance, for inputs that must be unique at the backend.
type Config struct {
	// Command is the plugin's executable and its arguments.
	Command []string
	// Env are variables of the plugin's environment; it gets no others but PATH, HOME
	// and the handshake's.
	Env map[string]string
	// WithoutMTLS is for plugins that cannot do go-plugin's AutoMTLS.
	WithoutMTLS bool
	// Config is the backend's configuration; empty means {}.
	Config json.RawMessage
	// Provision, Update and Bind are valid inputs of these verbs. Without Update
	// and Bind these verbs are not checked.
	Provision, Update, Bind json.RawMessage
	// Adopt are inputs of Adopt: they name something at the backend that carries nobody's mark.
	// It is removed when the check is over. Without Adopt only refusals are checked.
	Adopt json.RawMessage
	// Timeout is how long one operation may take, all its calls and pauses together. Default 1 min.
	Timeout time.Duration
	// CancelWithin is how long a call may go on after it was cancelled. Default 10 s, as the broker has it.
	CancelWithin time.Duration
	// EndWithin is how long a process may run on after SIGTERM, or after the broker is gone. Default 15 s.
	EndWithin time.Duration
	// FreshCredentials says that a repeated Bind gives fresh credentials, because the
	// backend makes them up itself; otherwise it must give the same again. Implied by Live.
	FreshCredentials bool
	// Only are the names of the checks to run; empty means all.
	Only []string

	// Live tells whether a binding's credentials work at the backend. With it, repeated,
	// resumed and ended bindings are checked there; without it by their outputs only.
	Live func(ctx context.Context, instanceOutputs, bindingOutputs json.RawMessage) (bool, error)
	// Count tells how many things there are at the backend for an instance id: 1 once
	// it is provisioned, however often, and 0 after deprovision.
	Count func(ctx context.Context, instanceID string) (int, error)
	// Unowned makes what the inputs of Adopt name, as a stranger would: with nobody's mark.
	// Without it the thing must be there already.
	Unowned func(ctx context.Context, inputs json.RawMessage) error
}

// configFile is the form that a file has; see DecodeConfig.
type configFile struct {
	Config           json.RawMessage   `json:"config"`
	Environment      map[string]string `json:"environment"`
	MTLS             *bool             `json:"mtls"`
	Provision        json.RawMessage   `json:"provision"`
	Update           json.RawMessage   `json:"update"`
	Bind             json.RawMessage   `json:"bind"`
	Adopt            json.RawMessage   `json:"adopt"`
	FreshCredentials bool              `json:"freshCredentials"`
	Timeout          string            `json:"timeout"`
	Only             []string          `json:"only"`
}

// DecodeConfig reads a Config without Command from a JSON object with the keys
// config, environment, mtls, provision, update, bind, adopt, freshCredentials, timeout (such
// as "2m") and only. Unknown keys are errors.
func DecodeConfig(raw []byte) (Config, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	var f configFile
	if err := dec.Decode(&f); err != nil {
		return Config{}, fmt.Errorf("plugin test configuration: %w", err)
	}
	c := Config{
		Env: f.Environment, WithoutMTLS: f.MTLS != nil && !*f.MTLS, Config: f.Config,
		Provision: f.Provision, Update: f.Update, Bind: f.Bind, Adopt: f.Adopt,
		FreshCredentials: f.FreshCredentials, Only: f.Only,
	}
	if f.Timeout == "" {
		return c, nil
	}
	var err error
	if c.Timeout, err = time.ParseDuration(f.Timeout); err != nil || c.Timeout <= 0 {
		return Config{}, fmt.Errorf("plugin test configuration: timeout: %q is not a duration such as 2m", f.Timeout)
	}
	return c, nil
}

// complete checks the configuration and fills in the defaults.
func (c Config) complete() (Config, error) {
	if len(c.Command) == 0 {
		return c, errors.New("plugintest: Config.Command is empty")
	}
	path, err := filepath.Abs(c.Command[0])
	if err != nil {
		return c, fmt.Errorf("plugintest: %w", err)
	}
	c.Command = append([]string{path}, c.Command[1:]...)
	if len(c.Provision) == 0 {
		return c, errors.New("plugintest: inputs for provision are needed; {} if there are none")
	}
	for name, raw := range map[string]json.RawMessage{"config": c.Config, "provision": c.Provision, "update": c.Update, "bind": c.Bind, "adopt": c.Adopt} {
		var object map[string]any
		if err := json.Unmarshal(raw, &object); len(raw) > 0 && (err != nil || object == nil) {
			return c, fmt.Errorf("plugintest: %s must be a JSON object", name)
		}
	}
	if len(c.Config) == 0 {
		c.Config = json.RawMessage(`{}`)
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	if c.CancelWithin == 0 {
		c.CancelWithin = 10 * time.Second
	}
	if c.EndWithin == 0 {
		c.EndWithin = 15 * time.Second
	}
	names := Checks()
	for _, name := range c.Only {
		if !slices.Contains(names, name) {
			return c, fmt.Errorf("plugintest: there is no check %q; there are: %s", name, strings.Join(names, ", "))
		}
	}
	return c, nil
}
