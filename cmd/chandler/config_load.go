package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// settings are the scalar keys that the environment and flags can set too: flag,
// environment variable and where the value goes. What may hold a password has no
// flag: anybody on the machine can read a command's arguments.
var settings = []struct {
	flag, env, usage string
	field            func(*Config) *string
	values           []string // all that are allowed; none: any text
	directory        bool
}{
	{flag: "listen", env: "CHANDLER_LISTEN", usage: "host:port to serve on",
		field: func(c *Config) *string { return &c.Listen }},
	{flag: "state", env: "CHANDLER_STATE", usage: "directory of the store, plugin copies and backend data",
		field: func(c *Config) *string { return &c.State }, directory: true},
	{flag: "store", env: "CHANDLER_STORE", usage: "sqlite, or postgres for several brokers over one database",
		field: func(c *Config) *string { return &c.Store.Driver }, values: []string{driverSQLite, driverPostgres}},
	{env: "CHANDLER_STORE_DSN", usage: "connection string of PostgreSQL",
		field: func(c *Config) *string { return &c.Store.DSN }},
	{flag: "catalog", env: "CHANDLER_CATALOG", usage: "directory of service definitions",
		field: func(c *Config) *string { return &c.Catalog }, directory: true},
	{flag: "templates", env: "CHANDLER_TEMPLATES", usage: "directory of credential templates",
		field: func(c *Config) *string { return &c.Templates }, directory: true},
	{flag: "plugins", env: "CHANDLER_PLUGINS", usage: "directory of plugin executables",
		field: func(c *Config) *string { return &c.Plugins.Directory }, directory: true},
	{flag: "log-level", env: "CHANDLER_LOG_LEVEL", usage: "debug, info, warn or error",
		field: func(c *Config) *string { return &c.Log.Level }, values: []string{"debug", "info", "warn", "error"}},
	{flag: "log-format", env: "CHANDLER_LOG_FORMAT", usage: "json or text",
		field: func(c *Config) *string { return &c.Log.Format }, values: []string{"json", "text"}},
}

// loadConfig reads the file (none if path is ""), lets the environment override it
// and then flags: a map of flag name to value for those that were given.
func loadConfig(path string, getenv func(string) (string, bool), flags map[string]string) (Config, error) {
	return interpolation{path: path, getenv: getenv}.load(flags)
}

// loadConfigShape is loadConfig where secrets are not needed and may be absent, as
// for a lint in CI: references that lead nowhere yield a word instead of an error.
func loadConfigShape(path string, flags map[string]string) (Config, error) {
	return interpolation{path: path, getenv: os.LookupEnv, lenient: true}.load(flags)
}

func (in interpolation) load(flags map[string]string) (Config, error) {
	c := defaultConfig()
	if in.path != "" {
		raw, err := os.ReadFile(in.path)
		if err != nil {
			return Config{}, fmt.Errorf("read the configuration: %w", err)
		}
		c.source = raw
		if err := in.decode(raw, &c); err != nil {
			return Config{}, err
		}
	}
	for _, s := range settings {
		if v, ok := in.getenv(s.env); ok && v != "" {
			*s.field(&c) = v
		}
		if v, ok := flags[s.flag]; ok {
			*s.field(&c) = v
		}
	}
	if err := c.check(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// decode decodes strictly. Problems name file and line.
func (in interpolation) decode(raw []byte, c *Config) error {
	path := in.path
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil // an empty file is the defaults
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: holds more than one YAML document", path)
	}
	in.node(&doc)
	if len(in.problems) > 0 {
		return errors.New(strings.Join(in.problems, "\n"))
	}
	if problems := unknownKeys(path, &doc, reflect.TypeFor[Config](), ""); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	if err := doc.Decode(c); err != nil {
		return fmt.Errorf("%s: %s", path, in.mask(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	c.interpolated = in.values
	return nil
}
