package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The client's whole life of an instance, with what a user gets to see at each step.
func TestClientJourney(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	const odd = "a/b ü%2F?#.."
	var transcript strings.Builder
	for _, c := range []struct {
		why    string
		args   []string
		status int
	}{
		{"services and plans for people", []string{"marketplace"}, exitOK},
		{"an id with every character that a path treats specially", []string{"provision", "rig", "quick", odd, "-p", "size=3", "-p", "name=seven"}, exitOK},
		{"the same request again is no error", []string{"provision", "rig", "quick", odd, "-p", "size=3", "-p", "name=seven"}, exitOK},
		{"another one under the same id is", []string{"provision", "rig", "quick", odd, "-p", "size=4"}, exitFailed},
		{"service and plan by id, for scripts", []string{"provision", "rig-service", "rig-quick", "i2", "-o", "json"}, exitOK},
		{"all that is wrong with the parameters, at once", []string{"provision", "rig", "quick", "i3", "--params", `{"size": 0, "bogus": true}`}, exitFailed},
		{"a plan that is not there, with those that are", []string{"provision", "rig", "nope"}, exitNotFound},
		{"a service that is not there", []string{"provision", "nope", "nope"}, exitNotFound},
		{"the work fails", []string{"provision", "rig", "fail", "i4"}, exitFailed},
		{"a bind prints the credentials", []string{"bind", odd, "b1", "-p", "access=read-only", "--app", "my-app"}, exitOK},
		{"in YAML", []string{"bind", odd, "b1", "-p", "access=read-only", "--app", "my-app", "-o", "yaml"}, exitOK},
		{"credentials that succeed others", []string{"bind", odd, "b2", "--rotate", "b1", "-o", "json"}, exitOK},
		{"parameters are changed", []string{"update", odd, "-p", "size=9"}, exitOK},
		{"the plan is changed, by name", []string{"update", odd, "--to-plan", "steps"}, exitOK},
		{"a version that the plan has not", []string{"update", odd, "--maintenance-version", "9.9.9"}, exitFailed},
		{"credentials are taken away", []string{"unbind", odd, "b1"}, exitOK},
		{"bindings that are left behind go with the instance", []string{"deprovision", odd}, exitOK},
		{"nothing is left to delete", []string{"deprovision", odd}, exitNotFound},
		{"also when the broker need not be asked for ids", []string{"deprovision", odd, "--service", "rig", "--plan", "steps"}, exitNotFound},
		{"an unknown instance", []string{"bind", "nobody"}, exitNotFound},
	} {
		got := r.chandler(c.args...)
		fmt.Fprintf(&transcript, "# %s\n$ chandler %s\n%s%s[%d]\n\n", c.why, strings.Join(c.args, " "), got.out, got.err, got.status)
		if got.status != c.status {
			t.Errorf("chandler %v: status %d, want %d: %s", c.args, got.status, c.status, c.why)
		}
	}
	golden(t, "testdata/client.golden", scrubbed(transcript.String()))
}

