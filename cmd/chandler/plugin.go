package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

func pluginCommand(io streams) *cobra.Command {
	parent := group("plugin", "List, describe and test plugins, and take stock of their backends")
	parent.AddCommand(pluginList(io), pluginDescribe(io), pluginTest(io), pluginInventory(io))
	return parent
}

// pluginList shows the backends of a running broker, or the executables of a directory.
func pluginList(io streams) *cobra.Command {
	a := &adminClient{out: io.Out}
	var directory string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the backends of a running broker, or with --plugins the executables of a directory",
		Args:  usage(cobra.NoArgs),
	}
	a.flags(c)
	c.Flags().StringVar(&directory, "plugins", "", "a plugin directory; no broker is asked")
	_ = c.MarkFlagDirname("plugins")
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if directory != "" {
			return listDirectory(cmd.Context(), io, directory, *format)
		}
		if err := a.open(cmd.Context()); err != nil {
			return err
		}
		var got struct {
			Backends             []object `json:"backends"`
			ConfigurationProblem string   `json:"configuration_problem,omitempty"`
		}
		if err := a.admin(cmd.Context(), "list the backends", http.MethodGet, "/backends", nil, nil, &got); err != nil {
			return err
		}
		return write(a.out, *format, got, func(w writer) {
			row(w, "BACKEND", "PLUGIN", "VERSION", "STATE", "CALLS", "RESTARTS", "SHA256", "MESSAGE")
			for _, b := range got.Backends {
				row(w, b.text("name"), b.text("plugin"), b.text("version"), b.text("state"), b.text("calls"), b.text("restarts"),
					fmt.Sprintf("%.12s", b.text("digest")), b.text("message"))
			}
			if p := got.ConfigurationProblem; p != "" {
				fmt.Fprintf(w, "\nThe configuration file is not in use; the one before is. It was %s\n", p)
			}
		})
	}
	return c
}

// writer is io.Writer where the name io is taken by streams.
type writer = io.Writer

// description is what describe prints.
type description struct {
	Plugin       string         `json:"plugin"`
	Version      string         `json:"version"`
	Isolated     bool           `json:"isolated"`
	Serialize    bool           `json:"serialize_instance"`
	Concurrency  int            `json:"max_concurrency,omitempty"`
	NeedsConfig  bool           `json:"requires_configuration"`
	Capabilities []string       `json:"capabilities,omitempty"`
	Schemas      map[string]any `json:"schemas"`
	// Offerings are the services that the plugin brings, YAML by file name.
	Offerings map[string]string `json:"offerings,omitempty"`
	Error     string            `json:"error,omitempty"` // list: why it could not be described
}

func newDescription(d core.Description) (description, error) {
	out := description{Plugin: d.Plugin, Version: d.Version, Isolated: d.Isolated, Serialize: d.SerializeInstance, Concurrency: d.MaxConcurrency,
		NeedsConfig: d.RequiresConfiguration, Capabilities: d.Capabilities, Schemas: map[string]any{}, Offerings: offeringTexts(d)}
	for name, raw := range map[string]json.RawMessage{"config": d.ConfigSchema, "provision_inputs": d.ProvisionInputs, "bind_inputs": d.BindInputs,
		"instance_outputs": d.InstanceOutputs, "binding_outputs": d.BindingOutputs} {
		if len(raw) == 0 {
			continue
		}
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			return out, fmt.Errorf("the plugin's schema of %s is not JSON: %w", name, err)
		}
		out.Schemas[name] = v
	}
	return out, nil
}

// describe runs a plugin for a moment, on a directory of its own. With a
// configuration it must take that, too.
func describe(ctx context.Context, executable string, b pluginhost.BackendConfig, log io.Writer) (core.Description, error) {
	name, ok := strings.CutPrefix(filepath.Base(executable), pluginhost.Prefix)
	if !ok {
		return core.Description{}, exitf(exitUsage, "%s: a plugin's file name begins with %s", executable, pluginhost.Prefix)
	}
	if _, err := os.Stat(executable); err != nil {
		return core.Description{}, exitf(exitNotFound, "%v", err)
	}
	state, err := os.MkdirTemp("", "chandler-")
	if err != nil {
		return core.Description{}, fmt.Errorf("make a directory for the plugin: %w", err)
	}
	defer os.RemoveAll(state)
	host, err := pluginhost.New(pluginhost.Config{Dir: filepath.Dir(executable), StateDir: state, BrokerVersion: version(),
		Log: newLogger(LogConfig{Level: "warn", Format: "text"}, log)})
	if err != nil {
		return core.Description{}, err
	}
	b.Plugin = name
	if b.Name == "" {
		b.Name = name
	}
	d, err := host.Validate(ctx, b, b.Config != nil)
	if closeErr := host.Close(ctx); err == nil && closeErr != nil {
		err = closeErr
	}
	return d, err
}

