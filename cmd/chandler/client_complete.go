package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionTime is how long the shell waits for a broker's answer at most.
const completionTime = 2 * time.Second

// complete offers the broker's services and plans where a command takes them; ids
// of instances and bindings are the caller's own.
func (c *osbClient) complete(command string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if command != "provision" || len(args) > 1 || c.open(cmd.Context()) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		services, _, err := c.catalog(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		offer := func(word, description string) {
			if strings.HasPrefix(word, prefix) {
				words = append(words, cobra.CompletionWithDesc(word, description))
			}
		}
		for _, s := range services {
			if len(args) == 0 {
				offer(s.Name, s.Description)
				continue
			}
			if s.Name == args[0] || s.ID == args[0] {
				for _, p := range s.Plans {
					offer(p.Name, p.Description)
				}
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
