package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/store"
)

func keysCommand(io streams) *cobra.Command {
	parent := group("keys", "Make master keys; show, rotate and rewrap the keys that seal the store")
	parent.AddCommand(keysCreate(io), keysStatus(io), keysRotate(io), keysRewrap(io))
	return parent
}

// keysCreate works without a broker: the first key is needed before there is one.
func keysCreate(io streams) *cobra.Command {
	return &cobra.Command{
		Use:   "create [FILE]",
		Short: "Make a master key: in a new file that only its owner can read, or on standard output",
		Args:  usage(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := store.NewMasterKey(rand.Reader)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				_, err := fmt.Fprint(io.Out, key)
				return err
			}
			if err := writeKey(args[0], key); err != nil {
				return err
			}
			fmt.Fprintf(io.Err, "%s holds a new master key. Keep a copy of it apart from the store's backups: without it, the store's secrets are lost.\n", args[0])
			return nil
		},
	}
}

// writeKey writes a new file durably; one that exists is never replaced.
func writeKey(name, key string) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return exitf(exitUsage, "make the master key's file: %v", err)
	}
	_, err = f.WriteString(key)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	defer dir.Close()
	return dir.Sync() // its name must outlive a power cut, too
}

// keysAnswer is the answer of GET /admin/v1/keys.
type keysAnswer struct {
	Keyset   object   `json:"keyset"`
	Replicas []object `json:"replicas"`
}

func keysStatus(io streams) *cobra.Command {
	a := &adminClient{out: io.Out}
	c := &cobra.Command{Use: "status", Short: "Show the keyset and which replicas have loaded it", Args: usage(cobra.NoArgs)}
	a.flags(c)
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.open(cmd.Context()); err != nil {
			return err
		}
		return a.showKeys(cmd.Context(), *format)
	}
	return c
}

func (a *adminClient) showKeys(ctx context.Context, format outputFormat) error {
	var got keysAnswer
	if err := a.admin(ctx, "show the keys", http.MethodGet, "/keys", nil, nil, &got); err != nil {
		return err
	}
	return write(a.out, format, got, func(w io.Writer) {
		printObject(w, "", got.Keyset)
		if len(got.Replicas) == 0 {
			return
		}
		fmt.Fprintln(w)
		row(w, "REPLICA", "VERSION", "REVISION")
		for _, r := range got.Replicas {
			row(w, r.text("name"), r.text("version"), r.text("revision"))
		}
	})
}

func keysRotate(io streams) *cobra.Command {
	var master bool
	c := keysVerb(io, "rotate", "Replace the key that seals the store, while the broker serves; an interrupted rotation goes on", func() string {
		if master {
			return "rotate-master"
		}
		return "rotate"
	})
	c.Flags().BoolVar(&master, "master", false, "change the master key instead: to the first of encryption.masterKeys, which every replica must know")
	return c
}

func keysRewrap(io streams) *cobra.Command {
	return keysVerb(io, "rewrap", "Encrypt what is in the clear from before the store was encrypted, and finish a rotation",
		func() string { return "rewrap" })
}

// keysVerb makes a command that follows the progress of a change of keys and then shows the keyset.
func keysVerb(io streams, use, short string, path func() string) *cobra.Command {
	a := &adminClient{out: io.Out}
	c := &cobra.Command{Use: use, Short: short, Args: usage(cobra.NoArgs)}
	a.flags(c)
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.open(cmd.Context()); err != nil {
			return err
		}
		if err := a.followKeys(cmd.Context(), path(), io.Err); err != nil {
			return err
		}
		return a.showKeys(cmd.Context(), *format)
	}
	return c
}

// progressPause is how often a rewrap's rows are told.
const progressPause = time.Second

// followKeys sends the verb and tells its lines until the last one.
func (a *adminClient) followKeys(ctx context.Context, verb string, progress io.Writer) error {
	resp, err := a.stream(ctx, http.MethodPost, "/admin/v1/keys/"+verb)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what came is shown
		return answer{Status: resp.StatusCode, Header: resp.Header, Raw: raw}.failure("change the keys")
	}
	var told time.Time
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var line struct {
			core.KeysProgress
			Done        bool   `json:"done"`
			Error       string `json:"error"`
			Description string `json:"description"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return fmt.Errorf("the broker's progress cannot be read: %w", err)
		}
		switch {
		case line.Done:
			return nil
		case line.Error != "":
			return exitf(exitFailed, "change the keys: %s", line.Description)
		case line.Rows == 0 && line.Changed == 0:
			fmt.Fprintln(progress, line.Text)
		case time.Since(told) >= progressPause:
			told = time.Now()
			fmt.Fprintf(progress, "%s: %d rows, %d changed\n", line.Text, line.Rows, line.Changed)
		}
	}
	return interrupted(ctx, errors.Join(lines.Err(), errors.New("the broker's answer broke off")))
}

// interrupted says how an interrupted change of keys goes on.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return exitf(exitUnfinished, "change the keys: %v; it goes on with: chandler keys rewrap (a change of the master key: chandler keys rotate --master)", err)
}
