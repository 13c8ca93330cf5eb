package osbapi_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/pluginhost"
	"github.com/chandler-broker/chandler/core/store"
	"github.com/chandler-broker/chandler/core/template"
)

// parts is a broker with everything below it, made as cmd/chandler makes it.
type parts struct {
	broker *core.Broker
	closes []func() // last first
}

// onClose adds what is to be closed before everything that was added earlier.
func (p *parts) onClose(f func()) { p.closes = append(p.closes, f) }

func (p *parts) close() {
	for _, f := range slices.Backward(p.closes) {
		f()
	}
	p.closes = nil
}

// copyCatalog gives the catalog directory of the state in dir: a copy of the
// tests' own, made unless it is there.
func copyCatalog(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(dir, "catalog")
	if _, err := os.Stat(to); err == nil {
		return to
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join("testdata", "catalog"))); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "templates"), 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// startParts starts a broker over the state in dir. CHANDLER_TEST_LOG=1 shows its log.
func startParts(t *testing.T, dir string, change func(*core.Config)) *parts {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := &parts{}
	log := slog.New(slog.NewTextHandler(testLog(), &slog.HandlerOptions{Level: slog.LevelDebug}))

	db, err := store.OpenSQLite(ctx, store.SQLiteConfig{Path: filepath.Join(dir, "chandler.db")})
	if err != nil {
		t.Fatal(err)
	}
	p.onClose(func() { check(t, db.Close()) })

	host, err := pluginhost.New(pluginhost.Config{Dir: pluginDir(t), StateDir: filepath.Join(dir, "plugins"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	p.onClose(func() { check(t, bounded(host.Close)) })
	must(t, host.SetBackends(ctx, []pluginhost.BackendConfig{{Name: "demo"}}))
	must(t, host.Start(ctx))
	must(t, host.AwaitSettled(ctx))

	services := catalog.New(catalog.Config{
		Dir: copyCatalog(t, dir), TemplatesDir: filepath.Join(dir, "templates"), Templates: template.New(),
		Describe: host.Describe, Store: db, Log: log,
	})
	if err := services.Start(ctx); err != nil {
		p.close()
		t.Fatal(err)
	}
	p.onClose(services.Close)

	cfg := core.Config{Catalog: services, Store: db, Backends: host, Log: log}
	change(&cfg)
	if p.broker, err = core.New(cfg); err != nil {
		t.Fatal(err)
	}
	must(t, p.broker.Start(ctx))
	p.onClose(func() { check(t, bounded(p.broker.Close)) })
	return p
}

func testLog() io.Writer {
	if os.Getenv("CHANDLER_TEST_LOG") != "" {
		return os.Stderr
	}
	return io.Discard
}

func bounded(closing func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return closing(ctx)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
