package main

import (
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
)

// catalogDifference is what `catalog diff` prints.
type catalogDifference struct {
	Changes  []catalog.Change `json:"changes"`
	Problems []core.Problem   `json:"problems"`
}

func catalogDiff(streams streams) *cobra.Command {
	a := &adminClient{out: streams.Out}
	var f files
	c := &cobra.Command{
		Use:   "diff",
		Short: "Ask the running broker what these files would change, and for how many instances; exit status 4 if something breaks",
		Args:  usage(cobra.NoArgs),
	}
	a.flags(c)
	f.flags(c, false)
	format := outputFlag(c)
	c.PreRunE = func(cmd *cobra.Command, _ []string) error { return a.open(cmd.Context()) }
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		_, problems, err := f.parse(cmd, streams)
		if err != nil {
			return err
		}
		texts := f.texts()
		if len(texts) == 0 && catalog.Refused(problems) {
			return report(streams, problems, *format, "")
		}
		var got catalogDifference
		if err := a.admin(cmd.Context(), "compare the catalogs", http.MethodPost, "/catalog/diff", nil, map[string]any{"files": texts}, &got); err != nil {
			if catalog.Refused(problems) { // what is wrong here is known without the broker
				fmt.Fprintln(streams.Err, "chandler: "+err.Error())
				return report(streams, problems, *format, "")
			}
			return err
		}
		got.Problems = f.together(problems, got.Problems)
		if catalog.Refused(got.Problems) {
			return report(streams, got.Problems, *format, "")
		}
		if err := write(a.out, *format, got, got.print); err != nil {
			return err
		}
		if catalog.Breaking(got.Changes) {
			return exitf(exitBreaking, "existing instances or platforms would lose something")
		}
		return nil
	}
	return c
}

// together adds to the problems that were found here those that only the broker finds,
// such as inputs that its plugins do not have. The broker names files as they were sent.
func (f *files) together(here, there []core.Problem) []core.Problem {
	all := append([]core.Problem{}, here...)
	for _, p := range there {
		p.File = f.src.Place(p.File)
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

func (d catalogDifference) print(w io.Writer) {
	for _, p := range d.Problems { // warnings only
		fmt.Fprintln(w, catalog.Text(p))
	}
	if len(d.Changes) == 0 {
		fmt.Fprintln(w, "No change.")
		return
	}
	row(w, "CHANGE", "SERVICE", "PLAN", "INSTANCES", "BREAKS", "WHAT")
	for _, ch := range d.Changes {
		breaks := ""
		if ch.Breaking {
			breaks = "yes"
		}
		row(w, ch.Kind, ch.Service, ch.Plan, ch.Instances, breaks, ch.Text)
	}
}
