package main

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core/pluginhost"
)

// pluginArgument turns PLUGIN on a command line into an executable, and into a
// backend's configuration for it.
type pluginArgument struct {
	directory, config, backend string
	noMTLS                     bool
}

func (p *pluginArgument) flags(c *cobra.Command) {
	c.Flags().StringVar(&p.directory, "plugins", "", "`directory` where PLUGIN is looked up by its name (CHANDLER_PLUGINS; default ./bin)")
	c.Flags().StringVar(&p.config, "config", "", "the broker's configuration `file`, for --backend and the plugin directory")
	c.Flags().StringVar(&p.backend, "backend", "", "name of a backend in --config whose configuration the plugin is to take")
	c.Flags().BoolVar(&p.noMTLS, "no-mtls", false, "for plugins that cannot do go-plugin's AutoMTLS")
	_ = c.MarkFlagDirname("plugins")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
}

// resolve gives the executable and how to run it; Config is nil unless a backend's is to be tried.
func (p *pluginArgument) resolve(name string) (executable string, b pluginhost.BackendConfig, err error) {
	directory := cmp.Or(p.directory, os.Getenv("CHANDLER_PLUGINS"), defaultConfig().Plugins.Directory)
	if p.backend != "" && p.config == "" {
		return "", b, exitf(exitUsage, "--backend needs --config, the file that it is in")
	}
	if p.config != "" {
		cfg, err := p.load()
		if err != nil {
			return "", b, exitf(exitUsage, "%v", err)
		}
		directory = cfg.Plugins.Directory
		if b, err = p.named(cfg); err != nil {
			return "", b, err
		}
	}
	if p.noMTLS {
		b.MTLS = new(bool)
	}
	if strings.ContainsRune(name, os.PathSeparator) || strings.HasPrefix(name, pluginhost.Prefix) {
		return name, b, nil
	}
	return filepath.Join(directory, pluginhost.Prefix+name), b, nil
}

// named gives the backend of --backend as the host takes it.
func (p *pluginArgument) named(cfg Config) (pluginhost.BackendConfig, error) {
	if p.backend == "" {
		return pluginhost.BackendConfig{}, nil
	}
	all, err := cfg.backendConfigs()
	if err != nil {
		return pluginhost.BackendConfig{}, err
	}
	for _, b := range all {
		if b.Name == p.backend {
			return b, nil
		}
	}
	return pluginhost.BackendConfig{}, exitf(exitNotFound, "%s has no backend %q", p.config, p.backend)
}

// load reads the configuration; its secrets are needed only for a backend.
func (p *pluginArgument) load() (Config, error) {
	flags := map[string]string{}
	if p.directory != "" {
		flags["plugins"] = p.directory
	}
	if p.backend == "" {
		return loadConfigShape(p.config, flags)
	}
	return loadConfig(p.config, os.LookupEnv, flags)
}
