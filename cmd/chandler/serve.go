package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core"
)

func serveCommand(io streams) *cobra.Command {
	var file string
	var paused bool
	given := map[string]*string{}
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the broker",
		Long:  "Run the broker in the foreground until SIGTERM or SIGINT. Flags win over environment variables, which win over the configuration file.",
		Args:  usage(cobra.NoArgs),
	}
	c.Flags().StringVar(&file, "config", "", "configuration `file` (CHANDLER_CONFIG)")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	c.Flags().BoolVar(&paused, "paused", false, "start with the dispatcher paused: the first start on a store that was restored from a backup")
	for _, s := range settings {
		if s.flag == "" {
			continue
		}
		given[s.flag] = c.Flags().String(s.flag, "", s.usage+" ("+s.env+")")
		if len(s.values) > 0 {
			_ = c.RegisterFlagCompletionFunc(s.flag, cobra.FixedCompletions(s.values, cobra.ShellCompDirectiveNoFileComp))
		} else if s.directory {
			_ = c.MarkFlagDirname(s.flag)
		}
	}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		flags := map[string]string{}
		for name, value := range given {
			if cmd.Flags().Changed(name) {
				flags[name] = *value
			}
		}
		if file == "" {
			file = os.Getenv("CHANDLER_CONFIG")
		}
		load := func() (Config, error) { return loadConfig(file, os.LookupEnv, flags) }
		cfg, err := load()
		if err != nil {
			return exitf(exitUsage, "%v", err)
		}
		keyring, err := cfg.Encryption.keyring()
		if err != nil {
			return exitf(exitUsage, "%s", core.AsError(err).UserMessage())
		}
		masked := &maskedWriter{out: io.Err}
		masked.mask(cfg.secrets())
		a := &app{cfg: cfg, keyring: keyring, paused: paused, masked: masked, log: newLogger(cfg.Log, masked)}
		return a.serve(cmd.Context(), file, load)
	}
	return c
}

// serve runs the broker until ctx ends or the server fails. On SIGHUP, and when the
// configuration file changes, what can change while it runs is reloaded.
func (a *app) serve(ctx context.Context, file string, load func() (Config, error)) (err error) {
	slog.SetDefault(a.log)
	limitMemory()
	if a.tracing, err = startTracing(ctx); err != nil {
		return fmt.Errorf("start tracing: %w", err)
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	if err := a.start(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) { // a shutdown while it started
			a.log.Info("shutting down", "error", err)
			err = nil
		}
		return errors.Join(err, a.tracing.close())
	}
	changed, unwatch := watchFile(file, a.cfg.source, a.log)
	defer unwatch()
	memory := time.NewTicker(memoryEvery)
	defer memory.Stop()
	for {
		select {
		case <-memory.C:
			limitMemory()
		case <-ctx.Done():
			a.drain(time.After(time.Duration(a.cfg.Timing.Drain)))
			a.log.Info("shutting down")
			return errors.Join(a.stop(), a.tracing.close())
		case err := <-a.served:
			a.served <- err // stop reads it again
			return errors.Join(fmt.Errorf("the server ended: %w", err), a.stop(), a.tracing.close())
		case err := <-a.broken:
			return errors.Join(err, a.stop(), a.tracing.close())
		case <-hangup:
			a.reload(ctx, load)
			if err := a.catalog.Reload(ctx); err != nil {
				a.log.Error("the catalog was not reloaded", "error", err)
			}
		case <-changed:
			a.reload(ctx, load)
		}
	}
}
