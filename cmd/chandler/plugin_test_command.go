package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/chandler-broker/chandler/core/plugin/plugintest"
)

// pluginTest runs the conformance kit against any plugin.
func pluginTest(io streams) *cobra.Command {
	var file string
	var only []string
	c := &cobra.Command{
		Use:   "test EXECUTABLE [ARGUMENT…]",
		Short: "Run the conformance kit against a plugin: is it idempotent, resumable, truthful and silent about secrets?",
		Long: "Run the conformance kit against a plugin. --file is YAML or JSON with the keys config (the\n" +
			"backend's configuration), provision, update and bind (valid inputs; {id} in a text stands for\n" +
			"something different in each instance), environment, mtls, freshCredentials, timeout and only.\n" +
			"The checks are " + strings.Join(plugintest.Checks(), ", ") + ".",
		Args: usage(cobra.MinimumNArgs(1)),
	}
	c.Flags().StringVarP(&file, "file", "f", "", "file with configuration and inputs (default: none of either)")
	c.Flags().StringSliceVar(&only, "only", nil, "names of the checks to run")
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		config, err := testConfig(file)
		if err != nil {
			return err
		}
		config.Command = args
		if len(only) > 0 {
			config.Only = only
		}
		for _, name := range config.Only {
			if !slices.Contains(plugintest.Checks(), name) {
				return exitf(exitUsage, "there is no check %q; there are %s", name, strings.Join(plugintest.Checks(), ", "))
			}
		}
		got, err := plugintest.Check(cmd.Context(), config)
		if err != nil {
			return err
		}
		if *format == "table" {
			err = got.Write(io.Out)
		} else {
			err = write(io.Out, *format, got, nil)
		}
		if err == nil && !got.OK() {
			err = exitf(exitInvalid, "the plugin does not keep the contract")
		}
		return err
	}
	return c
}

// testConfig reads the kit's configuration; references such as ${env:NAME} are expanded.
func testConfig(file string) (plugintest.Config, error) {
	if file == "" {
		return plugintest.Config{Provision: json.RawMessage("{}"), Bind: json.RawMessage("{}")}, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return plugintest.Config{}, fmt.Errorf("read the file: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return plugintest.Config{}, exitf(exitUsage, "%s: %v", file, err)
	}
	in := interpolation{path: file, getenv: os.LookupEnv}
	in.node(&doc)
	if len(in.problems) > 0 {
		return plugintest.Config{}, exitf(exitUsage, "%s", strings.Join(in.problems, "\n"))
	}
	var tree any
	if err := doc.Decode(&tree); err != nil {
		return plugintest.Config{}, exitf(exitUsage, "%s: %v", file, err)
	}
	document, err := json.Marshal(tree)
	if err != nil {
		return plugintest.Config{}, exitf(exitUsage, "%s: %v", file, err)
	}
	config, err := plugintest.DecodeConfig(document)
	if err != nil {
		return plugintest.Config{}, exitf(exitUsage, "%s: %v", file, err)
	}
	return config, nil
}
