package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// exportAdmin makes exports for the operators' API.
type exportAdmin struct{ a *app }

// errNoExportKey is the answer of a broker that has nothing to seal an export with.
var errNoExportKey = core.Errorf(core.CodeConflict, "This broker has no master key, so that its export would lie in the clear.").
	WithHint("Stop it and export with chandler export --config FILE --key-file KEY; chandler keys create makes a key.")

// Export implements osbapi.ExportAdmin.
func (x exportAdmin) Export(ctx context.Context, by core.Caller, id string, w io.Writer) error {
	err := x.write(ctx, w)
	x.audit(by, "export", id, err)
	return err
}

// FinalExport implements osbapi.ExportAdmin.
func (x exportAdmin) FinalExport(ctx context.Context, by core.Caller, id string, wait time.Duration, w io.Writer, digest func() string) error {
	if x.a.keyring == nil {
		return errNoExportKey
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	state, err := x.a.broker.PauseFinal(waiting, by)
	cancel()
	if err != nil {
		return err
	}
	if err = x.write(ctx, w); err == nil {
		err = x.a.broker.Exported(ctx, state.Revision, core.FinalExport{ID: id, Digest: digest()})
	}
	x.audit(by, "export --final", id, err)
	return err
}

// Moved implements osbapi.ExportAdmin.
func (x exportAdmin) Moved(ctx context.Context, by core.Caller, export core.FinalExport) error {
	return x.a.broker.Moved(ctx, by, export)
}

func (x exportAdmin) write(ctx context.Context, w io.Writer) error {
	if x.a.keyring == nil {
		return errNoExportKey
	}
	return store.Export(ctx, x.a.store, w, store.ExportConfig{Master: x.a.keyring.Master(), Program: version(), Now: time.Now()})
}

func (x exportAdmin) audit(by core.Caller, verb, id string, err error) {
	result := "done"
	if err != nil {
		result = string(core.CodeOf(err))
	}
	x.a.log.Info("audit", "event", "operator", "verb", verb, "export", id, "user", by.User, "request_id", by.RequestID, "result", result)
}

// checkStore refuses a store that was moved or half imported, and pauses one if it was asked for.
func (a *app) checkStore(ctx context.Context) error {
	if err := core.UsableStore(ctx, a.store); err != nil {
		return err
	}
	if !a.paused {
		return nil
	}
	if err := core.PauseStore(ctx, a.store, "started with --paused", time.Now()); err != nil {
		return fmt.Errorf("pause the dispatcher: %w", err)
	}
	return nil
}

// dispatcherProblems are the lines of /readyz about the dispatcher.
func (a *app) dispatcherProblems(ctx context.Context) []string {
	s, err := a.broker.Dispatcher(ctx)
	switch {
	case err != nil:
		return nil // the store's line says so
	case s.Moved:
		return []string{"the store was moved elsewhere; see chandler dispatcher status"}
	case s.Paused:
		return []string{"is paused: operations do not start; see chandler dispatcher status"}
	}
	return nil
}