// Asynchronous work: progress is shown on standard error, and each way of waiting works.
func TestClientWaiting(t *testing.T) {
	t.Parallel()
	r := newRig(t, "timing: {fastAnswer: 1ms, pollInterval: 1s}\n")
	for _, c := range []struct {
		name, why string
		args      []string
		status    int
		out, err  string
	}{
		{"waits", "the client polls until the work is done", []string{"provision", "rig", "steps", "a"}, exitOK, "instance_id  a", "succeeded: "},
		{"bind", "credentials are fetched when an asynchronous bind is done", []string{"bind", "a", "b"}, exitOK, "credentials.uri", "succeeded: "},
		{"sync", "a plan that must be asynchronous refuses --sync", []string{"provision", "rig", "steps", "c", "--sync"}, exitFailed, "", "AsyncRequired"},
		{"sync works", "the request itself waits", []string{"provision", "rig", "slow", "d", "--sync"}, exitOK, "instance_id  d", "instance d"},
		{"no-wait", "the operation's id is printed and the command ends", []string{"provision", "rig", "wait", "e", "--no-wait"}, exitOK, "operation    ", ""},
		{"timeout", "out of time is told from a failure, since the work goes on", []string{"provision", "rig", "wait", "f", "--timeout", "100ms"}, exitUnfinished, "", "out of time; the work goes on at the broker, operation "},
		{"gone", "an asynchronous deprovision ends with 410", []string{"deprovision", "a"}, exitOK, "instance_id  a", "instance"},
		{"unknown yet", "what is being made cannot be looked up, and the message says what to do", []string{"deprovision", "e"}, exitNotFound, "", "--service and --plan"},
		{"interrupts", "a deprovision cancels what waits for an hour", []string{"deprovision", "e", "--service", "rig", "--plan", "wait"}, exitOK, "instance_id  e", ""},
	} {
		got := r.chandler(c.args...)
		if got.status != c.status || !strings.Contains(got.out, c.out) || !strings.Contains(got.err, c.err) && c.name != "gone" {
			t.Errorf("%s (%s): status %d, out %q, err %q", c.name, c.why, got.status, got.out, got.err)
		}
	}
}

// What a command line may get wrong ends with status 2 before anything is sent: the
// broker's address leads nowhere.
func TestUsageErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	garbage := write1(t, dir, "garbage.pem", "no PEM")
	for _, c := range []struct {
		why, want string
		args      []string
	}{
		{"an unknown command", "unknown command \"frobnicate\"", []string{"frobnicate"}},
		{"a typo one level down is recognised", "did you mean lint?", []string{"catalog", "lnit"}},
		{"an unknown flag", "unknown flag: --nope; see chandler bind --help", []string{"bind", "i", "--nope"}},
		{"a missing argument", "usage: chandler provision SERVICE PLAN [INSTANCE_ID]", []string{"provision", "rig"}},
		{"one argument too many", "usage: chandler unbind", []string{"unbind", "a", "b", "c"}},
		{"an output format that nobody writes", "want table, json, yaml", []string{"provision", "a", "b", "c", "-o", "xml"}},
		{"a parameter without a value", `-p "size": want key=value`, []string{"provision", "a", "b", "-p", "size"}},
		{"parameters that are no object", "--params: want a JSON object", []string{"update", "i", "--service", "s", "--params", "[1]"}},
		{"the flag at fault is named", "--context: want a JSON object", []string{"update", "i", "--context", "x"}},
		{"a file that is not there", "--params: open ", []string{"update", "i", "--params", "@" + filepath.Join(dir, "nope")}},
		{"an update that asks for nothing would seem to have worked", "nothing to change", []string{"update", "i"}},
		{"the plan an instance has, mistaken for the one it is to get", "changes it with --to-plan", []string{"update", "i", "--plan", "big", "-p", "size=3"}},
		{"a password in the URL would be in the process list", "without user and password", []string{"marketplace", "--url", "http://u:p@127.0.0.1"}},
		{"a URL without a scheme", "the broker's URL must be", []string{"marketplace", "--url", "127.0.0.1:8080"}},
		{"half a client certificate", "--cert and --key belong together", []string{"marketplace", "--cert", garbage}},
		{"an authority that is none", "holds no PEM certificate", []string{"marketplace", "--ca", garbage}},
		{"a password file that is not there", "read the secret: open ", []string{"marketplace", "--password-file", filepath.Join(dir, "nope")}},
		{"purge is asked for twice", "Say --yes", []string{"instance", "purge", "i"}},
		{"a limit of nothing", "--limit 0", []string{"instance", "list", "--limit", "0"}},
		{"a backend of no file", "--backend needs --config", []string{"plugin", "describe", "demo", "--backend", "x"}},
		{"a configuration that is not there", "read the configuration", []string{"serve", "--config", filepath.Join(dir, "nope")}},
		{"a flag that the configuration's check refuses", "log.level", []string{"serve", "--log-level", "loud"}},
	} {
		args := c.args
		if !strings.Contains(strings.Join(args, " "), "--url") && args[0] != "serve" && args[0] != "catalog" && args[0] != "frobnicate" && args[1] != "describe" {
			args = append(args, "--url", "http://127.0.0.1:1")
		}
		got := chandler(t.Context(), args...)
		if got.status != exitUsage || !strings.Contains(got.err, c.want) || got.out != "" {
			t.Errorf("%s: chandler %v: status %d, want %d with %q\n%s%s", c.why, args, got.status, exitUsage, c.want, got.out, got.err)
		}
	}
}

