package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/chandler-broker/chandler/core"
	"github.com/chandler-broker/chandler/core/catalog"
	"github.com/chandler-broker/chandler/core/osbapi"
	"github.com/chandler-broker/chandler/core/pluginhost"
)

// ready is /readyz: requests can be served while the store answers and no shutdown
// has begun. The catalog and the backends are shown, and do not make it unready.
func (a *app) ready(ctx context.Context) osbapi.ReadyReport {
	report := osbapi.ReadyReport{Ready: true}
	check := func(name string, problems ...string) bool {
		report.Checks = append(report.Checks, osbapi.ReadyCheck{Name: name, OK: len(problems) == 0, Messages: problems})
		return len(problems) == 0
	}
	select {
	case <-a.stopping:
		report.Ready = check("process", "the broker shuts down")
	default:
	}
	if err := a.store.Ping(ctx); err != nil {
		report.Ready = check("store", "the store does not answer") && report.Ready
		a.log.ErrorContext(ctx, "the store does not answer", "error", err)
	} else {
		check("store")
	}
	if a.refused.Load() != nil { // anybody can read this: the problem itself is for operators
		check("configuration", "the configuration file was refused and the one before is in use; see chandler plugin list")
	} else {
		check("configuration")
	}
	check("dispatcher", a.dispatcherProblems(ctx)...)
	check("catalog", a.catalogProblems()...)
	for _, s := range a.host.Status() {
		if message := backendProblem(s); message != "" {
			check("backend:"+s.Name, message)
		} else {
			check("backend:" + s.Name)
		}
	}
	return report
}

// backendProblem says why a backend does not serve; "" if it does, or need not.
// The cause is in the log and in `chandler plugin list`: anybody can read /readyz.
func backendProblem(s pluginhost.BackendStatus) string {
	switch {
	case s.State == pluginhost.StateRunning && s.Error == "":
		return ""
	case s.State == pluginhost.StateRunning:
		return "serves, but its new binary or configuration does not become good; see chandler plugin list"
	case s.State == pluginhost.StateUnconfigured:
		return "" // installed and not used
	default:
		return fmt.Sprintf("is %s since %s; see chandler plugin list", s.State, s.Since.UTC().Format("2006-01-02T15:04:05Z"))
	}
}

// backendsAdmin shows the host's backends to the operators' API.
type backendsAdmin struct{ host *pluginhost.Host }

// Backends implements osbapi.BackendsAdmin.
func (b backendsAdmin) Backends(context.Context) ([]osbapi.BackendStatus, error) {
	var list []osbapi.BackendStatus
	for _, s := range b.host.Status() {
		list = append(list, osbapi.BackendStatus{Name: s.Name, Plugin: s.Plugin, Version: s.Version, State: string(s.State),
			Message: s.Error, Digest: s.Digest, PID: s.Pid, Calls: s.Running, Restarts: s.Restarts, Since: s.Since})
	}
	return list, nil
}

// catalogAdmin shows the catalog to the operators' API.
type catalogAdmin struct{ a *app }

// Status implements osbapi.CatalogAdmin.
func (c catalogAdmin) Status(context.Context) (osbapi.CatalogStatus, error) {
	s := c.a.catalog.Status()
	return osbapi.CatalogStatus{Revision: s.Revision, LoadedAt: s.LoadedAt, Services: s.Services, Plans: s.Plans, Retired: s.Retired,
		Held: s.Held, LeftOut: s.LeftOut, Active: osbapi.CatalogRevision(s.Active), Differs: s.Differs,
		Valid: s.Valid, CheckedAt: s.CheckedAt, Problems: s.Problems}, nil
}

// Reload implements osbapi.CatalogAdmin. What is wrong with the files is in the status, not in the error.
func (c catalogAdmin) Reload(ctx context.Context) (osbapi.CatalogStatus, error) {
	var invalid *catalog.InvalidError
	if err := c.a.catalog.Reload(ctx); err != nil && !errors.As(err, &invalid) {
		return osbapi.CatalogStatus{}, err
	}
	return c.Status(ctx)
}

// Diff implements osbapi.CatalogAdmin.
func (c catalogAdmin) Diff(ctx context.Context, files map[string]string) (osbapi.CatalogDiff, error) {
	var changes []catalog.Change
	var problems []core.Problem
	var err error
	if files == nil {
		changes, problems, err = c.a.catalog.Diff(ctx)
	} else {
		raw := map[string][]byte{}
		for name, text := range files {
			raw[name] = []byte(text)
		}
		changes, problems, err = c.a.catalog.DiffSources(ctx, catalog.NewSources(raw), nil)
	}
	if err != nil {
		return osbapi.CatalogDiff{}, err
	}
	out := osbapi.CatalogDiff{Problems: problems}
	for _, ch := range changes {
		out.Changes = append(out.Changes, osbapi.CatalogChange{Service: ch.Service, ServiceID: ch.ServiceID, Plan: ch.Plan, PlanID: ch.PlanID,
			Kind: ch.Kind, Text: ch.Text, Fields: ch.Fields, Instances: ch.Instances, Breaking: ch.Breaking})
	}
	return out, nil
}

// catalogProblems are the lines of /readyz about the catalog.
func (a *app) catalogProblems() []string {
	s := a.catalog.Status()
	var lines []string
	for _, p := range s.Problems {
		if !p.Warning {
			lines = append(lines, catalog.Text(p))
		}
	}
	for _, name := range s.Held {
		lines = append(lines, fmt.Sprintf("the service %s waits for its plugin", name))
	}
	for _, name := range s.LeftOut {
		lines = append(lines, fmt.Sprintf("%s, which a plugin brings, cannot be used and is left out", name))
	}
	return lines
}
