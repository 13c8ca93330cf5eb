package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core/catalog"
)

func catalogStatus(io streams) *cobra.Command {
	a := &adminClient{out: io.Out}
	var reload bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Which catalog the running broker uses, and what is wrong with its files; exit status 3 if something is",
		Args:  usage(cobra.NoArgs),
	}
	a.flags(c)
	c.Flags().BoolVar(&reload, "reload", false, "read the files now; if they are valid, they become the active revision")
	format := outputFlag(c)
	c.PreRunE = func(cmd *cobra.Command, _ []string) error { return a.open(cmd.Context()) }
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		var got catalog.Status
		method, path := http.MethodGet, "/catalog"
		if reload {
			method, path = http.MethodPost, "/catalog/reload"
		}
		if err := a.admin(cmd.Context(), "ask for the catalog", method, path, nil, nil, &got); err != nil {
			return err
		}
		err := write(a.out, *format, got, func(w writer) { printCatalog(w, got) })
		if err != nil || got.Valid {
			return err
		}
		return exitf(exitInvalid, "the files are not in use because of these problems; the active catalog stays")
	}
	return c
}

func printCatalog(w writer, s catalog.Status) {
	const layout = time.DateTime
	row(w, "revision", fmt.Sprintf("%d, proposed by %s at %s", s.Active.Number, s.Active.By, s.Active.At.Local().Format(layout)))
	row(w, "files", s.Active.Digest)
	row(w, "content", s.Revision)
	row(w, "loaded at", s.LoadedAt.Local().Format(layout))
	row(w, "services", s.Services)
	row(w, "plans", fmt.Sprintf("%d, and %d retired", s.Plans, s.Retired))
	switch {
	case !s.Differs:
		row(w, "directory", "holds the revision")
	case s.Valid:
		row(w, "directory", "differs from the revision; --reload makes it the next one")
	default:
		row(w, "directory", "differs from the revision")
	}
	row(w, "files valid", s.Valid)
	for _, p := range s.Problems {
		fmt.Fprintln(w, catalog.Text(p))
	}
}
