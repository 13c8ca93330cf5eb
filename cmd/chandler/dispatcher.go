package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

func dispatcherCommand(io streams) *cobra.Command {
	return operatorGroup(io, "dispatcher", "Pause and resume the work of all brokers over a store",
		func(a *adminClient) *cobra.Command {
			return dispatcherVerb(a, "status", "Show whether operations may start", http.MethodGet, "/dispatcher")
		},
		dispatcherPause,
		func(a *adminClient) *cobra.Command {
			return dispatcherVerb(a, "resume", "Let operations start again, as after a restore or an import", http.MethodPost, "/dispatcher/resume")
		})
}

func dispatcherPause(a *adminClient) *cobra.Command {
	var why string
	c := dispatcherVerb(a, "pause", "Start no operation any more and refuse changes (429); calls that run end first", http.MethodPost, "/dispatcher/pause")
	c.Flags().StringVar(&why, "why", "", "`text` for other operators")
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a.query = filled(url.Values{"why": {why}})
		return run(cmd, args)
	}
	return c
}

func dispatcherVerb(a *adminClient, use, short, method, path string) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: usage(cobra.NoArgs)}
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		var got object
		if err := a.admin(cmd.Context(), use+" the dispatcher", method, path, a.query, nil, &got); err != nil {
			return err
		}
		return write(a.out, *format, got, func(w writer) { printObject(w, "", got) })
	}
	return c
}
