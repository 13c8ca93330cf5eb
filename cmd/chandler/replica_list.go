package main

import (
	"net/http"

	"github.com/spf13/cobra"
)

func replicaCommand(io streams) *cobra.Command {
	return operatorGroup(io, "replica", "Show the brokers that share a store", replicaList)
}

func replicaList(a *adminClient) *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the brokers that work over the store now: those whose lease lives",
		Args:  usage(cobra.NoArgs),
	}
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		var got struct {
			Replicas []object `json:"replicas"`
		}
		if err := a.admin(cmd.Context(), "list the replicas", http.MethodGet, "/replicas", nil, nil, &got); err != nil {
			return err
		}
		return write(a.out, *format, got, func(w writer) {
			row(w, "NAME", "VERSION", "LEASE", "KEYS", "ANSWERED")
			for _, r := range got.Replicas {
				answered := ""
				if r["self"] == true {
					answered = "yes"
				}
				row(w, r.text("name"), r.text("version"), r.text("holder"), r.text("keys"), answered)
			}
		})
	}
	return c
}
