package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/pluginhost"
	"github.com/chandler-broker/chandler/core/template"
)

// files says which catalog is meant: flags win over the environment, which wins
// over a configuration file.
type files struct {
	catalog, templates, plugins, config string
	backends                            map[string]BackendConfig
	// asked is true if somebody named the plugin directory: then backends without a plugin in it are unknown.
	asked bool
	src   *catalog.Sources // what parse has read
}

func (f *files) flags(c *cobra.Command, plugins bool) {
	c.Flags().StringVar(&f.config, "config", "", "the broker's configuration `file`: names the directories and says which plugin a backend is")
	c.Flags().StringVar(&f.catalog, "catalog", "./catalog", "`directory` of service definitions (CHANDLER_CATALOG)")
	c.Flags().StringVar(&f.templates, "templates", "./templates", "`directory` of template files (CHANDLER_TEMPLATES)")
	names := []string{"catalog", "templates"}
	if plugins {
		c.Flags().StringVar(&f.plugins, "plugins", "./bin", "`directory` of plugins: inputs and outputs are checked against what they declare (CHANDLER_PLUGINS)")
		names = append(names, "plugins")
	}
	for _, name := range names {
		_ = c.MarkFlagDirname(name)
	}
	_ = c.MarkFlagFilename("config", "yaml", "yml")
}

// resolve fills in what the flags left open.
func (f *files) resolve(c *cobra.Command) error {
	if f.config != "" {
		given := map[string]string{}
		for _, s := range settings {
			if flag := c.Flags().Lookup(s.flag); flag != nil && flag.Changed {
				given[s.flag] = flag.Value.String()
			}
		}
		cfg, err := loadConfigShape(f.config, given)
		if err != nil {
			return exitf(exitUsage, "%v", err)
		}
		f.catalog, f.templates, f.plugins, f.backends = cfg.Catalog, cfg.Templates, cfg.Plugins.Directory, cfg.Backends
		f.asked = true
		return nil
	}
	for name, value := range map[string]*string{"catalog": &f.catalog, "templates": &f.templates, "plugins": &f.plugins} {
		flag := c.Flags().Lookup(name)
		if v := os.Getenv("CHANDLER_" + strings.ToUpper(name)); v != "" && flag != nil && !flag.Changed {
			*value = v
		}
	}
	if flag := c.Flags().Lookup("plugins"); flag != nil {
		f.asked = flag.Changed || os.Getenv("CHANDLER_PLUGINS") != ""
	}
	return nil
}

// parse reads the files. With plugins, those of the catalog's backends are started
// for a moment and described.
func (f *files) parse(c *cobra.Command, io streams) (*catalog.Parsed, []core.Problem, error) {
	if err := f.resolve(c); err != nil {
		return nil, nil, err
	}
	options := catalog.Options{Templates: template.New()}
	known := describer{ctx: c.Context(), files: f, log: io.Err, seen: map[string]described{}}
	src, problems := catalog.ReadSources(f.catalog, f.templates)
	f.src = src
	switch {
	case f.asked:
		options.Describe, options.KnownBackend = known.describe, known.knows
	case known.all(src):
		options.Describe = known.describe
	}
	parsed, more := catalog.Parse(src, options)
	if known.err != nil {
		return nil, nil, known.err
	}
	return parsed, append(problems, more...), nil
}

// texts gives what parse has read: the service files with the templates that they use.
func (f *files) texts() map[string]string {
	out := map[string]string{}
	for name, raw := range f.src.Files() {
		out[name] = string(raw)
	}
	return out
}

// describer asks the plugins of those backends that the catalog names, each once.
type describer struct {
	ctx   context.Context
	files *files
	log   io.Writer

	mu   sync.Mutex // services are parsed side by side
	seen map[string]described
	err  error
}

type described struct {
	core.Description
	ok bool
}

// executable gives the backend's plugin; ok is false if there is none.
func (d *describer) executable(backend string) (path string, config BackendConfig, ok bool) {
	config, configured := d.files.backends[backend]
	if config.Plugin == "" {
		config.Plugin = backend
	}
	path = filepath.Join(d.files.plugins, pluginhost.Prefix+config.Plugin)
	_, err := os.Stat(path)
	return path, config, configured || err == nil
}

// all tells whether the plugins of all services are there.
func (d *describer) all(src *catalog.Sources) bool {
	for _, raw := range src.Files() {
		var service struct{ Backend string }
		_ = yaml.Unmarshal(raw, &service) // what is wrong with the file, the parser says
		if service.Backend != "" && !d.knows(service.Backend) {
			return false
		}
	}
	return true
}

func (d *describer) knows(backend string) bool {
	_, _, ok := d.executable(backend)
	return ok
}

func (d *describer) describe(backend string) (core.Description, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if got, ok := d.seen[backend]; ok {
		return got.Description, got.ok
	}
	path, config, ok := d.executable(backend)
	if !ok {
		return core.Description{}, false
	}
	got, err := describe(d.ctx, path, pluginhost.BackendConfig{MTLS: config.MTLS}, d.log)
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("describe the plugin of backend %s: %w", backend, err)
	}
	d.seen[backend] = described{got, err == nil}
	return got, err == nil
}
