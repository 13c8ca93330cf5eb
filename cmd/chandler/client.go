package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
)

// osbPlan and osbService are the parts of a catalog that the client needs.
type osbPlan struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Free        *bool  `json:"free"`
	Bindable    *bool  `json:"bindable"`
}

type osbService struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Bindable    bool      `json:"bindable"`
	Plans       []osbPlan `json:"plans"`

	BindingsRetrievable bool `json:"bindings_retrievable"`
}

// osbClient speaks OSB 2.17 to any broker.
type osbClient struct {
	connection
	out, progress io.Writer
	// poll is the pause between polls where the broker names none.
	poll time.Duration
}

func (c *osbClient) catalog(ctx context.Context) ([]osbService, answer, error) {
	a, err := c.call(ctx, http.MethodGet, "/v2/catalog", nil, nil)
	if err != nil {
		return nil, a, err
	}
	if a.Status != http.StatusOK {
		return nil, a, a.failure("get the catalog")
	}
	var body struct {
		Services []osbService `json:"services"`
	}
	return body.Services, a, a.decode(&body)
}

// plan finds a service and plan by name or id.
func (c *osbClient) plan(ctx context.Context, service, plan string) (osbService, osbPlan, error) {
	services, _, err := c.catalog(ctx)
	if err != nil {
		return osbService{}, osbPlan{}, err
	}
	var names []string
	for _, s := range services {
		names = append(names, s.Name)
		if s.Name != service && s.ID != service {
			continue
		}
		var plans []string
		for _, p := range s.Plans {
			if p.Name == plan || p.ID == plan || plan == "" && len(s.Plans) == 1 {
				return s, p, nil
			}
			plans = append(plans, p.Name)
		}
		if plan == "" {
			return osbService{}, osbPlan{}, exitf(exitUsage, "the service %s has several plans; name one with --plan: %s", s.Name, strings.Join(plans, ", "))
		}
		return osbService{}, osbPlan{}, exitf(exitNotFound, "the service %s has no plan %q; it has %s", s.Name, plan, strings.Join(plans, ", "))
	}
	return osbService{}, osbPlan{}, exitf(exitNotFound, "the broker has no service %q; it has %s", service, strings.Join(names, ", "))
}

// instancePath and bindingPath encode ids so that any character survives.
func instancePath(instance string) string { return "/v2/service_instances/" + pathID(instance) }

func bindingPath(instance, binding string) string {
	return instancePath(instance) + "/service_bindings/" + pathID(binding)
}

// pathID encodes an id; a path's own "." and "..", too, which proxies would resolve.
func pathID(id string) string {
	if id == "." || id == ".." {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}

// ids are the service and plan of an instance, for requests that must carry them.
type ids struct{ Service, Plan string }

func (i ids) query() url.Values {
	return url.Values{"service_id": {i.Service}, "plan_id": {i.Plan}}
}

// idsOf asks the broker for an instance's service and plan, unless both were given by name or id.
func (c *osbClient) idsOf(ctx context.Context, instance, service, plan string) (ids, error) {
	if service != "" {
		s, p, err := c.plan(ctx, service, plan)
		return ids{s.ID, p.ID}, err
	}
	if plan != "" {
		return ids{}, exitf(exitUsage, "--plan says which plan the instance has and goes with --service; update changes it with --to-plan")
	}
	a, err := c.call(ctx, http.MethodGet, instancePath(instance), nil, nil)
	if err != nil {
		return ids{}, err
	}
	if a.Status != http.StatusOK {
		err := a.failure("look the instance up")
		if a.Status == http.StatusNotFound {
			return ids{}, fmt.Errorf("%w\nhint: if it is still being made, name its service and plan with --service and --plan", err)
		}
		return ids{}, fmt.Errorf("%w\nhint: name its service and plan with --service and --plan", err)
	}
	var body struct {
		ServiceID string `json:"service_id"`
		PlanID    string `json:"plan_id"`
	}
	if err := a.decode(&body); err != nil {
		return ids{}, err
	}
	if body.ServiceID == "" || body.PlanID == "" {
		return ids{}, exitf(exitUsage, "the broker does not say what service and plan the instance has: use --service and --plan")
	}
	return ids{body.ServiceID, body.PlanID}, nil
}

// parameters merges a JSON object or @file with -p key=value; values of -p that are
// JSON count as JSON, others as text. flag names the document's flag. It is nil
// where nothing was given.
func parameters(flag, document string, pairs []string) (map[string]any, error) {
	if document == "" && len(pairs) == 0 {
		return nil, nil
	}
	out := map[string]any{}
	if document != "" {
		raw := []byte(document)
		if name, ok := strings.CutPrefix(document, "@"); ok {
			var err error
			if raw, err = os.ReadFile(name); err != nil {
				return nil, exitf(exitUsage, "%s: %v", flag, err)
			}
		}
		if err := decodeJSON(raw, &out); err != nil || out == nil {
			return nil, exitf(exitUsage, "%s: want a JSON object or @file: %v", flag, cmp.Or(err, errors.New("got null")))
		}
	}
	for _, pair := range pairs {
		key, text, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, exitf(exitUsage, "-p %q: want key=value", pair)
		}
		var value any
		if decodeJSON([]byte(text), &value) != nil {
			value = text
		}
		out[key] = value
	}
	return out, nil
}

// decodeJSON reads exactly one JSON value and keeps numbers as they are written.
func decodeJSON(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return nil
}

// newID gives the id argument or a new random one.
func newID(args []string, index int) string {
	if len(args) > index && args[index] != "" {
		return args[index]
	}
	return uuid.NewString()
}

// clientCommands makes the OSB client's commands.
func clientCommands(io streams) []*cobra.Command {
	var commands []*cobra.Command
	for _, build := range []func(*osbClient) *cobra.Command{
		marketplaceCommand, provisionCommand, updateCommand, bindCommand, unbindCommand, deprovisionCommand,
	} {
		c := &osbClient{out: io.Out, progress: io.Err, poll: 2 * time.Second}
		command := build(c)
		c.flags(command)
		command.Flags().StringVar(&c.apiVersion, "api-version", "2.17", "X-Broker-API-Version to send")
		command.PreRunE = func(cmd *cobra.Command, _ []string) error { return c.open(cmd.Context()) }
		command.ValidArgsFunction = c.complete(command.Name())
		commands = append(commands, command)
	}
	return commands
}
