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

func operationList(a *adminClient) *cobra.Command {
	var instance, binding, verb string
	var states []string
	var limit int
	c := &cobra.Command{Use: "list", Short: "List operations, newest first", Args: usage(cobra.NoArgs)}
	c.Flags().StringVar(&instance, "instance", "", "only of this instance")
	c.Flags().StringVar(&binding, "binding", "", "only of this binding")
	c.Flags().StringVar(&verb, "verb", "", "only provision, update, deprovision, bind or unbind")
	c.Flags().StringSliceVar(&states, "state", nil, "only pending, cancelling, succeeded or failed (repeatable)")
	c.Flags().IntVar(&limit, "limit", 100, "at most this many")
	_ = c.RegisterFlagCompletionFunc("verb", cobra.FixedCompletions([]string{"provision", "update", "deprovision", "bind", "unbind"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"pending", "cancelling", "succeeded", "failed"}, cobra.ShellCompDirectiveNoFileComp))
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		rows, err := a.list(cmd.Context(), "operations", "before", "/operations",
			filled(url.Values{"instance_id": {instance}, "binding_id": {binding}, "verb": {verb}, "state": {strings.Join(states, ",")}}), limit)
		if err != nil {
			return err
		}
		return write(a.out, *format, map[string]any{"operations": rows}, func(w io.Writer) {
			row(w, "ID", "VERB", "INSTANCE", "BINDING", "STATE", "BACKEND", "CREATED", "MESSAGE")
			for _, r := range rows {
				message := r.text("progress_text")
				if failure, ok := r["error"].(map[string]any); ok {
					message = object(failure).text("message")
				}
				row(w, r.text("id"), r.text("verb"), r.text("instance_id"), r.text("binding_id"), r.text("state"),
					r.text("backend"), r.text("created_at"), message)
			}
		})
	}
	return c
}

func operationShow(a *adminClient) *cobra.Command {
	c := &cobra.Command{Use: "show OPERATION_ID", Short: "Show an operation with its timeline", Args: usage(cobra.ExactArgs(1))}
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var got struct {
			Operation object   `json:"operation"`
			Timeline  []object `json:"timeline"`
		}
		if err := a.admin(cmd.Context(), "show the operation", http.MethodGet, "/operations/"+pathID(args[0]), nil, nil, &got); err != nil {
			return err
		}
		return write(a.out, *format, got, func(w io.Writer) {
			printObject(w, "", got.Operation)
			fmt.Fprintln(w)
			row(w, "AT", "AFTER", "STEP", "TEXT", "DETAIL")
			var began time.Time
			for i, s := range got.Timeline {
				at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(s["at"]))
				if err != nil {
					at = began
				}
				if i == 0 {
					began = at
				}
				row(w, at.Local().Format(time.TimeOnly), at.Sub(began).Round(time.Millisecond), s.text("kind"), s.text("text"), s.text("detail"))
			}
		})
	}
	return c
}

// operationVerb makes cancel, retry and abandon, which differ in their path only.
func operationVerb(verb, short string) func(*adminClient) *cobra.Command {
	return func(a *adminClient) *cobra.Command {
		c := &cobra.Command{Use: verb + " OPERATION_ID", Short: short, Args: usage(cobra.ExactArgs(1))}
		format := outputFlag(c)
		c.RunE = func(cmd *cobra.Command, args []string) error {
			var got object
			if err := a.admin(cmd.Context(), verb+" the operation", http.MethodPost, "/operations/"+pathID(args[0])+"/"+verb, nil, nil, &got); err != nil {
				return err
			}
			return write(a.out, *format, got, func(w io.Writer) { printObject(w, "", got) })
		}
		return c
	}
}
