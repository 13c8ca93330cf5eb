// Command leaky is a plugin that tells everybody everything that it knows: on
// standard output and error, in its log, in progress, pending texts and errors, in plain
// and in other spellings. The canary test looks for what it told. It must not know
// anything of Chandler but core/plugin.
package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/chandler-broker/chandler/core/plugin"
)

// Secrets of the backend, which the broker learns from outputs.
const (
	token    = `c4n4ry-token-"q<&>/+= %`
	password = `c4n4ry-bound-"q<&>/+= %`
)

const (
	secret = `{"type": "string", "writeOnly": true}`
	inputs = `{"type": "object", "additionalProperties": false, "properties": {"password": ` + secret + `, "stable": ` + secret + `, "fail": {"type": "boolean"}}}`
)

func main() {
	plugin.Serve(plugin.ServeConfig{
		Description: plugin.Description{
			Name: "leaky", Version: "1.0.0", RequiresConfiguration: true,
			Config:          json.RawMessage(`{"type": "object", "additionalProperties": false, "properties": {"password": ` + secret + `, "literal": ` + secret + `}}`),
			ProvisionInputs: json.RawMessage(inputs),
			BindInputs:      json.RawMessage(inputs),
			InstanceOutputs: json.RawMessage(`{"type": "object", "properties": {"token": ` + secret + `}}`),
			BindingOutputs:  json.RawMessage(`{"type": "object", "properties": {"password": ` + secret + `, "stable": ` + secret + `}}`),
		},
		Plugin: &leaky{failed: map[string]bool{}},
	})
}

type leaky struct {
	config []string

	mu     sync.Mutex
	failed map[string]bool // operations that were told to come again
}

// given are the inputs of every verb.
type given struct {
	Password string `json:"password"`
	Stable   string `json:"stable"`
	Fail     bool   `json:"fail"`
}

// Configure remembers the configuration and tells it.
func (l *leaky) Configure(ctx context.Context, req *plugin.ConfigureRequest) error {
	var config struct {
		Password string `json:"password"`
		Literal  string `json:"literal"`
	}
	if err := req.Config.Decode(&config); err != nil {
		return err
	}
	l.config = []string{config.Password, config.Literal}
	leak(ctx, l.config...)
	return nil
}

// leak prints secrets in many spellings and gives them as one text.
func leak(ctx context.Context, secrets ...string) string {
	var all []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted, _ := json.Marshal(s) // a string
		spellings := []string{s, string(quoted), fmt.Sprintf("%q", s), url.QueryEscape(s), url.PathEscape(s),
			base64.StdEncoding.EncodeToString([]byte(s)), base64.URLEncoding.EncodeToString([]byte(s)),
			base64.StdEncoding.EncodeToString([]byte("u:" + s)), base64.StdEncoding.EncodeToString([]byte("me:" + s)), hex.EncodeToString([]byte(s))}
		for _, spelling := range spellings {
			fmt.Fprintln(os.Stderr, "stderr:", spelling)
			fmt.Fprintln(os.Stdout, "stdout:", spelling)
			plugin.Logger(ctx).Info("logged "+spelling, "value", spelling)
		}
		all = append(all, spellings...)
	}
	return strings.Join(all, " ")
}

// work tells, comes back twice, fails once and is done.
func (l *leaky) work(ctx context.Context, operation string, in given, handle plugin.Handle, progress func(string, int), done plugin.Result, known ...string) (plugin.Result, error) {
	known = append(append(known, l.config...), in.Password, in.Stable)
	text := leak(ctx, known...)
	progress("working on "+text, 50)
	var step struct {
		Password string `json:"password"`
	}
	if handle.Empty() {
		step.Password = in.Password
		return plugin.Pending(step, 20*time.Millisecond, "waiting for "+text), nil
	}
	l.mu.Lock()
	failed := l.failed[operation]
	l.failed[operation] = true
	l.mu.Unlock()
	switch {
	case !failed:
		return plugin.Result{}, plugin.Unavailable(20*time.Millisecond, "Cannot log in with %s.", text).WithDetail("tried %s", text)
	case in.Fail:
		return plugin.Result{}, plugin.Failed("The password is wrong: %s.", text).WithDetail("tried %s", text).WithCause(fmt.Errorf("because of %s", text))
	}
	return done, nil
}

func (l *leaky) instance(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	var in given
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	var out struct {
		Token string `json:"token"`
	}
	if !req.Applied.Outputs.Empty() {
		if err := req.Applied.Outputs.Decode(&out); err != nil {
			return plugin.Result{}, err
		}
	}
	result := plugin.Done(map[string]any{"token": token}, plugin.WithDashboardURL("https://example.org/?t="+url.QueryEscape(token)),
		plugin.WithLabels(map[string]any{"token": token}), plugin.WithAttributes(map[string]any{"token": token}))
	return l.work(ctx, req.OperationID, in, req.Handle, req.Progress, result, out.Token)
}

// Provision implements plugin.Plugin.
func (l *leaky) Provision(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	return l.instance(ctx, req)
}

// Update implements plugin.Plugin.
func (l *leaky) Update(ctx context.Context, req *plugin.InstanceRequest) (plugin.Result, error) {
	return l.instance(ctx, req)
}

// Deprovision implements plugin.Plugin; it leaves something, and says so with a secret.
func (l *leaky) Deprovision(ctx context.Context, _ *plugin.InstanceRequest) (plugin.Result, error) {
	return plugin.Done(nil, plugin.WithLeft("what "+leak(ctx, token)+" opens")), nil
}

// Bind implements plugin.Plugin.
func (l *leaky) Bind(ctx context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	var in given
	if err := req.Inputs.Decode(&in); err != nil {
		return plugin.Result{}, err
	}
	var out struct {
		Token string `json:"token"`
	}
	if err := req.Instance.Outputs.Decode(&out); err != nil {
		return plugin.Result{}, err
	}
	return l.work(ctx, req.OperationID, in, req.Handle, req.Progress,
		plugin.Done(map[string]any{"password": password, "stable": in.Stable}), out.Token)
}

// Unbind implements plugin.Plugin.
func (l *leaky) Unbind(ctx context.Context, req *plugin.BindingRequest) (plugin.Result, error) {
	leak(ctx, password)
	return plugin.Done(nil), nil
}
