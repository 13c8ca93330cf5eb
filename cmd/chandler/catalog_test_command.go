package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
)

// exampleResult is how one example went.
type exampleResult struct {
	Service string   `json:"service"`
	Example string   `json:"example"`
	Plan    string   `json:"plan"`
	OK      bool     `json:"ok"`
	Took    string   `json:"took,omitempty"` // live only
	Errors  []string `json:"errors,omitempty"`
}

// catalogTest tries every example: its parameters against the schemas and its
// templates, and with --live against a running broker.
func catalogTest(streams streams) *cobra.Command {
	var f files
	var live bool
	var services []string
	client := &osbClient{out: io.Discard, progress: streams.Err, poll: time.Second}
	c := &cobra.Command{
		Use:   "test",
		Short: "Try every example: parameters, templates and, with --live, the whole life of an instance at a running broker",
		Args:  usage(cobra.NoArgs),
	}
	f.flags(c, true)
	client.flags(c)
	c.Flags().BoolVar(&live, "live", false, "provision, update, bind, unbind and deprovision each example at the broker")
	c.Flags().StringSliceVar(&services, "service", nil, "only these services, by name")
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		parsed, problems, err := f.parse(cmd, streams)
		if err != nil {
			return err
		}
		if parsed == nil {
			return report(streams, problems, *format, "")
		}
		var walk liveTest
		if live {
			if err := client.open(cmd.Context()); err != nil {
				return err
			}
			walk = func(ctx context.Context, svc *core.Service, e catalog.Example) []string {
				return client.live(ctx, svc.Name, cmp.Or(e.Plan, svc.Plans[0].Name), e)
			}
		}
		results := tryExamples(cmd.Context(), parsed, services, walk)
		if err := write(streams.Out, *format, map[string]any{"examples": results}, func(w writer) { printResults(w, results) }); err != nil {
			return err
		}
		for _, r := range results {
			if !r.OK {
				return exitf(exitInvalid, "examples failed")
			}
		}
		if len(results) == 0 {
			return exitf(exitNotFound, "there is no example to try")
		}
		return nil
	}
	return c
}

// liveTest tries an example at a broker and says what went wrong.
type liveTest func(context.Context, *core.Service, catalog.Example) []string

// tryExamples renders every example, and walks it through live unless that is nil.
func tryExamples(ctx context.Context, parsed *catalog.Parsed, only []string, live liveTest) []exampleResult {
	results := []exampleResult{}
	for _, svc := range parsed.Services {
		if len(only) > 0 && !slices.Contains(only, svc.Name) {
			continue
		}
		for _, e := range parsed.Examples[svc.ID] {
			r := exampleResult{Service: svc.Name, Example: e.Name, Plan: e.Plan}
			if r.Plan == "" {
				r.Plan = svc.Plans[0].Name
			}
			_, problems := parsed.Preview(svc.Name, r.Plan, e.Name, "")
			for _, p := range problems {
				if !p.Warning {
					r.Errors = append(r.Errors, catalog.Text(p))
				}
			}
			if len(r.Errors) == 0 && live != nil {
				began := time.Now()
				r.Errors = live(ctx, svc, e)
				r.Took = time.Since(began).Round(time.Millisecond).String()
			}
			r.OK = len(r.Errors) == 0
			results = append(results, r)
		}
	}
	return results
}

func printResults(w writer, results []exampleResult) {
	row(w, "RESULT", "SERVICE", "PLAN", "EXAMPLE", "TOOK")
	for _, r := range results {
		verdict := "ok"
		if !r.OK {
			verdict = "FAIL"
		}
		row(w, verdict, r.Service, r.Plan, r.Example, r.Took)
		for _, e := range r.Errors {
			fmt.Fprintf(w, "\t%s\n", e)
		}
	}
}

// live walks one example through the whole life of an instance at a broker. What it
// made is taken away again, also after a failure.
func (c *osbClient) live(ctx context.Context, service, plan string, e catalog.Example) (problems []string) {
	svc, p, err := c.plan(ctx, service, plan)
	if err != nil {
		return []string{err.Error()}
	}
	which := ids{svc.ID, p.ID}
	instance, binding := instancePath("test-"+uuid.NewString()), ""
	step := func(ch change) map[string]any {
		ch.which, ch.deleting = which, ch.body == nil
		got, err := c.perform(ctx, ch)
		if err != nil {
			problems = append(problems, err.Error())
			return nil
		}
		return got
	}
	body := func(parameters map[string]any) map[string]any {
		b := map[string]any{"service_id": svc.ID, "plan_id": p.ID, "parameters": parameters}
		if e.Context != nil {
			b["context"] = e.Context
		}
		return b
	}
	put := body(e.Provision)
	put["organization_guid"], put["space_guid"] = "chandler-test", "chandler-test"
	made := step(change{doing: "provision", method: http.MethodPut, path: instance, body: put})
	if made != nil && e.Update != nil {
		made = step(change{doing: "update", method: http.MethodPatch, path: instance, body: body(e.Update)})
	}
	if made != nil && e.Bind != nil {
		binding = instance + "/service_bindings/test-" + uuid.NewString()
		got := step(change{doing: "bind", method: http.MethodPut, path: binding, body: body(e.Bind), fetch: true})
		if got != nil && len(got) == 0 {
			problems = append(problems, "bind: the broker gave an empty binding")
		}
		step(change{doing: "unbind", method: http.MethodDelete, path: binding})
	}
	step(change{doing: "deprovision", method: http.MethodDelete, path: instance})
	return problems
}
