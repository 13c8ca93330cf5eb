package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// adminClient calls /admin/v1 of a Chandler broker.
type adminClient struct {
	connection
	out   io.Writer
	page  int        // rows asked for at once; 0 is what the API allows
	query url.Values // of the command; nil sends none
}

// maxPage is how many rows the API gives at once.
const maxPage = 1000

// operatorGroup makes a parent command whose sub-commands share one connection.
func operatorGroup(io streams, use, short string, build ...func(*adminClient) *cobra.Command) *cobra.Command {
	a := &adminClient{out: io.Out}
	parent := group(use, short)
	a.flags(parent)
	for _, b := range build {
		c := b(a)
		c.PreRunE = func(cmd *cobra.Command, _ []string) error { return a.open(cmd.Context()) }
		parent.AddCommand(c)
	}
	return parent
}

// admin sends one request; body is sent as JSON unless nil. The answer goes into v.
func (a *adminClient) admin(ctx context.Context, doing, method, path string, query url.Values, body, v any) error {
	got, err := a.call(ctx, method, "/admin/v1"+path, query, body)
	if err != nil {
		return err
	}
	if got.Status != http.StatusOK {
		return got.failure(doing)
	}
	return got.decode(v)
}

// object is a JSON object of the admin API; text gives a key's value for a table.
type object map[string]any

func (o object) text(key string) string {
	switch v := o[key].(type) {
	case nil:
		return ""
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil {
			return t.Local().Format(time.DateTime)
		}
		return v
	default:
		return compact(v)
	}
}

// first gives the first key that has a value.
func (o object) first(keys ...string) string {
	for _, k := range keys {
		if t := o.text(k); t != "" {
			return t
		}
	}
	return ""
}

func instanceCommand(io streams) *cobra.Command {
	return operatorGroup(io, "instance", "List, show, inspect, adopt and forget service instances", instanceList, instanceShow, instanceInspect,
		instanceAdopt, instancePurge)
}

func operationCommand(io streams) *cobra.Command {
	return operatorGroup(io, "operation", "List, show and steer operations", operationList, operationShow,
		operationVerb("cancel", "End an unfinished operation: its plugin call is cancelled and it fails"),
		operationVerb("retry", "Start a new operation that wants what a failed one wanted (not for binds)"),
		operationVerb("abandon", "Fail an unfinished operation without calling the plugin again"))
}

// list follows the cursor until limit rows are there.
func (a *adminClient) list(ctx context.Context, key, cursor, path string, query url.Values, limit int) ([]object, error) {
	if limit < 1 {
		return nil, exitf(exitUsage, "--limit %d: want at least 1", limit)
	}
	rows := []object{}
	for limit > 0 {
		query.Set("limit", strconv.Itoa(min(limit, cmp.Or(a.page, maxPage))))
		var raw map[string]json.RawMessage
		if err := a.admin(ctx, "list the "+key, http.MethodGet, path, query, nil, &raw); err != nil {
			return nil, err
		}
		var page []object
		var next string
		if err := decodeJSON(raw[key], &page); err != nil {
			return nil, fmt.Errorf("the broker's list of %s cannot be read: %w", key, err)
		}
		rows = append(rows, page...)
		limit -= len(page)
		if raw["next"] == nil || json.Unmarshal(raw["next"], &next) != nil || next == "" {
			return rows, nil
		}
		query.Set(cursor, next)
	}
	return rows, nil
}

func instanceList(a *adminClient) *cobra.Command {
	var service, plan, backend string
	var limit int
	c := &cobra.Command{Use: "list", Short: "List instances by id", Args: usage(cobra.NoArgs)}
	c.Flags().StringVar(&service, "service", "", "only this service, by name or id")
	c.Flags().StringVar(&plan, "plan", "", "only this plan, by id, or by name with --service")
	c.Flags().StringVar(&backend, "backend", "", "only this backend")
	c.Flags().IntVar(&limit, "limit", 100, "at most this many")
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		which, err := a.named(cmd.Context(), service, plan)
		if err != nil {
			return err
		}
		rows, err := a.list(cmd.Context(), "instances", "after", "/instances",
			filled(url.Values{"service_id": {which.Service}, "plan_id": {which.Plan}, "backend": {backend}}), limit)
		if err != nil {
			return err
		}
		return write(a.out, *format, map[string]any{"instances": rows}, func(w io.Writer) {
			row(w, "ID", "SERVICE", "PLAN", "BACKEND", "READY", "LAST OPERATION", "UPDATED")
			for _, r := range rows {
				row(w, r.text("id"), r.first("service", "service_id"), r.first("plan", "plan_id"), r.text("backend"),
					r.text("ready"), r.text("last_operation"), r.text("updated_at"))
			}
		})
	}
	return c
}

// named gives the ids of a service and plan that are in the catalog by that name. A
// word that is no name is an id: retired plans are not in the catalog.
func (a *adminClient) named(ctx context.Context, service, plan string) (ids, error) {
	which := ids{service, plan}
	if service == "" {
		return which, nil
	}
	client := osbClient{connection: a.connection}
	services, _, err := client.catalog(ctx)
	if err != nil {
		return which, err
	}
	for _, s := range services {
		if s.Name != service && s.ID != service {
			continue
		}
		which.Service = s.ID
		for _, p := range s.Plans {
			if p.Name == plan {
				which.Plan = p.ID
			}
		}
	}
	return which, nil
}

func instanceShow(a *adminClient) *cobra.Command {
	c := &cobra.Command{Use: "show INSTANCE_ID", Short: "Show an instance with its bindings", Args: usage(cobra.ExactArgs(1))}
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		var got struct {
			Instance object   `json:"instance"`
			Bindings []object `json:"bindings"`
		}
		if err := a.admin(cmd.Context(), "show the instance", http.MethodGet, "/instances/"+pathID(args[0]), nil, nil, &got); err != nil {
			return err
		}
		return write(a.out, *format, got, func(w io.Writer) {
			printObject(w, "", got.Instance)
			if len(got.Bindings) == 0 {
				return
			}
			fmt.Fprintln(w)
			row(w, "BINDING", "READY", "PREDECESSOR", "EXPIRES", "LAST OPERATION", "CREATED")
			for _, b := range got.Bindings {
				row(w, b.text("id"), b.text("ready"), b.text("predecessor_binding_id"), b.text("expires_at"), b.text("last_operation"), b.text("created_at"))
			}
		})
	}
	return c
}

func instancePurge(a *adminClient) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "purge INSTANCE_ID",
		Short: "Forget an instance and its bindings without calling the plugin; says what may be left behind",
		Args:  usage(cobra.ExactArgs(1)),
	}
	c.Flags().BoolVar(&yes, "yes", false, "do it: nothing that is left behind can be found through the broker afterwards")
	format := outputFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if !yes {
			return exitf(exitUsage, "purge forgets the instance for good; deprovision deletes it. Say --yes to go on")
		}
		var got object
		if err := a.admin(cmd.Context(), "purge the instance", http.MethodPost, "/instances/"+pathID(args[0])+"/purge", nil, nil, &got); err != nil {
			return err
		}
		return write(a.out, *format, got, func(w io.Writer) { printObject(w, "", got) })
	}
	return c
}

// filled drops empty values.
func filled(v url.Values) url.Values {
	for key := range v {
		if v.Get(key) == "" {
			v.Del(key)
		}
	}
	return v
}