func listDirectory(ctx context.Context, io streams, directory string, format outputFormat) error {
	found, err := filepath.Glob(filepath.Join(directory, pluginhost.Prefix+"*"))
	if err != nil {
		return exitf(exitUsage, "--plugins: %v", err)
	}
	if len(found) == 0 {
		return exitf(exitNotFound, "%s holds no %s…", directory, pluginhost.Prefix)
	}
	var list []description
	for _, executable := range found {
		d, err := describe(ctx, executable, pluginhost.BackendConfig{}, io.Err)
		out, schemaErr := newDescription(d)
		if err == nil {
			err = schemaErr
		}
		if err != nil {
			out.Plugin = strings.TrimPrefix(filepath.Base(executable), pluginhost.Prefix)
			out.Error = core.AsError(err).Error()
		}
		list = append(list, out)
	}
	return write(io.Out, format, map[string]any{"plugins": list}, func(w writer) {
		row(w, "PLUGIN", "VERSION", "ISOLATED", "NEEDS CONFIG", "ERROR")
		for _, d := range list {
			row(w, d.Plugin, d.Version, d.Isolated, d.NeedsConfig, d.Error)
		}
	})
}

func pluginDescribe(io streams) *cobra.Command {
	var p pluginArgument
	c := &cobra.Command{
		Use:   "describe PLUGIN",
		Short: "Start a plugin and print what it says of itself; with --backend also whether it takes that configuration",
		Long: "Start a plugin for a moment and print its name, version, capabilities and schemas. PLUGIN is the\n" +
			"path of an executable, or a plugin's name in the plugin directory. With --config and --backend\n" +
			"the plugin gets that backend's configuration, too, and says whether it takes it. Services that it\n" +
			"brings are named then, and also if it needs no configuration.",
		Args: usage(cobra.ExactArgs(1)),
	}
	p.flags(c)
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		executable, backend, err := p.resolve(args[0])
		if err != nil {
			return err
		}
		d, err := describeOffered(cmd.Context(), executable, backend, io.Err)
		if err != nil {
			return err
		}
		out, err := newDescription(d)
		if err != nil {
			return err
		}
		return write(io.Out, *format, out, func(w writer) { printDescription(w, out) })
	}
	return c
}

func printDescription(w writer, d description) {
	row(w, "plugin", d.Plugin)
	row(w, "version", d.Version)
	row(w, "isolated", d.Isolated)
	row(w, "needs configuration", d.NeedsConfig)
	row(w, "serializes binds", d.Serialize)
	if d.Concurrency > 0 {
		row(w, "calls at once", d.Concurrency)
	}
	row(w, "capabilities", strings.Join(d.Capabilities, ", "))
	for _, name := range []string{"config", "provision_inputs", "bind_inputs", "instance_outputs", "binding_outputs"} {
		if s, ok := d.Schemas[name]; ok {
			printSchema(w, name, s)
		}
	}
	if len(d.Offerings) > 0 {
		fmt.Fprintln(w, "\nofferings (-o yaml shows their content):")
		for _, name := range slices.Sorted(maps.Keys(d.Offerings)) {
			fmt.Fprintln(w, "  "+name)
		}
	}
}

// printSchema prints one line per property: name, type, marks and description.
func printSchema(w writer, name string, schema any) {
	fmt.Fprintf(w, "\n%s:\n", strings.ReplaceAll(name, "_", " "))
	s, _ := schema.(map[string]any)
	properties, _ := s["properties"].(map[string]any)
	required, _ := s["required"].([]any)
	for _, key := range sortedKeys(properties) {
		p, _ := properties[key].(map[string]any)
		var marks []string
		if slices.Contains(required, any(key)) {
			marks = append(marks, "required")
		}
		if p["writeOnly"] == true {
			marks = append(marks, "secret")
		}
		if p["x-unique"] == true {
			marks = append(marks, "unique")
		}
		fmt.Fprint(w, "  ")
		row(w, key, text(p["type"]), strings.Join(marks, ", "), text(p["description"]))
	}
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
