package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// instanceInspect shows how an instance differs from what was applied.
func instanceInspect(a *adminClient) *cobra.Command {
	c := &cobra.Command{
		Use:   "inspect INSTANCE_ID",
		Short: "Show how what exists at the backend differs from what was applied; changes nothing",
		Args:  usage(cobra.ExactArgs(1)),
	}
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var got struct {
			InstanceID string   `json:"instance_id"`
			Backend    string   `json:"backend"`
			Exists     bool     `json:"exists"`
			Drift      []object `json:"drift"`
		}
		if err := a.admin(cmd.Context(), "inspect the instance", http.MethodGet, "/instances/"+pathID(args[0])+"/inspect", nil, nil, &got); err != nil {
			return err
		}
		return write(a.out, *format, got, func(w io.Writer) {
			switch {
			case !got.Exists:
				fmt.Fprintf(w, "nothing that is provably the instance's exists at backend %s\n", got.Backend)
			case len(got.Drift) == 0:
				fmt.Fprintf(w, "it is at backend %s as it was applied\n", got.Backend)
			}
			if len(got.Drift) == 0 {
				return
			}
			row(w, "INPUT", "DIFFERENCE")
			for _, d := range got.Drift {
				row(w, d.text("pointer"), d.text("message"))
			}
		})
	}
	return c
}

// instanceAdopt makes something that exists at a backend an instance.
func instanceAdopt(a *adminClient) *cobra.Command {
	var f requestFlags
	c := &cobra.Command{
		Use:   "adopt INSTANCE_ID --service SERVICE --plan PLAN",
		Short: "Make something that exists at the backend, and that nobody's mark is on, a service instance",
		Long: "Make something that exists at the backend, and that nobody's mark is on, a service instance. The\n" +
			"parameters are those of a provision whose inputs name the thing: chandler plugin inventory shows\n" +
			"them. A platform that sends the same provision afterwards finds the instance. An adopt that\n" +
			"fails removes nothing; repeat it, or deprovision the instance, which leaves the thing as it is.",
		Args: usage(cobra.ExactArgs(1)),
	}
	c.Flags().StringVar(&f.service, "service", "", "name or id of the service")
	c.Flags().StringVar(&f.plan, "plan", "", "name or id of the plan")
	c.Flags().StringVar(&f.params, "params", "", "parameters as a JSON object, or @file")
	c.Flags().StringArrayVarP(&f.pairs, "param", "p", nil, "one parameter, key=value; the value is JSON or text (repeatable)")
	c.Flags().StringVar(&f.org, "org", "chandler-cli", "organization_guid that the platform will send")
	c.Flags().StringVar(&f.space, "space", "chandler-cli", "space_guid that the platform will send")
	c.Flags().BoolVar(&f.noWait, "no-wait", false, "return at once if the work goes on")
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if f.service == "" || f.plan == "" {
			return exitf(exitUsage, "adopt needs --service and --plan")
		}
		which, err := a.named(cmd.Context(), f.service, f.plan)
		if err != nil {
			return err
		}
		body := map[string]any{"service_id": which.Service, "plan_id": which.Plan, "organization_guid": f.org, "space_guid": f.space}
		if err := f.fill(body); err != nil {
			return err
		}
		var got object
		if err := a.admin(cmd.Context(), "adopt", http.MethodPost, "/instances/"+pathID(args[0])+"/adopt", nil, body, &got); err != nil {
			return err
		}
		if got.text("outcome") == "accepted" && !f.noWait {
			if err := a.awaitOperation(cmd.Context(), got.text("operation")); err != nil {
				return err
			}
			got["outcome"] = "created"
		}
		return write(a.out, *format, got, func(w io.Writer) { printObject(w, "", got) })
	}
	return c
}

// awaitOperation waits until an operation has ended; its failure is the error.
func (a *adminClient) awaitOperation(ctx context.Context, id string) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var got struct {
			Operation object `json:"operation"`
		}
		if err := a.admin(ctx, "ask for the operation", http.MethodGet, "/operations/"+pathID(id), nil, nil, &got); err != nil {
			return err
		}
		switch got.Operation.text("state") {
		case "succeeded":
			return nil
		case "failed":
			failure, _ := got.Operation["error"].(map[string]any)
			return exitf(exitFailed, "the operation %s failed: %s", id, object(failure).text("message"))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return exitf(exitUnfinished, "the operation %s goes on at the broker; see chandler operation show", id)
		}
	}
}

// pluginInventory lists what exists at a backend and what the broker knows of it.
func pluginInventory(io streams) *cobra.Command {
	a := &adminClient{out: io.Out}
	c := &cobra.Command{
		Use:   "inventory BACKEND",
		Short: "List what exists at a backend: known, orphan (marked, but of no instance), adoptable or foreign",
		Args:  usage(cobra.ExactArgs(1)),
	}
	a.flags(c)
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.open(cmd.Context()); err != nil {
			return err
		}
		rows, err := a.inventory(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return write(a.out, *format, map[string]any{"inventory": rows}, func(w writer) {
			row(w, "NAME", "STATE", "INSTANCE", "INPUTS", "ATTRIBUTES")
			for _, r := range rows {
				row(w, r.text("name"), r.text("state"), r.text("instance_id"), r.text("inputs"), r.text("attributes"))
			}
		})
	}
	return c
}

// inventory follows the cursor to the end.
func (a *adminClient) inventory(ctx context.Context, backend string) ([]object, error) {
	rows, query := []object{}, url.Values{}
	for {
		var page struct {
			Inventory []object `json:"inventory"`
			Next      string   `json:"next"`
		}
		if err := a.admin(ctx, "list the inventory", http.MethodGet, "/backends/"+pathID(backend)+"/inventory", query, nil, &page); err != nil {
			return nil, err
		}
		rows = append(rows, page.Inventory...)
		if page.Next == "" {
			return rows, nil
		}
		query.Set("after", page.Next)
	}
}