// Help and completion go to standard output, succeed, and need no broker.
func TestHelpAndCompletion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why, want string
		args      []string
	}{
		{"no command is a question", "Exit statuses:", nil},
		{"a group without a command, too", "describe", []string{"plugin"}},
		{"examples are part of the help", "chandler bind my-bucket my-app", []string{"bind", "--help"}},
		{"the version for bug reports", "chandler version ", []string{"--version"}},
		{"scripts for shells", "__start_chandler", []string{"completion", "bash"}},
		{"values of -o", "yaml\n", []string{"__complete", "bind", "i", "-o", ""}},
		{"values of --state", "cancelling\n", []string{"__complete", "operation", "list", "--state", "c"}},
		{"values of --log-level", "debug\n", []string{"__complete", "serve", "--log-level", "d"}},
	} {
		got := chandler(t.Context(), c.args...)
		if got.status != exitOK || !strings.Contains(got.out, c.want) {
			t.Errorf("%s: chandler %v: status %d, out %q, err %q", c.why, c.args, got.status, got.out, got.err)
		}
	}
}

// A shell completes what the broker offers.
func TestCompletionAsksTheBroker(t *testing.T) {
	r := newRig(t, "")
	t.Setenv("CHANDLER_URL", r.url)
	t.Setenv("CHANDLER_USER", "platform")
	t.Setenv("CHANDLER_PASSWORD", "platform-password")
	for _, c := range []struct{ prefix, want string }{
		{"provision ", "rig\tA service for tests.\n"},
		{"provision rig s", "slow\tWorks in one call of some seconds.\n"},
	} {
		words := append([]string{"__complete"}, strings.Split(c.prefix, " ")...)
		if got := chandler(t.Context(), words...); !strings.Contains(got.out, c.want) {
			t.Errorf("after %q: %q lacks %q", c.prefix, got.out, c.want)
		}
	}
}

// Flags win over the environment.
func TestConnectionPrecedence(t *testing.T) {
	r := newRig(t, "")
	t.Setenv("CHANDLER_URL", r.url)
	t.Setenv("CHANDLER_USER", "platform")
	t.Setenv("CHANDLER_PASSWORD", "wrong")
	t.Setenv("CHANDLER_TOKEN", "wrong")
	for _, c := range []struct {
		why    string
		args   []string
		status int
	}{
		{"the environment's token is wrong", nil, exitFailed},
		{"a user of the command line wins over the environment's token", []string{"--user", "platform", "--password-file", r.platform}, exitOK},
		{"and the environment's password is wrong", []string{"--user", "platform"}, exitFailed},
		{"the address, too", []string{"--url", "http://127.0.0.1:1", "--user", "platform", "--password-file", r.platform}, exitFailed},
	} {
		if got := chandler(t.Context(), append([]string{"marketplace"}, c.args...)...); got.status != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.why, got.status, c.status, got.err)
		}
	}
	if err := os.Unsetenv("CHANDLER_TOKEN"); err != nil {
		t.Fatal(err)
	}
	got := chandler(t.Context(), "marketplace")
	if got.status != exitFailed || !strings.Contains(got.err, "401") || !strings.Contains(got.err, "CHANDLER_PASSWORD") {
		t.Errorf("a wrong password must be a 401 with a hint: %q", got.err)
	}
}
