package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/chandler-broker/chandler/e2e/stack"
)

// target is the broker under load.
type target struct {
	url, user, password string
	broker              *stack.Broker // nil if it runs elsewhere
	dir                 string        // of the broker, and of what the run compares it with
}

// options say which broker to load.
type options struct {
	bin, catalogDir, templatesDir string
	dir                           string // where the broker's directory is made; "" is the system's
	url, user, password           string
	// pluginSync lets the demo plugin sync its own files, too.
	pluginSync bool
}

// open starts a broker with the demo plugin, or takes the one that is named. The
// caller closes it.
func (o options) open(ctx context.Context) (*target, error) { return o.openWith(ctx, nil) }

// openWith is open; prepare, if it is not nil, adds to the directory of the catalog,
// whose file demo.yaml it is given.
func (o options) openWith(ctx context.Context, prepare func(dir string, service []byte) error) (*target, error) {
	dir, err := os.MkdirTemp(o.dir, "chandler-load-")
	if err != nil {
		return nil, err
	}
	t := &target{url: o.url, user: o.user, password: o.password, dir: dir}
	if o.url != "" {
		return t, nil
	}
	if t.broker, err = o.serve(ctx, dir, prepare); err != nil {
		return nil, fmt.Errorf("%w (its directory is %s)", err, dir)
	}
	t.url, t.user, t.password = t.broker.URL, t.broker.User, t.broker.Password
	return t, nil
}

// serve starts a broker whose files are in dir. Its plugin directory holds the demo plugin only.
func (o options) serve(ctx context.Context, dir string, prepare func(string, []byte) error) (*stack.Broker, error) {
	plugins, catalog := filepath.Join(dir, "plugins"), filepath.Join(dir, "catalog")
	for _, d := range []string{plugins, catalog} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return nil, err
	}
	demo := "chandler-plugin-demo"
	if err := os.Symlink(filepath.Join(bin, demo), filepath.Join(plugins, demo)); err != nil {
		return nil, err
	}
	service, err := os.ReadFile(filepath.Join(o.catalogDir, "demo.yaml"))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(catalog, "demo.yaml"), service, 0o600); err != nil {
		return nil, err
	}
	if prepare != nil {
		if err := prepare(catalog, service); err != nil {
			return nil, err
		}
	}
	templates, err := filepath.Abs(o.templatesDir)
	if err != nil {
		return nil, err
	}
	config := ""
	if !o.pluginSync {
		config = "backends:\n  demo: {plugin: demo, config: {sync: false}}\n"
	}
	return stack.StartBroker(ctx, stack.BrokerOptions{Bin: bin, Plugins: plugins, Dir: dir, Catalog: catalog, Templates: templates, Config: config})
}

// connect makes a connection to the broker.
func (t *target) connect() (*client, error) { return newClient(t.url, t.user, t.password) }

// meter gives the processor time of the broker, its plugins and this process.
func (t *target) meter() usage {
	if t.broker == nil {
		return nil
	}
	return meter(t.broker.PID())
}

// close stops the broker, if this program started it, and removes its directory.
func (t *target) close() error {
	if t.broker != nil {
		if err := t.broker.Stop(time.Minute); err != nil {
			return err
		}
	}
	return os.RemoveAll(t.dir)
}
