package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func marketplaceCommand(c *osbClient) *cobra.Command {
	command := &cobra.Command{
		Use:   "marketplace",
		Short: "List the services and plans of a broker",
		Args:  usage(cobra.NoArgs),
	}
	format := outputFlag(command)
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		services, a, err := c.catalog(cmd.Context())
		if err != nil {
			return err
		}
		var whole any
		if err := a.decode(&whole); err != nil {
			return err
		}
		return write(c.out, *format, whole, func(w io.Writer) {
			row(w, "SERVICE", "PLAN", "FREE", "BINDABLE", "DESCRIPTION")
			for _, s := range services {
				for _, p := range s.Plans {
					bindable := s.Bindable
					if p.Bindable != nil {
						bindable = *p.Bindable
					}
					row(w, s.Name, p.Name, p.Free == nil || *p.Free, bindable, p.Description)
				}
			}
		})
	}
	return command
}

// requestFlags are the flags that requests with a body share.
type requestFlags struct {
	params    string
	pairs     []string
	context   string
	sync      bool
	noWait    bool
	timeout   time.Duration
	org       string
	space     string
	service   string
	plan      string
	outFormat *outputFormat
}

func (f *requestFlags) body(command *cobra.Command) {
	command.Flags().StringVar(&f.params, "params", "", "parameters as a JSON object, or @file")
	command.Flags().StringArrayVarP(&f.pairs, "param", "p", nil, "one parameter, key=value; the value is JSON or text (repeatable)")
	command.Flags().StringVar(&f.context, "context", "", "OSB context as a JSON object, or @file")
}

func (f *requestFlags) waiting(c *osbClient, command *cobra.Command) {
	command.Flags().BoolVar(&f.sync, "sync", false, "do not accept asynchronous work (no accepts_incomplete)")
	command.Flags().BoolVar(&f.noWait, "no-wait", false, "return at once when the work is asynchronous")
	command.Flags().DurationVar(&f.timeout, "timeout", 0, "how long to wait for asynchronous work, such as 10m (default: until it ends)")
	command.Flags().DurationVar(&c.poll, "poll", 2*time.Second, "how often to ask how far it is, where the broker does not say")
	f.outFormat = outputFlag(command)
}

func (f *requestFlags) identity(command *cobra.Command) {
	command.Flags().StringVar(&f.service, "service", "", "name or id of the service (default: asked of the broker)")
	command.Flags().StringVar(&f.plan, "plan", "", "name or id of the plan")
}

func (f *requestFlags) query(base url.Values) url.Values {
	if base == nil {
		base = url.Values{}
	}
	if !f.sync {
		base.Set("accepts_incomplete", "true")
	}
	return base
}

// fill puts parameters and context into a request body.
func (f *requestFlags) fill(body map[string]any) error {
	params, err := parameters("--params", f.params, f.pairs)
	if err != nil {
		return err
	}
	if params != nil {
		body["parameters"] = params
	}
	if f.context == "" {
		return nil
	}
	ctx, err := parameters("--context", f.context, nil)
	if err != nil {
		return err
	}
	body["context"] = ctx
	return nil
}

func provisionCommand(c *osbClient) *cobra.Command {
	var f requestFlags
	command := &cobra.Command{
		Use:   "provision SERVICE PLAN [INSTANCE_ID]",
		Short: "Make a service instance; a missing id is made up and printed",
		Args:  usage(cobra.RangeArgs(2, 3)),
	}
	f.body(command)
	f.waiting(c, command)
	command.Flags().StringVar(&f.org, "org", "chandler-cli", "organization_guid")
	command.Flags().StringVar(&f.space, "space", "chandler-cli", "space_guid")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		body := map[string]any{"organization_guid": f.org, "space_guid": f.space}
		if err := f.fill(body); err != nil {
			return err
		}
		s, p, err := c.plan(cmd.Context(), args[0], args[1])
		if err != nil {
			return err
		}
		id := newID(args, 2)
		body["service_id"], body["plan_id"] = s.ID, p.ID
		fmt.Fprintf(c.progress, "instance %s\n", id)
		return c.change(cmd.Context(), change{doing: "provision", method: http.MethodPut, path: instancePath(id),
			body: body, which: ids{s.ID, p.ID}, flags: f, shown: map[string]any{"instance_id": id}})
	}
	return command
}

