package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
)

func catalogCommand(io streams) *cobra.Command {
	parent := group("catalog", "Check, compare, render and test service definitions")
	parent.AddCommand(catalogLint(io), catalogRender(io), catalogTest(io), catalogDiff(io), catalogStatus(io))
	return parent
}

// report prints problems and gives the command's error: status 3 if there are any that count.
func report(io streams, problems []core.Problem, format outputFormat, good string) error {
	bad := catalog.Refused(problems)
	if problems == nil {
		problems = []core.Problem{}
	}
	err := write(io.Out, format, map[string]any{"valid": !bad, "problems": problems}, func(w writer) {
		for _, p := range problems {
			fmt.Fprintln(w, catalog.Text(p))
		}
		if !bad {
			fmt.Fprintln(w, good)
		}
	})
	if err != nil || !bad {
		return err
	}
	count := 0
	for _, p := range problems {
		if !p.Warning {
			count++
		}
	}
	return exitf(exitInvalid, "%s", counted(count, "problem"))
}

func catalogLint(io streams) *cobra.Command {
	var f files
	c := &cobra.Command{Use: "lint", Short: "Check the files without a broker: all problems at once, with file, line and column", Args: usage(cobra.NoArgs)}
	f.flags(c, true)
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		parsed, problems, err := f.parse(cmd, io)
		if err != nil {
			return err
		}
		good := ""
		if parsed != nil {
			problems = append(problems, parsed.Lint()...)
			plans := 0
			for _, s := range parsed.Services {
				plans += len(s.Plans)
			}
			good = counted(len(parsed.Services), "service") + " with " + counted(plans, "plan") + ": "
			if good += "no problems."; len(problems) > 0 {
				good = strings.TrimSuffix(good, "no problems.") + counted(len(problems), "warning") + "."
			}
		}
		return report(io, problems, *format, good)
	}
	return c
}

func catalogRender(io streams) *cobra.Command {
	var f files
	var example, shape string
	c := &cobra.Command{
		Use:   "render SERVICE PLAN",
		Short: "Show what a plugin would be sent and an application would get, without a backend and with secrets masked",
		Args:  usage(cobra.ExactArgs(2)),
	}
	f.flags(c, true)
	c.Flags().StringVar(&example, "example", "", "name of the example whose parameters are used (default: the plan's first)")
	c.Flags().StringVar(&shape, "shape", "", "template file instead of the plan's credentials, such as credentials/aws.yaml")
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		parsed, problems, err := f.parse(cmd, io)
		if err != nil {
			return err
		}
		if parsed == nil {
			return report(io, problems, "table", "")
		}
		if err := exists(parsed, args[0], args[1]); err != nil {
			return err
		}
		rendered, problems := parsed.Preview(args[0], args[1], example, shape)
		if catalog.Refused(problems) {
			return report(io, problems, "table", "")
		}
		if *format == "table" {
			*format = "yaml" // what is rendered is a document
		}
		return write(io.Out, *format, rendered, nil)
	}
	return c
}

// exists tells whether the catalog has the plan, and which there are if not.
func exists(parsed *catalog.Parsed, service, plan string) error {
	var services, plans []string
	for _, s := range parsed.Services {
		services = append(services, s.Name)
		if s.Name != service {
			continue
		}
		for _, p := range s.Plans {
			if p.Name == plan {
				return nil
			}
			plans = append(plans, p.Name)
		}
		return exitf(exitNotFound, "the service %s has no plan %q; it has %s", service, plan, strings.Join(plans, ", "))
	}
	return exitf(exitNotFound, "there is no service %q; there are %s", service, strings.Join(append(services, parsed.Held...), ", "))
}
