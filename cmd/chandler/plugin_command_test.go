package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// describe and list ask executables, without a broker.
func TestPluginCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := write1(t, dir, "chandler.yaml", fmt.Sprintf("plugins: {directory: %q}\nbackends:\n  good: {plugin: demo, config: {listen: '127.0.0.1:0'}}\n"+
		"  bad: {plugin: demo, config: {listne: x}}\n  s3: {plugin: gluster-s3, config: {accessKeyID: '${env:NOT_SET}'}}\n", bin))
	complete := write1(t, dir, "complete.yaml", fmt.Sprintf("plugins: {directory: %q}\nbackends:\n  good: {plugin: demo, config: {listen: '127.0.0.1:0'}}\n"+
		"  bad: {plugin: demo, config: {listne: x}}\n", bin))
	for _, c := range []struct {
		why    string
		args   []string
		status int
		want   string
	}{
		{"every executable of a directory", []string{"list", "--plugins", bin}, exitOK, "gluster-s3  1.0.0    false     true"},
		{"a directory without any", []string{"list", "--plugins", dir}, exitNotFound, "holds no chandler-plugin-…"},
		{"by path, for people", []string{"describe", filepath.Join(bin, "chandler-plugin-demo")}, exitOK, "password  string  required, secret  -"},
		{"by name, for programs", []string{"describe", "demo", "--plugins", bin, "-o", "json"}, exitOK, `"x-unique": true`},
		{"in the configuration's directory; its secrets are not needed", []string{"describe", "gluster-s3", "--config", config}, exitOK, "needs configuration  true"},
		{"a backend's configuration that the plugin takes", []string{"describe", "demo", "--config", complete, "--backend", "good", "-o", "yaml"}, exitOK, "writeOnly: true"},
		{"one that it does not take", []string{"describe", "demo", "--config", complete, "--backend", "bad"}, exitFailed, `the configuration of backend "bad" is wrong: "/listne"`},
		{"a backend that is not there", []string{"describe", "demo", "--config", complete, "--backend", "nope"}, exitNotFound, `has no backend "nope"`},
		{"a backend whose secret is missing", []string{"describe", "gluster-s3", "--config", config, "--backend", "s3"}, exitUsage, "the environment variable NOT_SET is not set"},
		{"a plugin that is not there", []string{"describe", "nope", "--plugins", bin}, exitNotFound, "no such file"},
		{"an executable that is no plugin by its name", []string{"describe", "/bin/true"}, exitUsage, "a plugin's file name begins with chandler-plugin-"},
	} {
		got := chandler(t.Context(), append([]string{"plugin"}, c.args...)...)
		if got.status != c.status || !strings.Contains(got.out+got.err, c.want) {
			t.Errorf("%s: status %d, want %d with %q\n%s%s", c.why, got.status, c.status, c.want, got.out, got.err)
		}
	}
}

// test runs the conformance kit; what it finds decides the exit status.
func TestPluginTest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	demo := filepath.Join(bin, "chandler-plugin-demo")
	for _, c := range []struct {
		why, file string
		args      []string
		status    int
		want      string
	}{
		{"checks by name", "", []string{"--only", "handshake,describe,provision"}, exitOK, "provision"},
		{"for programs", "", []string{"--only", "handshake", "-o", "json"}, exitOK, `"handshake"`},
		{"with inputs", "provision: {size: 3, name: 'n-{id}'}\nbind: {access: read-only}\nonly: [provision, bind]\n", nil, exitOK, "bind"},
		{"inputs that the plugin refuses", "provision: {size: -1}\nbind: {}\nonly: [provision]\n", nil, exitInvalid, "provision"},
		{"a key that nobody knows", "provisoin: {}\n", nil, exitUsage, "provisoin"},
		{"a check that nobody knows", "", []string{"--only", "luck"}, exitUsage, "luck"},
		{"a secret that is not set", "config: {listen: '${env:NOT_SET}'}\n", nil, exitUsage, "NOT_SET is not set"},
	} {
		args := append([]string{"plugin", "test", demo}, c.args...)
		if c.file != "" {
			args = append(args, "--file", write1(t, dir, "test.yaml", c.file))
		}
		got := chandler(t.Context(), args...)
		if got.status != c.status || !strings.Contains(got.out+got.err, c.want) {
			t.Errorf("%s: status %d, want %d with %q\n%s%s", c.why, got.status, c.status, c.want, got.out, got.err)
		}
	}
}