func updateCommand(c *osbClient) *cobra.Command {
	var f requestFlags
	var newPlan, maintenance string
	command := &cobra.Command{
		Use:   "update INSTANCE_ID",
		Short: "Change an instance's parameters, plan or maintenance version",
		Args:  usage(cobra.ExactArgs(1)),
	}
	f.body(command)
	f.waiting(c, command)
	f.identity(command)
	command.Flags().StringVar(&newPlan, "to-plan", "", "name or id of the plan to change to")
	command.Flags().StringVar(&maintenance, "maintenance-version", "", "maintenance_info.version to upgrade to")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		body := map[string]any{}
		if err := f.fill(body); err != nil {
			return err
		}
		if len(body) == 0 && newPlan == "" && maintenance == "" {
			return exitf(exitUsage, "nothing to change: say what with -p, --params, --context, --to-plan or --maintenance-version")
		}
		which, err := c.idsOf(cmd.Context(), args[0], f.service, f.plan)
		if err != nil {
			return err
		}
		body["service_id"], body["previous_values"] = which.Service, map[string]any{"plan_id": which.Plan}
		if newPlan != "" {
			_, p, err := c.plan(cmd.Context(), which.Service, newPlan)
			if err != nil {
				return err
			}
			body["plan_id"] = p.ID
		}
		if maintenance != "" {
			body["maintenance_info"] = map[string]any{"version": maintenance}
		}
		return c.change(cmd.Context(), change{doing: "update", method: http.MethodPatch, path: instancePath(args[0]),
			body: body, which: which, flags: f, shown: map[string]any{"instance_id": args[0]}})
	}
	return command
}

func bindCommand(c *osbClient) *cobra.Command {
	var f requestFlags
	var app, predecessor string
	command := &cobra.Command{
		Use:   "bind INSTANCE_ID [BINDING_ID]",
		Short: "Make credentials for an application and print them",
		Args:  usage(cobra.RangeArgs(1, 2)),
	}
	f.body(command)
	f.waiting(c, command)
	f.identity(command)
	command.Flags().StringVar(&app, "app", "", "bind_resource.app_guid")
	command.Flags().StringVar(&predecessor, "rotate", "", "id of the binding that this one is to succeed")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		body := map[string]any{}
		if err := f.fill(body); err != nil {
			return err
		}
		which, err := c.idsOf(cmd.Context(), args[0], f.service, f.plan)
		if err != nil {
			return err
		}
		id := newID(args, 1)
		if predecessor == "" {
			body["service_id"], body["plan_id"] = which.Service, which.Plan
		} else {
			body["predecessor_binding_id"] = predecessor
		}
		if app != "" {
			body["bind_resource"] = map[string]any{"app_guid": app}
		}
		fmt.Fprintf(c.progress, "binding %s\n", id)
		return c.change(cmd.Context(), change{doing: "bind", method: http.MethodPut, path: bindingPath(args[0], id),
			body: body, which: which, flags: f, fetch: true, shown: map[string]any{"instance_id": args[0], "binding_id": id}})
	}
	return command
}

func unbindCommand(c *osbClient) *cobra.Command {
	return deleteCommand(c, "unbind", "Take credentials away", "INSTANCE_ID", "BINDING_ID")
}

func deprovisionCommand(c *osbClient) *cobra.Command {
	return deleteCommand(c, "deprovision", "Delete a service instance", "INSTANCE_ID")
}

// deleteCommand makes the command of a DELETE: of a binding with two arguments, of an
// instance with one.
func deleteCommand(c *osbClient, verb, short string, arguments ...string) *cobra.Command {
	var f requestFlags
	command := &cobra.Command{
		Use:   verb + " " + strings.Join(arguments, " "),
		Short: short,
		Args:  usage(cobra.ExactArgs(len(arguments))),
	}
	f.waiting(c, command)
	f.identity(command)
	command.RunE = func(cmd *cobra.Command, args []string) error {
		which, err := c.idsOf(cmd.Context(), args[0], f.service, f.plan)
		if err != nil {
			return err
		}
		path, shown := instancePath(args[0]), map[string]any{"instance_id": args[0]}
		if len(args) > 1 {
			path, shown["binding_id"] = bindingPath(args[0], args[1]), args[1]
		}
		return c.change(cmd.Context(), change{doing: verb, method: http.MethodDelete, path: path,
			which: which, flags: f, deleting: true, shown: shown})
	}
	return command
}
