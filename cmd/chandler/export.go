package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

// exportFlags are what `chandler export` takes besides a connection.
type exportFlags struct {
	out, config, keyFile string
	final                bool
	wait                 time.Duration
}

func exportCommand(std streams) *cobra.Command {
	a := &adminClient{out: std.Out}
	var f exportFlags
	c := &cobra.Command{
		Use:   "export -o FILE",
		Short: "Write the whole store into an encrypted file, from which chandler import makes a store of either kind",
		Long: "Write the whole store, in one consistent state, into a file that the broker's first master key seals. The broker serves meanwhile.\n\n" +
			"With --final the store moves: the dispatcher is paused, plugin calls that run are waited for, and once the file is complete on\n" +
			"disk the store is marked as moved, so that no broker starts on it again. If anything fails before, chandler dispatcher resume goes on with the source.\n\n" +
			"With --config the store of that configuration is opened directly; no broker may run on it.",
		Args: usage(cobra.NoArgs),
	}
	a.flags(c)
	c.Flags().StringVarP(&f.out, "output-file", "o", "", "the new `file`; - is standard output (not with --final)")
	c.Flags().BoolVar(&f.final, "final", false, "move: the source is never used again")
	c.Flags().DurationVar(&f.wait, "wait", 5*time.Minute, "with --final: how long to wait for plugin calls that run")
	c.Flags().StringVar(&f.config, "config", "", "configuration `file` of a broker that does not run")
	c.Flags().StringVar(&f.keyFile, "key-file", "", "with --config: `file` of the master key that seals the export, instead of the first one of the configuration")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.out == "":
			return exitf(exitUsage, "say where the export goes: -o FILE")
		case f.final && f.out == "-":
			return exitf(exitUsage, "--final needs a file, so that it can be made durable before the source is given up")
		case f.keyFile != "" && f.config == "":
			return exitf(exitUsage, "--key-file is for --config; a broker seals with its own master key")
		}
		produce := a.export
		if f.config != "" {
			produce = func(ctx context.Context, w io.Writer, f exportFlags) (core.FinalExport, error) {
				return exportOffline(ctx, w, std.Err, f)
			}
		} else if err := a.open(cmd.Context()); err != nil {
			return err
		}
		if f.out == "-" {
			_, err := produce(cmd.Context(), std.Out, f)
			return err
		}
		export, err := writeArchive(f.out, func(w io.Writer) (core.FinalExport, error) { return produce(cmd.Context(), w, f) })
		if err != nil {
			return err
		}
		fmt.Fprintf(std.Err, "%s is complete (SHA-256 %s)\n", f.out, export.Digest)
		if !f.final {
			return nil
		}
		if f.config != "" {
			err = movedOffline(cmd.Context(), export, f)
		} else {
			err = a.moved(cmd.Context(), export)
		}
		if err == nil {
			fmt.Fprintln(std.Err, "the source is marked as moved: go on with chandler import")
		}
		return err
	}
	return c
}

// writeArchive writes a new file durably: beside its place first, so that what has its name is complete.
func writeArchive(name string, produce func(io.Writer) (core.FinalExport, error)) (export core.FinalExport, err error) {
	if _, err := os.Lstat(name); err == nil {
		return export, exitf(exitUsage, "%s exists already", name)
	}
	part := name + ".part"
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return export, exitf(exitUsage, "make the export's file: %v", err)
	}
	export, err = produce(file)
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return export, errors.Join(err, os.Remove(part))
	}
	if err := os.Rename(part, name); err != nil {
		return export, fmt.Errorf("name the export: %w", err)
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return export, fmt.Errorf("write the export: %w", err)
	}
	defer dir.Close()
	return export, dir.Sync()
}

// export copies a broker's export. It fails unless it is complete.
func (a *adminClient) export(ctx context.Context, w io.Writer, f exportFlags) (export core.FinalExport, err error) {
	path := "/admin/v1/export"
	if f.final {
		path += "?" + url.Values{"final": {"true"}, "wait": {f.wait.String()}}.Encode()
	}
	resp, err := a.stream(ctx, http.MethodPost, path)
	if err != nil {
		return export, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what came is shown
		return export, answer{Status: resp.StatusCode, Header: resp.Header, Raw: raw}.failure("export the store")
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), resp.Body); err != nil {
		return export, fmt.Errorf("export the store: %w", err)
	}
	export = core.FinalExport{ID: resp.Header.Get("X-Chandler-Export"), Digest: hex.EncodeToString(sum.Sum(nil))}
	if told := resp.Trailer.Get("X-Chandler-Export-Digest"); told != export.Digest {
		return export, exitf(exitFailed, "export the store: the broker's answer broke off; its log says why")
	}
	return export, nil
}

func (a *adminClient) moved(ctx context.Context, export core.FinalExport) error {
	var got object
	query := url.Values{"id": {export.ID}, "digest": {export.Digest}}
	return a.admin(ctx, "mark the source as moved", http.MethodPost, "/export/moved", query, nil, &got)
}

// readMasterKey reads a master key from a file.
func readMasterKey(name string) (key store.MasterKey, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return key, exitf(exitUsage, "read the master key: %v", err)
	}
	if key, err = store.ParseMasterKey(string(text)); err != nil {
		return key, exitf(exitUsage, "%s: %s", name, core.AsError(err).UserMessage())
	}
	return key, nil
}

// rowProgress tells now and then how far it is.
func rowProgress(w io.Writer) func(table string, rows int64) {
	var told time.Time
	return func(table string, rows int64) {
		if time.Since(told) >= progressPause {
			told = time.Now()
			fmt.Fprintf(w, "%s: %d rows\n", table, rows)
		}
	}
}
