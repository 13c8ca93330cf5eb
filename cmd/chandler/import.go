package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

func importCommand(io streams) *cobra.Command {
	var config, keyFile string
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Fill an empty store from an export; the broker then starts paused",
		Long: "Open the store of a configuration, which must be empty and without a running broker, and fill it from an export of either kind\n" +
			"of store. Its secrets are sealed by the new store's own keys. An import that was interrupted is begun again with the same command.\n" +
			"Operations start once the broker runs and chandler dispatcher resume is given.",
		Args: usage(cobra.ExactArgs(1)),
	}
	c.Flags().StringVar(&config, "config", "", "configuration `file` of the broker that takes over (CHANDLER_CONFIG)")
	c.Flags().StringVar(&keyFile, "key-file", "", "`file` of the master key that sealed the export, if it is not one of the configuration")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		file, err := os.Open(args[0])
		if err != nil {
			return exitf(exitUsage, "open the export: %v", err)
		}
		defer file.Close()
		return importOffline(cmd.Context(), file, io, config, keyFile)
	}
	return c
}

// offline is a broker's store without the broker.
func offline(ctx context.Context, file string, log io.Writer) (*app, error) {
	if file == "" {
		file = os.Getenv("CHANDLER_CONFIG")
	}
	cfg, err := loadConfig(file, os.LookupEnv, nil)
	if err != nil {
		return nil, exitf(exitUsage, "%v", err)
	}
	keyring, err := cfg.Encryption.keyring()
	if err != nil {
		return nil, exitf(exitUsage, "%s", core.AsError(err).UserMessage())
	}
	masked := &maskedWriter{out: log}
	masked.mask(cfg.secrets())
	a := &app{cfg: cfg, keyring: keyring, masked: masked, log: newLogger(cfg.Log, masked), broken: make(chan error, 1), stopping: make(chan struct{})}
	if err := a.openStore(ctx); err != nil {
		return nil, errors.Join(err, a.stop())
	}
	if err := a.openKeys(ctx); err != nil {
		return nil, errors.Join(err, a.stop())
	}
	return a, nil
}

// nobody refuses what must not run beside a broker. SQLite's lock does so by itself.
func (a *app) nobody(ctx context.Context) error {
	if a.leases == nil {
		return nil
	}
	replicas, err := a.leases.Replicas(ctx)
	if err == nil && len(replicas) > 0 {
		err = core.Errorf(core.CodeConflict, "The broker %s works on the store.", replicas[0].Name).
			WithHint("Stop every broker first; one that was killed is forgotten after some seconds.")
	}
	return err
}

// masters are the keys that may open an export.
func (a *app) masters(keyFile string) ([]store.MasterKey, error) {
	var masters []store.MasterKey
	if keyFile != "" {
		key, err := readMasterKey(keyFile)
		if err != nil {
			return nil, err
		}
		masters = append(masters, key)
	}
	for _, text := range a.cfg.Encryption.MasterKeys {
		key, err := store.ParseMasterKey(text)
		if err != nil {
			return nil, err
		}
		masters = append(masters, key)
	}
	return masters, nil
}

func importOffline(ctx context.Context, from io.Reader, streams streams, config, keyFile string) (err error) {
	a, err := offline(ctx, config, streams.Err)
	if err != nil {
		return operatorError("open the store", err)
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	masters, err := a.masters(keyFile)
	if err != nil {
		return err
	}
	counts, err := store.Import(ctx, a.store, from, store.ImportConfig{Masters: masters, ID: rand.Text(), Now: time.Now(),
		Leases: a.leases, Progress: rowProgress(streams.Err)})
	if err != nil {
		return operatorError("import", err)
	}
	fmt.Fprintf(streams.Err, "imported: %d instances, %d bindings, %d operations\nThe dispatcher is paused; start the broker, look at it, and let it go on with: chandler dispatcher resume\n",
		counts["instances"], counts["bindings"], counts["operations"])
	return nil
}

// exportOffline exports the store of a configuration.
func exportOffline(ctx context.Context, w, progress io.Writer, f exportFlags) (export core.FinalExport, err error) {
	a, err := offline(ctx, f.config, progress)
	if err != nil {
		return export, operatorError("open the store", err)
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	masters, err := a.masters(f.keyFile)
	if err != nil {
		return export, err
	}
	if len(masters) == 0 {
		return export, exitf(exitUsage, "the store is in the clear, and its export must not be: name a master key with --key-file")
	}
	if err := errors.Join(a.nobody(ctx), core.UsableStore(ctx, a.store)); err != nil {
		return export, operatorError("export the store", err)
	}
	export.ID = rand.Text()
	pause := core.DispatcherState{}
	if f.final {
		if pause, err = a.pauseOffline(ctx); err != nil {
			return export, operatorError("pause the dispatcher", err)
		}
	}
	sum := sha256.New()
	err = store.Export(ctx, a.store, io.MultiWriter(w, sum), store.ExportConfig{Master: masters[0], Program: version(), Now: time.Now(), Progress: rowProgress(progress)})
	if err != nil {
		return export, operatorError("export the store", err)
	}
	export.Digest = hex.EncodeToString(sum.Sum(nil))
	if !f.final {
		return export, nil
	}
	return export, a.store.Update(ctx, func(tx core.Tx) error {
		pause.Export = &export
		return core.WriteDispatcher(tx, pause)
	})
}

// pauseOffline pauses for the final export; a broker that starts meanwhile does nothing.
func (a *app) pauseOffline(ctx context.Context) (s core.DispatcherState, err error) {
	err = a.store.Update(ctx, func(tx core.Tx) error {
		now, err := core.ReadDispatcher(tx)
		if err != nil {
			return err
		}
		s = core.DispatcherState{Revision: now.Revision + 1, Paused: true, Final: true, Why: "final export", Since: time.Now().UTC()}
		return core.WriteDispatcher(tx, s)
	})
	if err == nil {
		err = a.nobody(ctx)
	}
	return s, err
}

// movedOffline marks the store of a configuration as moved.
func movedOffline(ctx context.Context, export core.FinalExport, f exportFlags) (err error) {
	a, err := offline(ctx, f.config, io.Discard)
	if err != nil {
		return operatorError("open the store", err)
	}
	defer func() { err = errors.Join(err, a.stop()) }()
	return a.store.Update(ctx, func(tx core.Tx) error {
		s, err := core.ReadDispatcher(tx)
		if err == nil {
			err = s.MarkMoved(export, time.Now())
		}
		if err != nil {
			return err
		}
		return core.WriteDispatcher(tx, s)
	})
}

// operatorError is an error of the store in an operator's words.
func operatorError(doing string, err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return err
	}
	var e *core.Error
	if errors.As(err, &e) {
		text := e.UserMessage()
		if cause := errors.Unwrap(e); cause != nil {
			text += fmt.Sprintf(" (%v)", cause)
		}
		return fmt.Errorf("%s: %s", doing, text)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
