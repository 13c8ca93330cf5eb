package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// describeOffered is describe with the services that the plugin brings. They are had only after
// Configure: with a configuration, or of a plugin that needs none.
func describeOffered(ctx context.Context, executable string, b pluginhost.BackendConfig, log io.Writer) (core.Description, error) {
	d, err := describe(ctx, executable, b, log)
	if err != nil || b.Config != nil || d.RequiresConfiguration || !d.Can(core.CapabilityOfferings) {
		return d, err
	}
	b.Config = json.RawMessage("{}")
	configured, err := describe(ctx, executable, b, log)
	if err != nil {
		fmt.Fprintf(log, "the services that the plugin brings are not shown: %v\n", err)
		return d, nil
	}
	return configured, nil
}

// offeringTexts gives the files of a description as texts; nil if there are none.
func offeringTexts(d core.Description) map[string]string {
	if len(d.Offerings) == 0 {
		return nil
	}
	out := map[string]string{}
	for name, raw := range d.Offerings {
		out[name] = string(raw)
	}
	return out
}
